package import LibPQ

/// The outbox as relays and the command line see it.
///
/// Each call is one statement and one transaction. A delivery is `due`, and its `next_attempt_at` says from when on it
/// may be taken: taking it moves that to the end of the lease, a failure to the next attempt, and waiting behind another
/// delivery of the entity to that one's time. So whatever somebody has died over comes up again by itself, and the index
/// `deliveries_due` holds what can be taken at its front however much there is behind it.
package enum DeliveryStore {
    /// Whoever writes deliveries may `NOTIFY` here. It only wakes; the table decides.
    package static let channel = "tidemark_deliveries"

    /// Sets a connection up for these statements: they are look-ups by index, a few rows each, whatever the planner
    /// believes about a table that is filled faster than it is analyzed.
    ///
    /// Commits do not wait for the disk. What a crash of the server takes back is at most that a delivery was taken or
    /// done; it is made again then, under the same id, as deliveries may be.
    static func prepare(_ connection: Connection) async throws(PostgresError) {
        try await connection.execute(
            """
            set jit = off;
            set enable_seqscan = off;
            set enable_mergejoin = off;
            set enable_hashjoin = off;
            set plan_cache_mode = force_generic_plan;
            set synchronous_commit = off;
            set search_path = pg_catalog;
            """
        )
        try await connection.prepare(Self.claimName, Self.claimSQL)
        try await connection.prepare(Self.recordName, Self.recordSQL)
    }

    private static let claimName = "tm_delivery_claim"
    static let recordName = "tm_delivery_record"

    // MARK: Claiming

    /// Takes deliveries that are due, each entity's next one only, under leases.
    ///
    /// Two relays never have the same delivery, nor two of one entity and notifier: what one has locked the other
    /// passes over, and what it has claimed is not due until the lease ends. A `held`, `dead` or delivered one blocks
    /// nobody.
    /// - Parameter token: a new UUID for each call.
    /// - Complexity: O(the sum of the limits), look-ups by index.
    package static func claim(
        _ requests: [ClaimRequest],
        token: String,
        on connection: Connection
    ) async throws(PostgresError) -> DeliveryClaim {
        try await Self.claim(requests, token: token, by: .sql(Self.claimSQL), on: connection)
    }

    /// The same over a connection that ``prepare(_:)`` has set up.
    static func claimPrepared(
        _ requests: [ClaimRequest],
        token: String,
        on connection: Connection
    ) async throws(PostgresError) -> DeliveryClaim {
        try await Self.claim(requests, token: token, by: .prepared(Self.claimName), on: connection)
    }

    private static func claim(
        _ requests: [ClaimRequest],
        token: String,
        by command: Statement.Command,
        on connection: Connection
    ) async throws(PostgresError) -> DeliveryClaim {
        var rows = ArrayParameters([OID.text, OID.int4, OID.int8, OID.bool], rows: requests.count)
        for request in requests {
            rows.append(request.notifier, to: 0)
            rows.append(Int32(clamping: request.limit), to: 1)
            rows.append(request.lease.microseconds, to: 2)
            rows.append(request.holdsBehindDead, to: 3)
        }
        let result = try await connection.query(Statement(command, rows.parameters + [.text(token)]))
        let disabled = (try result.text(0, 1) ?? "").split(separator: "\u{1F}").map(String.init)
        var claim = DeliveryClaim(
            deliveries: [],
            mayHaveMore: try result.bool(0, 0) ?? false,
            disabled: Set(disabled)
        )
        // A row without a delivery is there for what stands before it alone.
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

    // One statement, so that what is locked, looked at and changed is one moment's view:
    // - `candidate` locks what is due. Rows that others hold are passed over, so that nobody waits for anybody.
    // - `head` is each candidate's first delivery of the entity that is due, or dead and in the way, as the statement's
    //   snapshot has it.
    // - A candidate that is its own head is claimed. One whose head is claimed here waits for that lease.
    // - For the others `blocker` locks the head and reads it anew: only while it is certainly still in the way may a
    //   candidate be put off until the head's time, because what ends the wait (the triggers that call
    //   `delivery_leaves_due`) comes after us then and finds the candidate put off. If the head is locked by somebody or
    //   in the way no more, the candidate stays as it is, for the next claim.
    // - Behind a dead one the wait is for an operator. It is looked at again every hour all the same: the configuration
    //   may say `skip` by then.
    // Names are joined by a control character, which none has in it.
    private static let claimSQL = """
        with asked as materialized (
            select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::boolean[])
                as asked(notifier, slots, lease, holds)
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
            where (d.status = 'due' or (d.status = 'dead' and not d.is_cancelled))
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
            set next_attempt_at = head.lease_end, lease_token = $5::uuid
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
