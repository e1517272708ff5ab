package import LibPQ

/// The ids of sources, for `$received`.
extension PassStore {
    /// The ids of sources, each assigned once, in the order in which sources were first read, so that `$received`
    /// compares alike in every run.
    package static func identify(sources: [String], on connection: Connection) async throws -> [String: Int64] {
        var ids: [String: Int64] = [:]
        for name in sources where ids[name] == nil {
            let known = try await connection.query(
                "select id from tidemark_internal.sources where name = $1::text",
                [.text(name)]
            )
            if known.rowCount == 1 {
                ids[name] = try known.int64(0, 0)
                continue
            }
            let added = try await connection.query(
                """
                insert into tidemark_internal.sources as known (name) values ($1::text)
                on conflict (name) do update set name = known.name
                returning id
                """,
                [.text(name)]
            )
            ids[name] = try added.int64(0, 0)
        }
        return ids
    }
}
