package import LibPQ

/// The outbox as relays and the command line see it.
///
/// Each call is one statement and one transaction. A `due` delivery can be claimed from its `next_attempt_at` on. A
/// claim moves that to the end of the lease, a failure to the next attempt, and a wait for another delivery of the
/// entity to that one's time. So deliveries of a relay that died become claimable again when the lease ends, and the
/// index `deliveries_due` has the claimable ones at its front.
package enum DeliveryStore {
    /// Writers of deliveries may `NOTIFY` this channel. It only wakes relays, which read the table.
    package static let channel = "tidemark_deliveries"

    /// Configures a connection for index look-ups of a few rows, because the table fills faster than it is analyzed.
    ///
    /// Commits do not wait for the disk. A crash of the server loses at most claims and results; those deliveries are
    /// sent again under the same id.
    static func prepare(_ connection: Connection) async throws(PostgresError) {
        try await connection.execute(
            """
            set jit = off;
            set enable_seqscan = off;
            set enable_mergejoin = off;
            set enable_hashjoin = off;
            set plan_cache_mode = force_generic_plan;
            set synchronous_commit = off;
            """
        )
        try await connection.prepare(Self.claimName, Self.claimSQL)
        try await connection.prepare(Self.recordName, Self.recordSQL)
    }

    static let claimName = "tm_delivery_claim"
    static let recordName = "tm_delivery_record"

    // MARK: Claiming

    /// Claims due deliveries under leases, only the next one of each entity.
    ///
    /// Two relays never have the same delivery, nor two of one entity and notifier: locked rows are skipped, and
    /// claimed ones are not due until the lease ends. A `held`, `dead` or delivered one does not block others.
    /// - Parameters:
    ///   - token: a new UUID for each call.
    ///   - command: the statement, or its name on a connection that ``prepare(_:)`` has configured.
    /// - Complexity: O(the sum of the limits), look-ups by index.
    package static func claim(
        _ requests: [ClaimRequest],
        token: String,
        by command: Statement.Command = .sql(Self.claimSQL),
        on connection: Connection
    ) async throws(PostgresError) -> DeliveryClaim {
        var rows = ArrayParameters([OID.text, OID.int4, OID.int8, OID.bool, OID.int8], rows: requests.count)
        for request in requests {
            rows.append(request.notifier, to: 0)
            rows.append(Int32(clamping: request.limit), to: 1)
            rows.append(request.lease.microseconds, to: 2)
            rows.append(request.holdsBehindDead, to: 3)
            rows.append(orNull: request.scope.within, to: 4)
        }
        var since = ArrayParameters([OID.int8], rows: requests.count)
        for request in requests { since.append(orNull: request.scope.since, to: 0) }
        let parameters = rows.parameters + [.text(token)] + since.parameters
        let result = try await connection.query(Statement(command, parameters))
        let disabled = (try result.text(0, 1) ?? "").split(separator: "\u{1F}").map(String.init)
        var claim = DeliveryClaim(
            deliveries: [],
            mayHaveMore: try result.bool(0, 0) ?? false,
            disabled: Set(disabled)
        )
        // A row without a delivery only carries the columns before it.
        for row in 0..<result.rowCount where !result.isNull(row, 2) {
            claim.deliveries.append(
                ClaimedDelivery(
                    seq: try result.int64(row, 2) ?? 0,
                    token: token,
                    id: try result.uuid(row, 3) ?? "",
                    projection: try result.text(row, 4) ?? "",
                    keyJSON: try result.text(row, 5) ?? "[]",
                    milestone: try result.text(row, 6) ?? "",
                    notifier: try result.text(row, 7) ?? "",
                    attempts: Int(try result.int32(row, 8) ?? 0),
                    scheduleStart: Int(try result.int32(row, 9) ?? 0),
                    body: Array((try result.text(row, 10) ?? "").utf8),
                    createdAt: try result.timestamp(row, 11) ?? 0
                )
            )
        }
        return claim
    }

    // One statement, so that locks, reads and updates share one snapshot:
    // - `candidate` locks due rows and skips locked ones, so that relays do not wait for each other.
    // - `head` is the first due or blocking dead delivery of each candidate's entity, by the statement's snapshot.
    // - A candidate that is its own head is claimed. One whose head is claimed here is deferred to the end of that
    //   lease.
    // - For the others `blocker` locks the head and rereads it. A candidate is deferred to the head's time only under
    //   that lock, because the triggers that end the wait (they call `delivery_leaves_due`) then run later and see it
    //   deferred. If the head is locked elsewhere or no longer blocks, the candidate stays as it is, for the next
    //   claim.
    // - A candidate after a dead head waits for an operator. It is checked every hour, since the configuration may have
    //   changed to `skip`.
    // - `blocker` compares the status as an expression, as ``recordSQL`` does and for its reason.
    // Names are joined by a control character, which no name holds.
    package static let claimSQL = """
        with asked as materialized (
            select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::boolean[], $5::bigint[], $7::bigint[])
                as asked(notifier, slots, lease, holds, due_within, due_since)
        ),
        disabled as materialized (
            select notifier from tidemark_internal.disabled_notifiers where notifier = any($1::text[])
        ),
        wanted as materialized (
            select * from asked where notifier not in (select notifier from disabled)
        ),
        candidate as materialized (
            select due.seq, due.projection, due.key, due.notifier, wanted.holds,
                now() + wanted.lease * interval '1 microsecond' as lease_end
            from wanted
            cross join lateral (
                select d.seq, d.projection, d.key, d.notifier
                from tidemark_internal.deliveries as d
                where d.status = 'due' and d.notifier = wanted.notifier and d.next_attempt_at <= now()
                    and d.next_attempt_at >= coalesce(
                        now() - wanted.due_within * interval '1 microsecond',
                        timestamptz 'epoch' + wanted.due_since * interval '1 microsecond',
                        '-infinity'
                    )
                order by d.next_attempt_at, d.seq
                limit wanted.slots
                for update skip locked
            ) as due
        ),
        head as materialized (
            select candidate.seq as candidate, candidate.lease_end, earliest.seq
            from candidate
            cross join lateral (
                select d.seq
                from tidemark_internal.deliveries as d
                where d.projection = candidate.projection and d.key = candidate.key
                    and d.notifier = candidate.notifier and d.status in ('due', 'dead')
                    and (d.status = 'due' or (candidate.holds and not d.is_cancelled))
                order by d.seq
                limit 1
            ) as earliest
        ),
        blocker as materialized (
            select d.seq, case d.status when 'due' then d.next_attempt_at else now() + interval '1 hour' end as until
            from tidemark_internal.deliveries as d
            where (d.status || '' = 'due' or (d.status || '' = 'dead' and not d.is_cancelled))
                and d.seq in (select head.seq from head except select own.candidate from head as own)
            for share skip locked
        ),
        postponed as (
            update tidemark_internal.deliveries as d
            set next_attempt_at = greatest(wait.until, now() + interval '1 second'), lease_token = null
            from (
                select head.candidate, own.lease_end as until
                from head
                join head as own on own.candidate = head.seq
                where head.seq <> head.candidate
                union all
                select head.candidate, blocker.until
                from head
                join blocker on blocker.seq = head.seq
            ) as wait
            where d.seq = wait.candidate
            returning d.seq
        ),
        claimed as (
            update tidemark_internal.deliveries as d
            set next_attempt_at = head.lease_end, lease_token = $6::uuid
            from head
            where d.seq = head.candidate and head.seq = head.candidate
            returning d.seq, d.id, d.projection, d.key, d.milestone, d.notifier, d.attempts, d.schedule_start, d.body,
                d.created_at
        )
        select seen.may_have_more, (select string_agg(notifier, E'\\x1F') from disabled), claimed.*
        from (
            select coalesce(bool_or(
                wanted.slots <= (select count(*) from candidate where candidate.notifier = wanted.notifier)
            ), false) and (exists (select from claimed) or exists (select from postponed)) as may_have_more
            from wanted
        ) as seen
        left join claimed on true
        order by claimed.seq
        """
}

extension Duration {
    /// Rounded towards zero, within the range of `Int64`.
    var microseconds: Int64 {
        let (seconds, attoseconds) = self.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let (sum, sumOverflow) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        return sumOverflow ? (seconds < 0 ? .min : .max) : sum
    }
}

extension ClaimRequest.Scope {
    /// Microseconds.
    fileprivate var within: Int64? { if case .dueWithin(let age) = self { age.microseconds } else { nil } }
    fileprivate var since: Int64? { if case .dueSince(let time) = self { time } else { nil } }
}
