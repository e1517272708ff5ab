package import LibPQ

extension DeliveryStore {
    // MARK: Results

    /// Writes the results of attempts whose claim still holds.
    /// - Returns: the ranks in the outbox of those written. The others' results are refused, because their leases had
    ///   ended and another relay has claimed them.
    package static func record(
        _ records: [DeliveryRecord],
        by command: Statement.Command = .sql(Self.recordSQL),
        on connection: Connection
    ) async throws(PostgresError) -> Set<Int64> {
        guard !records.isEmpty else { return [] }
        var rows = ArrayParameters(
            [OID.int8, OID.text, OID.text, OID.int8, OID.text, OID.int4, OID.text, OID.int8],
            rows: records.count
        )
        // Rows are locked in one order everywhere, so that two batches do not deadlock.
        for record in records.sorted(by: { $0.seq < $1.seq }) {
            rows.append(record.seq, to: 0)
            rows.append(record.token, to: 1)
            let (outcome, delay) =
                switch record.outcome {
                case .delivered: ("delivered", Duration.zero)
                case .failed(let delay): ("failed", delay)
                case .dead: ("dead", Duration.zero)
                case .gone(let delay): ("gone", delay)
                }
            rows.append(outcome, to: 2)
            rows.append(delay.microseconds, to: 3)
            rows.append(orNull: record.error.map { Array($0.utf8)[...] }, to: 4)
            rows.append(orNull: record.status.map { Int32(clamping: $0) }, to: 5)
            rows.append(orNull: record.excerpt.map { Array($0.utf8)[...] }, to: 6)
            rows.append(record.duration.microseconds, to: 7)
        }
        let result = try await connection.query(Statement(command, rows.parameters))
        return Set(try result.rows { row throws(PostgresError) in try result.int64(row, 0) ?? 0 })
    }

    // A delivery that became `held` during its attempt was sent, so its result is written. The status is compared as an
    // expression, which no partial index matches: planned while the table is empty, a scan of all open deliveries seems
    // as cheap as a look-up by `seq`, and the plan stays for as long as the table is not analyzed.
    package static let recordSQL = """
        with result as materialized (
            select *
            from unnest(
                $1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[], $7::text[], $8::bigint[]
            ) as result(seq, token, outcome, delay, error, status, excerpt, duration)
        ),
        written as (
            update tidemark_internal.deliveries as d
            set status = case when result.outcome in ('failed', 'gone') then d.status else result.outcome end,
                attempts = d.attempts + 1,
                next_attempt_at = case
                    when result.outcome in ('failed', 'gone') then now() + result.delay * interval '1 microsecond'
                end,
                lease_token = null,
                last_error = coalesce(result.error, d.last_error),
                delivered_at = case result.outcome when 'delivered' then now() end
            from result
            where d.seq = result.seq and d.lease_token = result.token::uuid and d.status || '' in ('due', 'held')
            returning d.seq, d.notifier, d.attempts, result.outcome, result.error, result.status, result.excerpt,
                result.duration * interval '1 microsecond' as duration
        ),
        kept as (
            insert into tidemark_internal.attempts
                (seq, attempt, started_at, duration, outcome, status, error, excerpt)
            select seq, attempts, now() - duration, duration, outcome, status, error, excerpt
            from written
        ),
        disabled as (
            insert into tidemark_internal.disabled_notifiers (notifier, reason)
            select distinct on (notifier) notifier, coalesce(error, 'gone')
            from written
            where outcome = 'gone'
            on conflict do nothing
        )
        select seq from written
        """

    /// Releases claimed deliveries that were not tried, so that any relay can claim them at once.
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

    /// Releases the deliveries of a claim whose answer was lost with the connection.
    package static func release(
        claim token: String,
        of requests: [ClaimRequest],
        on connection: Connection
    ) async throws(PostgresError) {
        let lease = requests.map(\.lease).max() ?? .zero
        _ = try await connection.query(
            """
            update tidemark_internal.deliveries as d
            set next_attempt_at = now(), lease_token = null
            where d.status = 'due' and d.notifier = any($1::text[]) and d.next_attempt_at > now()
                and d.next_attempt_at <= now() + $2::bigint * interval '1 microsecond'
                and d.lease_token = $3::uuid
            """,
            [.texts(requests.map(\.notifier)), .int64(lease.microseconds), .text(token)]
        )
    }
}
