package import LibPQ

extension DeliveryStore {
    /// How many deliveries are due that nobody has tried yet and nothing holds up: no earlier one of their entity is
    /// due. Those on their way for the first time count.
    /// - Parameter notifiers: those that can deliver; `nil` for all.
    /// - Complexity: O(due deliveries). Not for every turn of a loop.
    package static func countUntried(
        projections: [String],
        notifiers: [String]? = nil,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        // One that was put off waits behind another: only what is on its way or may be taken now is worth a look-up.
        let result = try await connection.query(
            """
            select count(*)
            from tidemark_internal.deliveries as d
            where d.status = 'due' and d.attempts = 0 and d.projection = any($1::text[])
                and ($2::text[] is null or d.notifier = any($2::text[]))
                and (d.lease_token is not null or d.next_attempt_at <= now())
                and not exists (
                    select from tidemark_internal.deliveries as earlier
                    where earlier.projection = d.projection and earlier.key = d.key
                        and earlier.notifier = d.notifier and earlier.status = 'due' and earlier.seq < d.seq
                )
            """,
            [Self.array(projections), notifiers.map(Self.array) ?? .null]
        )
        return Int(try result.int64(0, 0) ?? 0)
    }

    /// How long it is, by the server's clock, until the next delivery may be taken; zero or less when one may be now,
    /// `nil` when none is due.
    package static func nextDue(
        notifiers: [String],
        on connection: Connection
    ) async throws(PostgresError) -> Duration? {
        let result = try await connection.query(
            """
            select (extract(epoch from min(next.next_attempt_at) - now()) * 1000000)::bigint
            from unnest($1::text[]) as notifier
            cross join lateral (
                select d.next_attempt_at
                from tidemark_internal.deliveries as d
                where d.status = 'due' and d.notifier = notifier
                order by d.next_attempt_at
                limit 1
            ) as next
            """,
            [Self.array(notifiers)]
        )
        return try result.int64(0, 0).map { .microseconds($0) }
    }

    /// Deliveries, the newest first.
    package static func list(
        _ filter: DeliveryFilter,
        on connection: Connection
    ) async throws(PostgresError) -> [DeliveryRow] {
        func text(_ value: String?) -> Parameter { value.map { .text($0) } ?? .null }
        let result = try await connection.query(
            """
            select id, projection, key, milestone, notifier, status, attempts, next_attempt_at, last_error,
                created_at, delivered_at
            from tidemark_internal.deliveries
            where ($1::text is null or id::text = lower($1::text))
                and ($2::text is null or status = $2::text)
                and ($3::text is null or projection = $3::text)
                and ($4::text is null or milestone = $4::text)
                and ($5::text is null or notifier = $5::text)
            order by seq desc
            limit $6::bigint
            """,
            [
                text(filter.id), text(filter.status), text(filter.projection), text(filter.milestone),
                text(filter.notifier), .int64(Int64(filter.limit)),
            ]
        )
        var rows: [DeliveryRow] = []
        rows.reserveCapacity(result.rowCount)
        for row in 0..<result.rowCount {
            rows.append(
                DeliveryRow(
                    id: try result.uuid(row, 0) ?? "",
                    projection: try result.text(row, 1) ?? "",
                    key: try result.text(row, 2) ?? "[]",
                    milestone: try result.text(row, 3) ?? "",
                    notifier: try result.text(row, 4) ?? "",
                    status: try result.text(row, 5) ?? "",
                    attempts: Int(try result.int32(row, 6) ?? 0),
                    nextAttemptAt: try result.timestamp(row, 7),
                    lastError: try result.text(row, 8),
                    createdAt: try result.timestamp(row, 9) ?? 0,
                    deliveredAt: try result.timestamp(row, 10)
                )
            )
        }
        return rows
    }

    private static func array(_ values: [String]) -> Parameter {
        var array = BinaryArray(elementOID: OID.text, expectedCount: values.count)
        for value in values { array.append(value) }
        return array.parameter(arrayOID: OID.textArray)
    }
}
