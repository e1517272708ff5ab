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
            set plan_cache_mode = force_generic_plan;
            set synchronous_commit = off;
            set search_path = pg_catalog;
            """
        )
        try await connection.prepare(Self.claimName, Self.claimSQL)
        try await connection.prepare(Self.recordName, Self.recordSQL)
    }

    private static let claimName = "tm_delivery_claim"
    private static let recordName = "tm_delivery_record"

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
        var rows = ArrayParameters([OID.text, OID.int4, OID.int8], rows: requests.count)
        for request in requests {
            rows.append(request.notifier, to: 0)
            rows.append(Int32(clamping: request.limit), to: 1)
            rows.append(request.lease.microseconds, to: 2)
        }
        let result = try await connection.query(Statement(command, rows.parameters + [.text(token)]))
        var claim = DeliveryClaim(deliveries: [], mayHaveMore: try result.bool(0, 0) ?? false)
        // A row without a delivery is there for the flag alone.
        for row in 0..<result.rowCount where !result.isNull(row, 1) {
            claim.deliveries.append(
                ClaimedDelivery(
                    seq: try result.int64(row, 1) ?? 0,
                    token: token,
                    id: try result.uuid(row, 2) ?? "",
                    projection: try result.text(row, 3) ?? "",
                    keyJSON: try result.text(row, 4) ?? "[]",
                    milestone: try result.text(row, 5) ?? "",
                    notifier: try result.text(row, 6) ?? "",
                    attempts: Int(try result.int32(row, 7) ?? 0),
                    body: Array((try result.text(row, 8) ?? "").utf8),
                    createdAt: try result.timestamp(row, 9) ?? 0
                )
            )
        }
        return claim
    }

    // One statement, so that what is locked, looked at and changed is one moment's view:
    // - `candidate` locks what is due. Rows that others hold are passed over, so that nobody waits for anybody.
    // - `head` is each candidate's first due delivery of the entity, as the statement's snapshot has it.
    // - A candidate that is its own head is claimed. One whose head is claimed here waits for that lease.
    // - For the others `blocker` locks the head and reads it anew: only while it is certainly still due may a candidate
    //   be put off until the head's time, because what ends the wait (the trigger `delivery_leaves_due`) comes after
    //   us then and finds the candidate put off. If the head is locked by somebody or no longer due, the candidate
    //   stays as it is, for the next claim.
    private static let claimSQL = """
        with wanted as materialized (
            select * from unnest($1::text[], $2::integer[], $3::bigint[]) as wanted(notifier, slots, lease)
        ),
        candidate as materialized (
            select due.seq, due.projection, due.key, due.notifier,
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
                    and d.notifier = candidate.notifier and d.status = 'due'
                order by d.seq
                limit 1
            ) as earliest
        ),
        blocker as materialized (
            select d.seq, d.next_attempt_at
            from tidemark_internal.deliveries as d
            where d.status = 'due'
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
                select head.candidate, blocker.next_attempt_at
                from head
                join blocker on blocker.seq = head.seq
            ) as wait
            where d.seq = wait.candidate
            returning d.seq
        ),
        claimed as (
            update tidemark_internal.deliveries as d
            set next_attempt_at = head.lease_end, lease_token = $4::uuid
            from head
            where d.seq = head.candidate and head.seq = head.candidate
            returning d.seq, d.id, d.projection, d.key, d.milestone, d.notifier, d.attempts, d.body, d.created_at
        )
        select seen.may_have_more, claimed.*
        from (
            select bool_or(
                wanted.slots <= (select count(*) from candidate where candidate.notifier = wanted.notifier)
            ) and (exists (select from claimed) or exists (select from postponed)) as may_have_more
            from wanted
        ) as seen
        left join claimed on true
        order by claimed.seq
        """

    // MARK: Results

    /// Writes how attempts ended, if the deliveries are still with who made them.
    /// - Returns: the places in the outbox of those written. The others' leases had ended and somebody else has them:
    ///   their results are refused.
    package static func record(
        _ records: [DeliveryRecord],
        on connection: Connection
    ) async throws(PostgresError) -> Set<Int64> {
        try await Self.record(records, by: .sql(Self.recordSQL), on: connection)
    }

    static func recordPrepared(
        _ records: [DeliveryRecord],
        on connection: Connection
    ) async throws(PostgresError) -> Set<Int64> {
        try await Self.record(records, by: .prepared(Self.recordName), on: connection)
    }

    private static func record(
        _ records: [DeliveryRecord],
        by command: Statement.Command,
        on connection: Connection
    ) async throws(PostgresError) -> Set<Int64> {
        guard !records.isEmpty else { return [] }
        var rows = ArrayParameters([OID.int8, OID.text, OID.text, OID.int8, OID.text], rows: records.count)
        // In one order everywhere, so that two batches do not lock each other out.
        for record in records.sorted(by: { $0.seq < $1.seq }) {
            rows.append(record.seq, to: 0)
            rows.append(record.token, to: 1)
            switch record.outcome {
            case .delivered:
                rows.append("delivered", to: 2)
                rows.append(Int64(0), to: 3)
            case .failed(let delay):
                rows.append("failed", to: 2)
                rows.append(delay.microseconds, to: 3)
            case .dead:
                rows.append("dead", to: 2)
                rows.append(Int64(0), to: 3)
            }
            rows.append(orNull: record.error.map { Array($0.utf8)[...] }, to: 4)
        }
        let result = try await connection.query(Statement(command, rows.parameters))
        var written: Set<Int64> = []
        for row in 0..<result.rowCount { written.insert(try result.int64(row, 0) ?? 0) }
        return written
    }

    // A delivery that was held while it was on its way has gone out all the same: `held` does not refuse a result.
    private static let recordSQL = """
        update tidemark_internal.deliveries as d
        set status = case result.outcome when 'failed' then d.status else result.outcome end,
            attempts = d.attempts + 1,
            next_attempt_at = case result.outcome
                when 'failed' then now() + result.delay * interval '1 microsecond'
            end,
            lease_token = null,
            last_error = coalesce(result.error, d.last_error),
            delivered_at = case result.outcome when 'delivered' then now() end
        from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[])
            as result(seq, token, outcome, delay, error)
        where d.seq = result.seq and d.lease_token = result.token::uuid and d.status in ('due', 'held')
        returning d.seq
        """

    /// Gives deliveries back that were not tried, for anybody to take at once.
    package static func release(
        _ deliveries: [ClaimedDelivery],
        on connection: Connection
    ) async throws(PostgresError) {
        guard !deliveries.isEmpty else { return }
        var rows = ArrayParameters([OID.int8, OID.text], rows: deliveries.count)
        for delivery in deliveries.sorted(by: { $0.seq < $1.seq }) {
            rows.append(delivery.seq, to: 0)
            rows.append(delivery.token, to: 1)
        }
        _ = try await connection.query(
            """
            update tidemark_internal.deliveries as d
            set next_attempt_at = now(), lease_token = null
            from unnest($1::bigint[], $2::text[]) as claimed(seq, token)
            where d.seq = claimed.seq and d.lease_token = claimed.token::uuid and d.status in ('due', 'held')
            """,
            rows.parameters
        )
    }

    /// Gives back whatever a claim has taken whose answer was lost with the connection.
    package static func release(
        claim token: String,
        of requests: [ClaimRequest],
        on connection: Connection
    ) async throws(PostgresError) {
        var notifiers = ArrayParameters([OID.text], rows: requests.count)
        for request in requests { notifiers.append(request.notifier, to: 0) }
        let lease = requests.map(\.lease).max() ?? .zero
        _ = try await connection.query(
            """
            update tidemark_internal.deliveries as d
            set next_attempt_at = now(), lease_token = null
            where d.status = 'due' and d.notifier = any($1::text[]) and d.next_attempt_at > now()
                and d.next_attempt_at <= now() + $2::bigint * interval '1 microsecond'
                and d.lease_token = $3::uuid
            """,
            notifiers.parameters + [.int64(lease.microseconds), .text(token)]
        )
    }
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
