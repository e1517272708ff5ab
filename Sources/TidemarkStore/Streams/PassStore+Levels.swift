package import LibPQ
package import TidemarkCore

/// Levels and progress, and which projections of a pass are read by themselves.
extension PassStore {
    /// Has a pass be one of these projections. One that it did not have begins at the start of each stream that has been
    /// read of; one that it had and that is not among them keeps its progress for when it comes back.
    static func attach(_ projections: [String], to pass: Int64, on connection: Connection) async throws {
        let parameters: [Parameter] = [.int64(pass), .texts(projections)]
        try await Self.endJoins(of: pass, on: connection)
        try await Self.detach(besides: projections, of: pass, on: connection)
        // Where nothing has been read yet, it is read together with the others from the start.
        _ = try await connection.query(
            """
            insert into tidemark_internal.leases (pass_id, projection, stream_id, input_order)
            select pass_id, coming.name, stream_id, input_order
            from tidemark_internal.leases as lease
            cross join (
                select unnest($2::text[]) as name
                except select unnest(projections) from tidemark_internal.passes where id = $1::bigint
            ) as coming
            where pass_id = $1::bigint and projection = ''
                and (
                    lease.is_at_end
                    or lease.process_id is not null
                        and exists (select from tidemark_internal.passes where id = $1::bigint and is_service)
                    or lease."offset" > tidemark_internal.stream_offset(0, 0, 0)
                    or exists (
                        select from tidemark_internal.progress as progress
                        where progress.pass_id = lease.pass_id and progress.projection = ''
                            and progress.stream_id = lease.stream_id
                    )
                )
            on conflict do nothing
            """,
            parameters
        )
        _ = try await connection.query(
            """
            update tidemark_internal.passes
            set projections = case
                    when not is_service then $2::text[]
                    -- Another process may have others.
                    else (select array_agg(distinct name order by name) from unnest(projections || $2::text[]) as name)
                end
            where id = $1::bigint
            """,
            parameters
        )
    }

    /// Gives projections of a pass that a process does not have levels and progress of their own, before it reads on
    /// without them.
    /// - Parameters:
    ///   - projections: those that it has.
    ///   - stream: only of this one.
    static func detach(
        besides projections: [String],
        of pass: Int64,
        _ stream: StreamID? = nil,
        on connection: Connection
    ) async throws {
        let parameters: [Parameter] = [
            .int64(pass), .texts(projections), stream.map { .int64($0.rawValue) } ?? .null,
        ]
        let leaving = """
            select unnest(projections) as name from tidemark_internal.passes where id = $1::bigint
            except select unnest($2::text[])
            """
        // What it has read together with the others since it joined them is read again then.
        _ = try await connection.query(
            """
            update tidemark_internal.leases set joined_at = null
            where pass_id = $1::bigint and projection in (\(leaving))
                and ($3::bigint is null or stream_id = $3::bigint)
            """,
            parameters
        )
        _ = try await connection.query(
            """
            insert into tidemark_internal.progress
                (pass_id, projection, stream_id, lanes, lane, "offset", message_ordinal, resume)
            select pass_id, leaving.name, stream_id, lanes, lane, "offset", message_ordinal, resume
            from tidemark_internal.progress as progress
            cross join (\(leaving)) as leaving
            where pass_id = $1::bigint and progress.projection = ''
                and ($3::bigint is null or progress.stream_id = $3::bigint)
                and not exists (
                    select from tidemark_internal.leases as own
                    where own.pass_id = progress.pass_id and own.projection = leaving.name
                        and own.stream_id = progress.stream_id
                )
            """,
            parameters
        )
        _ = try await connection.query(
            """
            insert into tidemark_internal.leases (
                pass_id, projection, stream_id, input_order, "offset", message_ordinal, resume, is_at_end, process_id
            )
            select pass_id, leaving.name, stream_id, input_order, "offset", message_ordinal, resume, is_at_end, process_id
            from tidemark_internal.leases as lease
            cross join (\(leaving)) as leaving
            where pass_id = $1::bigint and lease.projection = '' and ($3::bigint is null or stream_id = $3::bigint)
            on conflict do nothing
            """,
            parameters
        )
    }

    /// Removes the levels and progress of projections that have come to where they joined the others, once those have
    /// come there too.
    private static func endJoins(of pass: Int64, on connection: Connection) async throws {
        _ = try await connection.query(
            """
            with ended as (
                delete from tidemark_internal.leases as own
                using tidemark_internal.leases as other
                where own.pass_id = $1::bigint and own.projection <> '' and own."offset" >= own.joined_at
                    and other.pass_id = own.pass_id and other.projection = '' and other.stream_id = own.stream_id
                    and other."offset" >= own.joined_at
                returning own.projection, own.stream_id
            )
            delete from tidemark_internal.progress as progress
            using ended
            where progress.pass_id = $1::bigint and progress.projection = ended.projection
                and progress.stream_id = ended.stream_id
            """,
            [.int64(pass)]
        )
    }

    /// Removes lanes' rows, under whatever number of lanes, that the level of their stream has passed.
    /// - Parameter stream: only of this one.
    static func dropPassedProgress(of pass: Int64, _ stream: StreamID? = nil, on connection: Connection) async throws {
        _ = try await connection.query(
            """
            delete from tidemark_internal.progress as progress
            using tidemark_internal.leases as lease
            where progress.pass_id = $1::bigint and lease.pass_id = progress.pass_id
                and lease.projection = progress.projection and lease.stream_id = progress.stream_id
                and progress."offset" <= lease."offset" and ($2::bigint is null or progress.stream_id = $2::bigint)
            """,
            [.int64(pass), stream.map { .int64($0.rawValue) } ?? .null]
        )
    }

    /// From this offset on a projection that is read by itself is read together with the others.
    static func join(
        _ projection: String,
        _ stream: StreamID,
        at offset: StreamOffset,
        of pass: Int64,
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            update tidemark_internal.leases set joined_at = $4::bytea
            where pass_id = $1::bigint and projection = $2::text and stream_id = $3::bigint
            """,
            [.int64(pass), .text(projection), .int64(stream.rawValue), .bytes(offset.bytes)]
        )
    }

    /// An unfinished pass must not be resumed as if the projection still had its first part.
    package static func forgetUnfinished(_ projection: String, on connection: Connection) async throws {
        let unfinished = "pass_id in (select id from tidemark_internal.passes where finished_at is null)"
        for table in ["leases", "progress", "counters"] {
            _ = try await connection.query(
                "delete from tidemark_internal.\(table) where projection = $1::text and \(unfinished)",
                [.text(projection)]
            )
        }
        _ = try await connection.query(
            """
            update tidemark_internal.passes set projections = array_remove(projections, $1::text)
            where $1::text = any(projections) and finished_at is null
            """,
            [.text(projection)]
        )
        try await connection.execute(
            "delete from tidemark_internal.passes where projections = '{}' and finished_at is null"
        )
    }

    /// - Parameter stream: only of this one.
    static func loadProgress(
        _ state: inout PassState,
        _ projections: [String],
        of stream: StreamID? = nil,
        on connection: Connection
    ) async throws {
        let only: Parameter = stream.map { .int64($0.rawValue) } ?? .null
        func key(_ rows: borrowing QueryResult, _ row: Int, _ stream: StreamID) throws -> ProgressKey? {
            let name = try rows.text(row, 5) ?? ""
            if name.isEmpty { return ProgressKey(stream: stream) }
            return projections.firstIndex(of: name).map { ProgressKey(stream: stream, projection: Int16($0)) }
        }
        let levels = try await connection.query(
            """
            select stream_id, "offset", message_ordinal, resume, is_at_end, projection, joined_at
            from tidemark_internal.leases
            where pass_id = $1::bigint and ($2::bigint is null or stream_id = $2::bigint)
            """,
            [.int64(state.id), only]
        )
        let rows = try await connection.query(
            """
            select stream_id, "offset", message_ordinal, resume, false, projection, lanes, lane
            from tidemark_internal.progress
            where pass_id = $1::bigint and ($2::bigint is null or stream_id = $2::bigint)
            """,
            [.int64(state.id), only]
        )
        var progress: [ProgressKey: [Int: [Int: StreamProgress]]] = [:]
        for row in 0..<rows.rowCount {
            let (stream, reached) = try Self.progress(rows, row)
            guard let key = try key(rows, row, stream) else { continue }
            let lanes = Int(try rows.int32(row, 6) ?? 0)
            progress[key, default: [:]][lanes, default: [:]][Int(try rows.int32(row, 7) ?? 0)] = reached
        }
        for row in 0..<levels.rowCount {
            let (stream, level) = try Self.progress(levels, row)
            guard let key = try key(levels, row, stream) else { continue }
            state.committed[key] = CommittedProgress(
                level: level,
                lanes: state.lanes,
                rows: progress[key] ?? [:],
                rule: state.laneRule
            )
            state.rows[key] = progress[key]?[state.lanes]
            state.joins[key] = try levels.bytes(row, 6).flatMap { StreamOffset(bytes: $0) }
        }
    }

    /// Columns: the stream, then the progress's own, in order.
    private static func progress(
        _ rows: borrowing QueryResult,
        _ row: Int
    ) throws -> (stream: StreamID, progress: StreamProgress) {
        let progress = StreamProgress(
            offset: StreamOffset(bytes: try rows.bytes(row, 1) ?? []) ?? .start,
            ordinal: try rows.int64(row, 2) ?? 1,
            resume: try rows.bytes(row, 3) ?? [],
            isAtEnd: try rows.bool(row, 4) ?? false
        )
        return (StreamID(rawValue: try rows.int64(row, 0) ?? 0), progress)
    }

    /// Stores levels: everything before them is committed by all lanes. They never move back, and only the process that
    /// has the lease moves them.
    package static func save(
        levels: [(projection: String, level: StoredLevel)],
        of pass: Int64,
        process: Int32? = nil,
        on connection: Connection
    ) async throws {
        for (projection, stored) in levels {
            let level = stored.level
            _ = try await connection.query(
                """
                update tidemark_internal.leases
                set "offset" = $3::bytea, message_ordinal = $4::bigint, resume = $5::bytea, is_at_end = $6::boolean,
                    -- A process that begins again does not know it until something is read.
                    behind = case when $9::bigint is null and "offset" = $3::bytea then behind else $9::bigint end,
                    updated_at = now()
                where pass_id = $1::bigint and stream_id = $2::bigint and projection = $7::text and "offset" <= $3::bytea
                    and process_id is not distinct from $8::integer
                """,
                [
                    .int64(pass), .int64(stored.key.stream.rawValue), .bytes(level.offset.bytes), .int64(level.ordinal),
                    .bytes(level.resume), .bool(level.isAtEnd), .text(projection), process.map { .int32($0) } ?? .null,
                    stored.behind.map { .int64($0) } ?? .null,
                ]
            )
        }
    }
}
