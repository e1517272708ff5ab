package import LibPQ

/// Removes passes that ended long ago, with their levels, progress and counters. Streams and sources stay. So does a
/// pass that a truncate names, because the truncate applies from the offset at which the pass read it.
package enum PassRetention {
    /// The time that a finished pass is kept.
    package static let standard = Duration.seconds(30 * 86_400)
    /// The most passes to remove at a time, which bounds the transaction.
    private static let passesMax: Int32 = 1000

    /// - Parameter age: how long a finished pass is kept.
    /// - Returns: how many passes were removed.
    package static func removeExpired(_ age: Duration = Self.standard, on connection: Connection) async throws -> Int {
        // Processes that were killed leave their rows.
        _ = try await connection.query(
            """
            delete from tidemark_internal.processes as process
            where seen_at < now() - interval '1 day'
                and not exists (
                    select from tidemark_internal.writing_sessions as session where session.process_id = process.id
                )
            """
        )
        return try await connection.query(
            """
            delete from tidemark_internal.passes
            where id in (
                select pass.id
                from tidemark_internal.passes as pass
                where pass.finished_at < now() - make_interval(secs => $1::double precision)
                    and not exists (select from tidemark_internal.truncates as t where t.pass_id = pass.id)
                order by pass.id
                limit $2::integer
            )
            """,
            [.double(age / .seconds(1)), .int32(Self.passesMax)]
        ).affectedRows
    }
}
