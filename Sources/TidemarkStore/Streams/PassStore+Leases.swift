import LibPQ

/// Which process reads a pass's streams.
extension PassStore {
    /// How long a process that was killed may still have sessions: the server takes a moment to notice.
    private static let grace = Duration.seconds(2)

    /// Ends the sessions of processes that run an unfinished pass over one of the streams, and have been silent for longer
    /// than their leases; waits a moment for those of one that was killed. Then either the pass can be resumed, or another
    /// process is running it.
    static func endSilentOwners(
        of streams: [Int64],
        _ projections: [String],
        besides own: Int32?,
        on connection: Connection
    ) async throws {
        let deadline = ContinuousClock.now + Self.grace
        while true {
            let owners = try await connection.query(
                """
                select distinct process.id, process.seen_at < now() - process.lease_ttl
                from tidemark_internal.leases as lease
                join tidemark_internal.passes as pass on pass.id = lease.pass_id
                join tidemark_internal.processes as process on process.id = lease.process_id
                where pass.finished_at is null and pass.projections && $1::text[] and lease.stream_id = any($2::bigint[])
                    and process.id <> $3::integer
                    and exists (
                        select from tidemark_internal.writing_sessions as session where session.process_id = process.id
                    )
                """,
                [.texts(projections), Self.int8Array(streams), .int32(own ?? 0)]
            )
            guard owners.rowCount > 0 else { return }
            var isWaiting = false
            for row in 0..<owners.rowCount {
                if try owners.bool(row, 1) == true {
                    _ = try await Fencing.fence(try owners.int32(row, 0) ?? 0, on: connection)
                } else {
                    isWaiting = true
                }
            }
            guard isWaiting, ContinuousClock.now < deadline else { return }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// The process reads the streams of the pass from now on.
    static func takeLeases(of pass: Int64, _ process: Int32, on connection: Connection) async throws {
        _ = try await connection.query(
            """
            update tidemark_internal.leases set process_id = $2::integer, generation = generation + 1
            where pass_id = $1::bigint and process_id is distinct from $2::integer
            """,
            [.int64(pass), .int32(process)]
        )
    }
}
