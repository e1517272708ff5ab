package import LibPQ

/// Removes what nothing asks for any more: passes that ended long ago, with their levels, progress and counters. Streams
/// and sources stay, and so does a pass that a truncate names, since the truncate counts by where it was read.
package enum PassRetention {
    /// How long a finished pass is kept.
    package static let days = 30
    /// So many are removed at a time: a bounded transaction.
    private static let passesMax: Int32 = 1000

    /// - Returns: how many passes were removed.
    package static func removeExpired(on connection: Connection) async throws -> Int {
        try await connection.query(
            """
            delete from tidemark_internal.passes
            where id in (
                select pass.id
                from tidemark_internal.passes as pass
                where pass.finished_at < now() - make_interval(days => $1::integer)
                    and not exists (select from tidemark_internal.truncates as t where t.pass_id = pass.id)
                order by pass.id
                limit $2::integer
            )
            """,
            [.int32(Int32(Self.days)), .int32(Self.passesMax)]
        ).affectedRows
    }
}
