package import LibPQ

extension DeadLetterStore {
    /// Of each source with dead letters, how many messages are committed behind the first one of their stream.
    /// - Complexity: O(dead letters).
    package static func messagesBehind(on connection: Connection) async throws(PostgresError) -> [String: Int64] {
        let found = try await connection.query(
            """
            select letter.source, sum(greatest(reached.major - letter.first - 1, 0))::bigint
            from (
                select source, stream_id, min(tidemark_internal.offset_major("offset")) as first
                from tidemark_internal.dead_letters
                where stream_id is not null and "offset" is not null
                group by source, stream_id
            ) as letter
            cross join lateral (
                select max(tidemark_internal.offset_major(lease."offset")) as major
                from tidemark_internal.leases as lease
                where lease.stream_id = letter.stream_id and lease.projection = ''
            ) as reached
            where reached.major is not null
            group by letter.source
            """
        )
        let rows = try found.rows { row throws(PostgresError) in
            (source: try found.text(row, 0) ?? "", count: try found.int64(row, 1) ?? 0)
        }
        return Dictionary(rows.map { ($0.source, $0.count) }) { $1 }
    }
}
