import LibPQ

/// Which process reads a pass's streams.
extension PassStore {
    /// Finds out about the processes that run an unfinished pass over one of the streams. One that sends a heartbeat is
    /// alive, and keeps its pass. One that was killed has no sessions soon: the server takes a moment to notice. One that
    /// stays silent for as long as its lease is fenced, whatever it is doing, and not before it has been watched for some
    /// heartbeats: after a pause of the database every process has been silent.
    /// - Parameter own: this process, which is none of them.
    /// - Throws: `.failed` where this role may not end the sessions of one.
    static func endSilentOwners(
        of streams: [Int64],
        _ projections: [String],
        besides own: Int32?,
        on connection: Connection
    ) async throws {
        guard !streams.isEmpty else { return }
        var watched: [Int32: (seen: String, since: ContinuousClock.Instant)] = [:]
        while true {
            let owners = try await Self.owners(of: streams, projections, besides: own, on: connection)
            var isWaiting = false
            for owner in owners {
                let first = watched[owner.id] ?? (owner.seen, .now)
                watched[owner.id] = first
                guard first.seen == owner.seen else { continue }
                let patience = ProcessSession.heartbeat(owner.leaseTTL) * 3
                guard owner.isSilent, ContinuousClock.now - first.since >= patience,
                    try await Fencing.fence(owner.id, owner.name, on: connection)
                else {
                    isWaiting = true
                    continue
                }
            }
            guard isWaiting else { return }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private struct Owner {
        var id: Int32
        var name: String
        var isSilent: Bool
        /// Its last heartbeat.
        var seen: String
        var leaseTTL: Duration
    }

    /// The processes with sessions that run an unfinished pass over one of the streams.
    private static func owners(
        of streams: [Int64],
        _ projections: [String],
        besides own: Int32?,
        on connection: Connection
    ) async throws -> [Owner] {
        let found = try await connection.query(
            """
            select distinct process.id, process.name, process.seen_at < now() - process.lease_ttl, process.seen_at::text,
                extract(epoch from process.lease_ttl)::double precision
            from tidemark_internal.leases as lease
            join tidemark_internal.passes as pass on pass.id = lease.pass_id
            join tidemark_internal.processes as process on process.id = lease.process_id
            where pass.finished_at is null and not pass.is_service and pass.projections && $1::text[]
                and lease.stream_id = any($2::bigint[])
                and process.id <> $3::integer
                and exists (
                    select from tidemark_internal.writing_sessions as session where session.process_id = process.id
                )
            """,
            [.texts(projections), Self.int8Array(streams), .int32(own ?? 0)]
        )
        return try found.rows { row in
            Owner(
                id: try found.int32(row, 0) ?? 0,
                name: try found.text(row, 1) ?? "",
                isSilent: try found.bool(row, 2) ?? false,
                seen: try found.text(row, 3) ?? "",
                leaseTTL: .seconds(try found.double(row, 4) ?? 0)
            )
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
