package import LibPQ
package import TidemarkCore

/// A stream of a source as the service reads it, in one of its passes.
package struct SoughtStream: Sendable {
    package var pass: Int64
    package var id: StreamID
    package var name: String
    package var incarnation: String
    package var level: StreamProgress
    /// How far the lane is that is furthest: levels are stored now and then.
    package var furthest: StreamOffset

    package var isFurther: Bool { self.furthest > self.level.offset }
}

/// Where a stream is to be read from.
package struct SeekMove: Sendable {
    package var stream: SoughtStream
    package var to: StreamProgress
    /// How many messages are never read because of that.
    package var leftOut: Int64

    package init(_ stream: SoughtStream, to: StreamProgress, leftOut: Int64 = 0) {
        self.stream = stream
        self.to = to
        self.leftOut = leftOut
    }

    package var isForward: Bool { self.to.offset > self.stream.level.offset }
}

/// Has the service read streams from other offsets on.
extension ServiceCommands {
    /// The streams of a source in the unfinished passes of the service.
    package static func streams(of source: String, on connection: Connection) async throws -> [SoughtStream] {
        let found = try await connection.query(
            """
            select lease.pass_id, stream.id, stream.name, stream.incarnation, \(Self.level), coalesce(
                    (
                        select progress."offset" from tidemark_internal.progress as progress
                        where progress.pass_id = lease.pass_id and progress.stream_id = lease.stream_id
                            and progress.projection = ''
                        order by progress."offset" desc
                        limit 1
                    ),
                    lease."offset"
                )
            from tidemark_internal.leases as lease
            join tidemark_internal.passes as pass on pass.id = lease.pass_id
            join tidemark_internal.streams as stream on stream.id = lease.stream_id
            join tidemark_internal.sources as source on source.id = stream.source_id
            where pass.is_service and pass.finished_at is null and lease.projection = '' and source.name = $1::text
            order by stream.name, stream.id, lease.pass_id
            """,
            [.text(source)]
        )
        return try found.rows { row in
            SoughtStream(
                pass: try found.int64(row, 0) ?? 0,
                id: StreamID(rawValue: try found.int64(row, 1) ?? 0),
                name: try found.text(row, 2) ?? "",
                incarnation: try found.text(row, 3) ?? "",
                level: try Self.level(found, row, 4),
                furthest: StreamOffset(bytes: try found.bytes(row, 8) ?? []) ?? .start
            )
        }
    }

    /// The same, once the levels are where lanes were when it was called: running processes store them every second.
    /// - Parameter limit: how long to wait; of a process that was killed nothing comes.
    package static func streams(
        of source: String,
        storedWithin limit: Duration,
        on connection: Connection
    ) async throws -> [SoughtStream] {
        var streams = try await Self.streams(of: source, on: connection)
        func id(_ stream: SoughtStream) -> [Int64] { [stream.pass, stream.id.rawValue] }
        let asked = Dictionary(uniqueKeysWithValues: streams.map { (id($0), $0.furthest) })
        let deadline = ContinuousClock.now + limit
        while streams.contains(where: { $0.level.offset < asked[id($0)] ?? .start }), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(100))
            streams = try await Self.streams(of: source, on: connection)
        }
        return streams
    }

    private static let level = #"lease."offset", lease.message_ordinal, lease.resume, lease.is_at_end"#

    private static func level(_ rows: borrowing QueryResult, _ row: Int, _ first: Int) throws -> StreamProgress {
        StreamProgress(
            offset: StreamOffset(bytes: try rows.bytes(row, first) ?? []) ?? .start,
            ordinal: try rows.int64(row, first + 1) ?? 1,
            resume: try rows.bytes(row, first + 2) ?? [],
            isAtEnd: try rows.bool(row, first + 3) ?? false
        )
    }

    /// Begins new passes in which streams are read from other offsets on, and everything else from where it is. The
    /// processes of the passes that this ends find out with their next heartbeat.
    /// - Parameters:
    ///   - target: as the operator has named it, for the record.
    ///   - recount: how many messages lie between a stream's level, which has moved meanwhile, and where it is to be.
    /// - Returns: the moves as they were made, with the numbers of the new passes.
    /// - Throws: `.failed` where a pass has ended meanwhile.
    package static func seek(
        _ source: String,
        _ moves: [SeekMove],
        target: String,
        recount: (SeekMove) throws -> Int64,
        on connection: Connection
    ) async throws -> [SeekMove] {
        // A process that begins a pass waits for the same lock.
        try await connection.transaction("begin; \(Migrator.lock)") {
            let passes = Set(moves.map(\.stream.pass)).sorted()
            for projection in try await Self.hold(passes, on: connection) {
                try await ProjectionLocks.raiseRevision(projection, on: connection)
            }
            var made: [SeekMove] = []
            for var move in moves {
                let level = try await Self.currentLevel(of: move.stream, on: connection)
                if level.offset != move.stream.level.offset {
                    move.stream.level = level
                    move.leftOut = move.isForward ? try recount(move) : 0
                }
                made.append(move)
            }
            for pass in passes {
                let new = try await Self.succeed(pass, made.filter { $0.stream.pass == pass }, on: connection)
                for index in made.indices where made[index].stream.pass == pass { made[index].stream.pass = new }
            }
            try await Self.record("seek", .source(source), Self.detail(made, target), on: connection)
            return made
        }
    }

    /// Locks passes against others that would end them.
    /// - Returns: all projections that they read for, in order.
    private static func hold(_ passes: [Int64], on connection: Connection) async throws -> [String] {
        let ids = PassStore.int8Array(passes)
        let open = try await connection.query(
            """
            select id from tidemark_internal.passes where id = any($1::bigint[]) and finished_at is null
            order by id for no key update
            """,
            [ids]
        )
        guard open.rowCount == passes.count else {
            throw StoreError(.failed, "another seek has begun a new pass meanwhile; nothing was changed. Try again")
        }
        return try await connection.query(
            """
            select name from (
                select unnest(projections) from tidemark_internal.passes where id = any($1::bigint[])
                union
                select projection from tidemark_internal.leases where pass_id = any($1::bigint[])
            ) as read (name)
            where name <> '' order by name collate "C"
            """,
            [ids]
        ).texts()
    }

    private static func currentLevel(
        of stream: SoughtStream,
        on connection: Connection
    ) async throws -> StreamProgress {
        let found = try await connection.query(
            """
            select \(Self.level) from tidemark_internal.leases as lease
            where pass_id = $1::bigint and stream_id = $2::bigint and projection = '' for update
            """,
            [.int64(stream.pass), .int64(stream.id.rawValue)]
        )
        return found.rowCount == 1 ? try Self.level(found, 0, 0) : stream.level
    }

    /// Ends a pass, and begins one that goes on where it is, except in the streams that are moved.
    /// - Returns: the new pass.
    private static func succeed(_ pass: Int64, _ moves: [SeekMove], on connection: Connection) async throws -> Int64 {
        let found = try await connection.query(
            """
            with ended as (
                update tidemark_internal.passes set finished_at = now(), run_started_at = null where id = $1::bigint
                returning projections, lanes, lane_rule
            )
            insert into tidemark_internal.passes (projections, lanes, lane_rule, is_service)
            select projections, lanes, lane_rule, true from ended
            returning id
            """,
            [.int64(pass)]
        )
        let new = try found.int64(0, 0) ?? 0
        let parameters: [Parameter] = [
            .int64(pass), .int64(new), PassStore.int8Array(moves.map(\.stream.id.rawValue)),
        ]
        var moved = ArrayParameters([OID.int8, OID.bytea, OID.bool], rows: moves.count)
        for move in moves {
            moved.append(move.stream.id.rawValue, to: 0)
            moved.append(move.to.offset.bytes[...], to: 1)
            moved.append(move.isForward, to: 2)
        }
        // A projection that is behind a place to which a stream moves back keeps its own level: the messages between are
        // no others' to leave out. Every other one reads moved streams together with the others.
        _ = try await connection.query(
            """
            insert into tidemark_internal.leases (
                pass_id, projection, stream_id, input_order, "offset", message_ordinal, resume, is_at_end, joined_at, behind
            )
            select $2::bigint, lease.projection, lease.stream_id, input_order, lease."offset", message_ordinal, resume,
                is_at_end, case when move.stream_id is null then joined_at end, behind
            from tidemark_internal.leases as lease
            left join (
                select unnest($3::bigint[]) as stream_id, unnest($4::bytea[]) as "offset", unnest($5::boolean[]) as is_forward
            ) as move on move.stream_id = lease.stream_id
            where pass_id = $1::bigint
                and (
                    lease.projection = '' or move.stream_id is null
                    or not move.is_forward and lease."offset" < move."offset"
                        and (joined_at is null or lease."offset" < joined_at)
                )
            """,
            [.int64(pass), .int64(new)] + moved.parameters
        )
        _ = try await connection.query(
            """
            insert into tidemark_internal.progress
                (pass_id, projection, stream_id, lanes, lane, "offset", message_ordinal, resume)
            select $2::bigint, projection, stream_id, lanes, lane, "offset", message_ordinal, resume
            from tidemark_internal.progress
            where pass_id = $1::bigint and stream_id <> all ($3::bigint[])
            """,
            parameters
        )
        // What was read of moved streams is known to all lanes, however far they read them again.
        _ = try await connection.query(
            """
            update tidemark_internal.truncates
            set pass_id = case when stream_id <> all ($3::bigint[]) then $2::bigint end
            where pass_id = $1::bigint
            """,
            parameters
        )
        for move in moves {
            _ = try await connection.query(
                """
                update tidemark_internal.leases
                set "offset" = $3::bytea, message_ordinal = $4::bigint, resume = $5::bytea, is_at_end = false,
                    behind = null
                where pass_id = $1::bigint and stream_id = $2::bigint and projection = ''
                """,
                [
                    .int64(new), .int64(move.stream.id.rawValue), .bytes(move.to.offset.bytes), .int64(move.to.ordinal),
                    .bytes(move.to.resume),
                ]
            )
        }
        return new
    }

    /// The ranges between where the streams were and where they are read from now on.
    private static func detail(_ moves: [SeekMove], _ target: String) -> String {
        let streams = moves.map { move in
            JSONOutput.object([
                ("stream", JSONOutput.string(move.stream.name)), ("pass", "\(move.stream.pass)"),
                ("from", "\(move.stream.level.offset.major)"), ("to", "\(move.to.offset.major)"),
                ("messages", "\(move.leftOut)"),
            ])
        }
        return JSONOutput.object([
            ("to", JSONOutput.string(target)), ("streams", "[\(streams.joined(separator: ","))]"),
        ])
    }
}
