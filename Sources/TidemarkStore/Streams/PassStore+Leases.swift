import LibPQ

/// Which process reads a pass's streams.
extension PassStore {
    /// Finds out about the processes that run an unfinished pass over one of the streams. One that sends a heartbeat is
    /// alive, and keeps its pass. One that was killed has no sessions soon: the server takes a moment to notice. One that
    /// stays silent for as long as its lease is fenced, whatever it is doing.
    /// - Parameter own: this process, which is none of them.
    static func endSilentOwners(
        of streams: [Int64],
        _ projections: [String],
        besides own: Int32?,
        on connection: Connection
    ) async throws {
        guard !streams.isEmpty else { return }
        var heard: [Int32: String] = [:]
        while true {
            let owners = try await connection.query(
                """
                select distinct process.id, process.seen_at < now() - process.lease_ttl, process.seen_at::text
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
            var isWaiting = false
            for row in 0..<owners.rowCount {
                let id = try owners.int32(row, 0) ?? 0
                if try owners.bool(row, 1) == true {
                    _ = try await Fencing.fence(id, on: connection)
                    continue
                }
                let seen = try owners.text(row, 2) ?? ""
                if heard[id] ?? seen == seen { isWaiting = true }
                heard[id] = heard[id] ?? seen
            }
            guard isWaiting else { return }
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
