package import LibPQ
package import TidemarkCore

/// The service's pass: it never ends, and its processes share its streams by leases.
extension PassStore {
    /// Begins the service's pass over projections, or takes part in it.
    /// - Returns: the pass without levels and progress, which are loaded with each stream.
    static func beginService(
        projections: [String],
        lanes: Int,
        process: Int32,
        on connection: Connection
    ) async throws -> PassState {
        try await connection.transaction("begin; \(Migrator.lock)") {
            var state = PassState(id: 0, lanes: lanes)
            let found = try await connection.query(
                """
                update tidemark_internal.passes as pass
                set runs = runs + 1, run_started_at = now(), lanes = $2::integer
                where id = (
                    select id from tidemark_internal.passes as candidate
                    where is_service and finished_at is null
                        and (
                            projections && $1::text[]
                            -- All that it reads together may be paused.
                            or exists (
                                select from tidemark_internal.leases as own
                                where own.pass_id = candidate.id and own.projection = any($1::text[])
                            )
                        )
                    order by projections = $1::text[] desc, projections && $1::text[] desc, id desc
                    limit 1
                )
                returning id, lane_rule
                """,
                [.texts(projections), .int32(Int32(lanes))]
            )
            if found.rowCount == 1 {
                state.id = try found.int64(0, 0) ?? 0
                guard let rule = LaneRule(rawValue: try found.int16(0, 1) ?? 0) else {
                    throw StoreError(.configuration, "pass \(state.id) was begun by a newer tidemark; run that one")
                }
                state.laneRule = rule
                state.isResumed = true
                try await Self.attach(projections, to: state.id, on: connection)
            } else {
                let added = try await connection.query(
                    """
                    insert into tidemark_internal.passes (projections, lanes, is_service)
                    values ($1::text[], $2::integer, true)
                    returning id
                    """,
                    [.texts(projections), .int32(Int32(lanes))]
                )
                state.id = try added.int64(0, 0) ?? 0
            }
            _ = try await connection.query(
                "update tidemark_internal.processes set pass_id = $2::bigint where id = $1::integer",
                [.int32(process), .int64(state.id)]
            )
            try await Self.foldEndedCounters(of: state.id, on: connection)
            try await Self.enterCounters(
                state.id,
                process: process,
                lanes: lanes,
                projections: projections,
                on: connection
            )
            return state
        }
    }

    /// Adds up what processes that are gone have counted.
    private static func foldEndedCounters(of pass: Int64, on connection: Connection) async throws {
        _ = try await connection.query(
            """
            select tidemark_internal.fold_counters($1::bigint, ended.process_id)
            from (
                select distinct process_id from tidemark_internal.counters as counted
                where pass_id = $1::bigint and process_id <> 0
                    and not exists (
                        select from tidemark_internal.processes as process
                        where process.id = counted.process_id
                            and (
                                process.fenced_at is null
                                or exists (
                                    select from tidemark_internal.writing_sessions as session
                                    where session.process_id = process.id
                                )
                            )
                    )
            ) as ended
            """,
            [.int64(pass)]
        )
    }

    /// Gives back the process's leases, and adds up what it has counted. A repeat changes nothing.
    static func leaveService(_ pass: Int64, _ process: Int32, on connection: Connection) async throws {
        let parameters: [Parameter] = [.int64(pass), .int32(process)]
        try await connection.transaction {
            _ = try await connection.query(
                """
                update tidemark_internal.leases set process_id = null
                where pass_id = $1::bigint and process_id = $2::integer
                """,
                parameters
            )
            _ = try await connection.query(
                "select tidemark_internal.fold_counters($1::bigint, $2::integer)",
                parameters
            )
            _ = try await connection.query(
                "update tidemark_internal.processes set pass_id = null, wants = '{}' where id = $2::integer and pass_id = $1::bigint",
                parameters
            )
        }
    }

    /// Has the pass read a stream, for all its projections.
    static func enterLease(of stream: StreamID, in pass: Int64, _ own: [String], on connection: Connection) async throws
    {
        // A projection of the pass that this process does not have reads the stream by itself later.
        _ = try await connection.query(
            """
            insert into tidemark_internal.leases (pass_id, stream_id, projection, input_order)
            select $1::bigint, $2::bigint, reading.projection, 0
            from (
                select '' as projection
                union all
                select unnest(projections) from tidemark_internal.passes where id = $1::bigint
                except all
                select unnest($3::text[])
            ) as reading
            where not exists (
                select from tidemark_internal.leases as known
                where known.pass_id = $1::bigint and known.stream_id = $2::bigint
            )
            on conflict do nothing
            """,
            [.int64(pass), .int64(stream.rawValue), .texts(own)]
        )
    }

    /// Whether anything is left to read of a stream. One that was at its end and has grown is read on.
    static func isOpen(
        _ stream: StreamID,
        in pass: Int64,
        _ description: StreamDescription,
        on connection: Connection
    ) async throws -> Bool {
        let parameters: [Parameter] = [.int64(pass), .int64(stream.rawValue)]
        var state = PassState(id: pass, lanes: 1)
        try await Self.loadProgress(&state, [], of: stream, on: connection)
        if let level = state.committed[ProgressKey(stream: stream)]?.level, level.isAtEnd, !description.isAtEnd(level) {
            _ = try await connection.query(
                """
                update tidemark_internal.leases set is_at_end = false
                where pass_id = $1::bigint and stream_id = $2::bigint and projection = ''
                """,
                parameters
            )
        }
        return try await connection.query(
            """
            select exists (
                select from tidemark_internal.leases as lease
                where lease.pass_id = $1::bigint and lease.stream_id = $2::bigint and \(Self.isOpen)
            )
            """,
            parameters
        ).bool(0, 0) ?? true
    }

    // MARK: Sharing

    /// Tells the other processes which streams this one could read and does not hold.
    static func tell(wants: Set<StreamID>, of process: Int32, on connection: Connection) async throws {
        _ = try await connection.query(
            "update tidemark_internal.processes set wants = $2::bigint[] where id = $1::integer and wants <> $2::bigint[]",
            [.int32(process), Self.int8Array(wants.map(\.rawValue).sorted())]
        )
    }

    /// Readings of a stream that are not done: that of the projections that are read together until the stream ends,
    /// that of one that is read by itself until it joins them.
    private static let isOpen =
        "not lease.is_at_end and (lease.joined_at is null or lease.\"offset\" < lease.joined_at)"

    /// Finds out how the streams of the pass are shared.
    /// - Returns: the table, and the processes that have been silent for half of their leases.
    static func shares(
        of pass: Int64,
        _ process: Int32,
        on connection: Connection
    ) async throws -> (table: LeaseTable, silent: [Int32]) {
        let streams = try await connection.query(
            """
            select lease.stream_id, holder.id, source.paused_at is not null, holder.fenced_at is not null,
                holder.seen_at < now() - holder.lease_ttl / 2
            from tidemark_internal.leases as lease
            join tidemark_internal.streams as stream on stream.id = lease.stream_id
            left join tidemark_internal.sources as source on source.id = stream.source_id
            left join tidemark_internal.processes as holder on holder.id = lease.process_id
            where lease.pass_id = $1::bigint and lease.projection = '' and lease.stream_id in (
                select lease.stream_id from tidemark_internal.leases as lease
                where lease.pass_id = $1::bigint and \(Self.isOpen)
            )
            """,
            [.int64(pass)]
        )
        let others = try await connection.query(
            """
            select process.id, wanted.stream_id
            from tidemark_internal.processes as process
            left join lateral unnest(process.wants) as wanted (stream_id) on true
            where pass_id = $1::bigint and id <> $2::integer and fenced_at is null and seen_at > now() - lease_ttl
            """,
            [.int64(pass), .int32(process)]
        )
        var table = LeaseTable(streams: [:])
        for row in 0..<others.rowCount {
            let other = try others.int32(row, 0) ?? 0
            table.wants[other, default: []].formUnion(
                try others.int64(row, 1).map { [StreamID(rawValue: $0)] } ?? []
            )
        }
        var silent: Set<Int32> = []
        var fenced: [Int32: [StreamID]] = [:]
        for row in 0..<streams.rowCount {
            let stream = StreamID(rawValue: try streams.int64(row, 0) ?? 0)
            if try streams.bool(row, 2) == true {
                table.paused.insert(stream)
                continue
            }
            guard let holder = try streams.int32(row, 1) else {
                table.streams[stream] = .nobody
                continue
            }
            table.streams[stream] = holder == process ? .own : .other(holder)
            if holder == process { continue }
            if try streams.bool(row, 3) == true { fenced[holder, default: []].append(stream) }
            if try streams.bool(row, 4) == true { silent.insert(holder) }
        }
        for (holder, leases) in fenced where try await !Self.hasSessions(holder, on: connection) {
            for stream in leases { table.streams[stream] = .nobody }
        }
        return (table, Array(silent))
    }

    private static func hasSessions(_ process: Int32, on connection: Connection) async throws -> Bool {
        try await connection.query(
            "select exists (select from tidemark_internal.writing_sessions where process_id = $1::integer)",
            [.int32(process)]
        ).bool(0, 0) ?? true
    }

    /// Fences processes that are silent and have no session: the server has noticed that they were killed.
    static func fenceKilled(_ processes: [Int32], on connection: Connection) async throws {
        for process in processes {
            _ = try await connection.query(
                """
                update tidemark_internal.processes as process set fenced_at = now()
                where id = $1::integer and fenced_at is null and seen_at < now() - lease_ttl / 2
                    and not exists (
                        select from tidemark_internal.writing_sessions as session where session.process_id = process.id
                    )
                """,
                [.int32(process)]
            )
        }
    }

    /// Takes a stream's lease, unless a process that may have it came first.
    /// - Returns: whether it was taken.
    static func take(
        _ stream: StreamID,
        of pass: Int64,
        _ process: Int32,
        on connection: Connection
    ) async throws -> Bool {
        // The row of the projections that are read together is the lease; those of others go with it.
        try await connection.query(
            """
            with taken as (
                update tidemark_internal.leases as lease
                set process_id = $3::integer, generation = generation + 1, taken_at = now()
                where pass_id = $1::bigint and stream_id = $2::bigint and projection = ''
                    and (
                        process_id is null or process_id = $3::integer
                        or exists (
                            select from tidemark_internal.processes as holder
                            where holder.id = lease.process_id and holder.fenced_at is not null
                                and not exists (
                                    select from tidemark_internal.writing_sessions as session
                                    where session.process_id = holder.id
                                )
                        )
                    )
                returning stream_id
            ),
            others as (
                update tidemark_internal.leases as lease
                set process_id = $3::integer, generation = generation + 1, taken_at = now()
                from taken
                where pass_id = $1::bigint and lease.stream_id = taken.stream_id and projection <> ''
            )
            select count(*) from taken
            """,
            [.int64(pass), .int64(stream.rawValue), .int32(process)]
        ).int64(0, 0) == 1
    }

    static func giveBack(_ stream: StreamID, of pass: Int64, _ process: Int32, on connection: Connection) async throws {
        _ = try await connection.query(
            """
            update tidemark_internal.leases set process_id = null
            where pass_id = $1::bigint and stream_id = $2::bigint and process_id = $3::integer
            """,
            [.int64(pass), .int64(stream.rawValue), .int32(process)]
        )
    }

    /// The streams of a source in the unfinished passes of the service, those that have ended too: a file that was read
    /// is known again when it is renamed or compressed.
    package static func streams(of source: String, on connection: Connection) async throws -> [KnownStream] {
        let found = try await connection.query(
            """
            select stream.id, stream.name, stream.incarnation, stream.hint,
                tidemark_internal.offset_major(lease."offset"), lease.resume
            from tidemark_internal.leases as lease
            join tidemark_internal.passes as pass on pass.id = lease.pass_id
            join tidemark_internal.streams as stream on stream.id = lease.stream_id
            join tidemark_internal.sources as source on source.id = stream.source_id
            where pass.is_service and pass.finished_at is null and lease.projection = ''
                and source.name = $1::text
            order by stream.id
            """,
            [.text(source)]
        )
        return try found.rows { try StreamStore.known(found, $0) }
    }

    /// The pass's revision; `nil` once it has ended.
    static func revision(of pass: Int64, on connection: Connection) async throws -> Int64? {
        let found = try await connection.query(
            "select revision from tidemark_internal.passes where id = $1::bigint and finished_at is null",
            [.int64(pass)]
        )
        return found.rowCount == 1 ? try found.int64(0, 0) : nil
    }
}
