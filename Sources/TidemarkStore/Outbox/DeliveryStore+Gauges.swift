package import LibPQ

extension DeliveryStore {
    /// What is open for one notifier.
    package struct Open: Sendable, Equatable {
        package var notifier: String
        /// Due, held or dead.
        package var count: Int64
        /// The age of the oldest one that is due, in seconds; 0 without one.
        package var oldestSeconds: Double
    }

    /// What is open, by notifier. Notifiers without anything are not among them.
    /// - Parameter limit: no more are counted.
    /// - Complexity: O(open deliveries), up to the limit.
    package static func open(limit: Int, on connection: Connection) async throws(PostgresError) -> [Open] {
        let found = try await connection.query(
            """
            select counted.notifier, counted.count, coalesce(extract(epoch from now() - oldest.created_at), 0)::double precision
            from (
                select notifier, count(*)
                from (
                    select notifier from tidemark_internal.deliveries
                    where status in ('due', 'held', 'dead')
                    limit $1::bigint
                ) as open
                group by notifier
            ) as counted
            left join lateral (
                select min(due.created_at) as created_at
                from (
                    select created_at from tidemark_internal.deliveries as delivery
                    where delivery.notifier = counted.notifier and delivery.status = 'due'
                    limit $1::bigint
                ) as due
            ) as oldest on true
            order by counted.notifier
            """,
            [.int64(Int64(limit))]
        )
        return try found.rows { row throws(PostgresError) in
            Open(
                notifier: try found.text(row, 0) ?? "",
                count: try found.int64(row, 1) ?? 0,
                oldestSeconds: max(0, try found.double(row, 2) ?? 0)
            )
        }
    }
}
