package import LibPQ
package import TidemarkCore

/// A file as checkpoints know it.
package struct FileIdentity: Sendable, Hashable {
    package var path: String
    package var size: Int64
    /// Empty for what brings its bytes once: standard input, a pipe, a device.
    package var digest: String

    /// It is read from its beginning by each run: what it brings next may be something else.
    package var startsOver: Bool { self.digest.isEmpty }

    package init(path: String, size: Int64, digest: String) {
        self.path = path
        self.size = size
        self.digest = digest
    }
}

/// A replay that is about to run: new, or gone on with.
package struct ReplayState: Sendable {
    package var id: Int64
    package var lanes: Int
    package var isResumed: Bool
    /// One for each file named, in order; a file may be named twice.
    package var files: [Int64]
    /// Where each lane stands in each file.
    package var checkpoints: [Int64: [Checkpoint]]
}

/// What a replay has counted, over all its runs.
package struct ReplaySummary: Sendable, Equatable {
    package var messages: Int64 = 0
    package var events: Int64 { self.applied + self.late + self.duplicate + self.filtered }
    package var applied: Int64 = 0
    package var late: Int64 = 0
    package var duplicate: Int64 = 0
    package var filtered: Int64 = 0
    package var control: Int64 = 0
    package var deadLetters: Int64 = 0
    package var conflicts: Int64 = 0
    package var entities: Int64 = 0
    package var bytes: Int64 = 0
    /// Newly reached, muted ones included, by name; every configured one is there.
    package var milestones: [String: Int64] = [:]
    package var elapsedSeconds: Double = 0
    package var isResumed = false

    package init() {}
}

/// Replays, their files, checkpoints and counters.
package enum ReplayStore {
    /// Begins a replay, or resumes an unfinished one of the same projections that one of the files belongs to. A pipe
    /// is never what a replay is known by, and starts over in one that is resumed.
    package static func begin(
        files: [FileIdentity],
        projections: [String],
        lanes: Int,
        on connection: Connection
    ) async throws -> ReplayState {
        try await connection.execute("begin; \(Migrator.lock)")
        do {
            var ids: [Int64] = []
            for file in files { ids.append(try await Self.identify(file, on: connection)) }
            var state = ReplayState(id: 0, lanes: lanes, isResumed: false, files: ids, checkpoints: [:])
            let resumable = zip(files, ids).filter { !$0.0.startsOver }.map(\.1)
            if !resumable.isEmpty { try await Self.findUnfinished(&state, resumable, projections, on: connection) }
            if state.isResumed { try await Self.restartPipes(of: state.id, on: connection) }
            if !state.isResumed { state.id = try await Self.insert(projections, lanes, on: connection) }
            for (ordinal, file) in ids.enumerated() {
                try await Self.enter(file, ordinal: ordinal, into: state, projections: projections, on: connection)
            }
            state.checkpoints = try await Self.checkpoints(of: state, on: connection)
            try await connection.execute("commit")
            return state
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    /// A replay that reads no files, and so is never gone on with.
    static func beginWithoutFiles(projections: [String], on connection: Connection) async throws -> Int64 {
        try await connection.execute("begin")
        do {
            let id = try await Self.insert(projections, 1, on: connection)
            try await Self.enterCounters(id, lanes: 1, projections: projections, on: connection)
            try await connection.execute("commit")
            return id
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    private static func identify(_ file: FileIdentity, on connection: Connection) async throws -> Int64 {
        let result = try await connection.query(
            """
            insert into tidemark_internal.files as known (path, size, digest)
            values ($1::text, $2::bigint, $3::text)
            on conflict (path, size, digest) do update set path = known.path
            returning id
            """,
            [.text(file.path), .int64(file.size), .text(file.digest)]
        )
        return try result.int64(0, 0) ?? 0
    }

    private static func int8Array(_ values: [Int64]) -> Parameter {
        var array = BinaryArray(elementOID: OID.int8)
        for value in values { array.append(value) }
        return array.parameter(arrayOID: OID.int8Array)
    }

    private static func findUnfinished(
        _ state: inout ReplayState,
        _ files: [Int64],
        _ projections: [String],
        on connection: Connection
    ) async throws {
        let found = try await connection.query(
            """
            update tidemark_internal.replays as replay
            set runs = runs + 1, run_started_at = now(),
                -- The time of a run that was killed ends with its last commit.
                elapsed_seconds = elapsed_seconds + coalesce(
                    (
                        select greatest(0, extract(epoch from max(c.updated_at) - replay.run_started_at))
                        from tidemark_internal.checkpoints as c where c.replay_id = replay.id
                    ),
                    0
                )
            where id = (
                select max(r.id)
                from tidemark_internal.replays as r
                join tidemark_internal.checkpoints as c on c.replay_id = r.id
                where r.finished_at is null and r.projections = $1::text[] and c.file_id = any($2::bigint[])
                    -- With something left to read, or killed between its last commit and its end.
                    and (
                        not c.is_finished
                        or not exists (
                            select from tidemark_internal.checkpoints as other
                            join tidemark_internal.files as f on f.id = other.file_id
                            where other.replay_id = r.id and not other.is_finished and f.digest <> ''
                        )
                    )
            )
            returning id, lanes
            """,
            [.texts(projections), Self.int8Array(files)]
        )
        guard found.rowCount == 1 else { return }
        state.id = try found.int64(0, 0) ?? 0
        state.lanes = Int(try found.int32(0, 1) ?? 1)
        state.isResumed = true
    }

    /// Forgets how far the pipes of a replay were read: their offsets say nothing of what they bring next. Truncates
    /// that they brought count from now on for every lane.
    private static func restartPipes(of replay: Int64, on connection: Connection) async throws {
        let pipes = "file_id in (select id from tidemark_internal.files where digest = '')"
        _ = try await connection.query(
            "update tidemark_internal.truncates set replay_id = null where replay_id = $1::bigint and \(pipes)",
            [.int64(replay)]
        )
        _ = try await connection.query(
            "delete from tidemark_internal.checkpoints where replay_id = $1::bigint and \(pipes)",
            [.int64(replay)]
        )
    }

    private static func insert(_ projections: [String], _ lanes: Int, on connection: Connection) async throws -> Int64 {
        let result = try await connection.query(
            "insert into tidemark_internal.replays (projections, lanes) values ($1::text[], $2::integer) returning id",
            [.texts(projections), .int32(Int32(lanes))]
        )
        return try result.int64(0, 0) ?? 0
    }

    private static func enter(
        _ file: Int64,
        ordinal: Int,
        into state: ReplayState,
        projections: [String],
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            insert into tidemark_internal.checkpoints (replay_id, file_id, lane, ordinal)
            select $1::bigint, $2::bigint, lane, $3::integer from generate_series(0, $4::integer - 1) as lane
            on conflict do nothing
            """,
            [.int64(state.id), .int64(file), .int32(Int32(ordinal)), .int32(Int32(state.lanes))]
        )
        try await Self.enterCounters(state.id, lanes: state.lanes, projections: projections, on: connection)
    }

    private static func enterCounters(
        _ replay: Int64,
        lanes: Int,
        projections: [String],
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            insert into tidemark_internal.counters (replay_id, lane, projection)
            select $1::bigint, lane, projection
            from generate_series(0, $2::integer - 1) as lane, unnest($3::text[]) as projection
            on conflict do nothing
            """,
            [.int64(replay), .int32(Int32(lanes)), .texts(projections + [""])]
        )
    }

    private static func checkpoints(
        of state: ReplayState,
        on connection: Connection
    ) async throws -> [Int64: [Checkpoint]] {
        let rows = try await connection.query(
            """
            select file_id, "offset", "row", line, is_finished from tidemark_internal.checkpoints
            where replay_id = $1::bigint order by file_id, lane
            """,
            [.int64(state.id)]
        )
        var checkpoints: [Int64: [Checkpoint]] = [:]
        for row in 0..<rows.rowCount {
            let file = try rows.int64(row, 0) ?? 0
            let checkpoint = Checkpoint(
                file: file,
                offset: try rows.int64(row, 1) ?? 0,
                row: try rows.int32(row, 2) ?? 0,
                line: try rows.int64(row, 3) ?? 0,
                isFinished: try rows.bool(row, 4) ?? false
            )
            checkpoints[file, default: []].append(checkpoint)
        }
        return checkpoints
    }

    /// Ends a run and, when everything has been read, the replay. Doing it again changes nothing.
    package static func end(
        _ replay: Int64,
        elapsedSeconds: Double,
        isFinished: Bool,
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            update tidemark_internal.replays
            set elapsed_seconds = elapsed_seconds + $2::double precision, run_started_at = null,
                finished_at = case when $3::boolean then now() end
            where id = $1::bigint and run_started_at is not null
            """,
            [.int64(replay), .double(elapsedSeconds), .bool(isFinished)]
        )
    }

    package static func summary(
        of replay: Int64,
        milestones: [String],
        on connection: Connection
    ) async throws -> ReplaySummary {
        let sums = try await connection.query(
            """
            select sum(messages)::bigint, sum(applied)::bigint, sum(late)::bigint, sum(duplicate)::bigint,
                sum(filtered)::bigint, sum(control)::bigint, sum(dead_letters)::bigint, sum(conflicts)::bigint,
                sum(entities)::bigint, (
                    -- Decompressed, as far as every lane has come.
                    select sum(least_offset)::bigint from (
                        select min("offset") as least_offset from tidemark_internal.checkpoints
                        where replay_id = $1::bigint group by file_id
                    ) as files
                ),
                max(r.elapsed_seconds), max(r.runs) > 1
            from tidemark_internal.counters as c
            join tidemark_internal.replays as r on r.id = c.replay_id
            where c.replay_id = $1::bigint
            """,
            [.int64(replay)]
        )
        var summary = ReplaySummary()
        summary.messages = try sums.int64(0, 0) ?? 0
        summary.applied = try sums.int64(0, 1) ?? 0
        summary.late = try sums.int64(0, 2) ?? 0
        summary.duplicate = try sums.int64(0, 3) ?? 0
        summary.filtered = try sums.int64(0, 4) ?? 0
        summary.control = try sums.int64(0, 5) ?? 0
        summary.deadLetters = try sums.int64(0, 6) ?? 0
        summary.conflicts = try sums.int64(0, 7) ?? 0
        summary.entities = try sums.int64(0, 8) ?? 0
        summary.bytes = try sums.int64(0, 9) ?? 0
        summary.elapsedSeconds = try sums.double(0, 10) ?? 0
        summary.isResumed = try sums.bool(0, 11) ?? false
        for name in milestones { summary.milestones[name] = 0 }
        let reached = try await connection.query(
            """
            select milestone, sum(reached)::bigint from tidemark_internal.milestone_counters
            where replay_id = $1::bigint group by milestone
            """,
            [.int64(replay)]
        )
        for row in 0..<reached.rowCount {
            summary.milestones[try reached.text(row, 0) ?? ""] = try reached.int64(row, 1) ?? 0
        }
        return summary
    }

    /// Those of the projections' relations that have nothing in them.
    package static func emptyRelations(
        of plans: [ProjectionPlan],
        on connection: Connection
    ) async throws -> EmptyRelations {
        func isEmpty(_ relation: RelationNames.Relation) async throws -> Bool {
            try await connection.query("select exists (select from \(relation.sql))", []).bool(0, 0) == false
        }
        var empty = EmptyRelations()
        for plan in plans {
            if try await isEmpty(plan.names.entityStorage) { empty.rows.insert(plan.name) }
            if plan.keepsTimeline, try await isEmpty(plan.names.eventStorage) { empty.timelines.insert(plan.name) }
        }
        return empty
    }

    // MARK: The writer's lock

    /// Takes the projection's session lock: one writer at a time. It ends with the connection.
    /// - Parameter grace: how long a holder is waited for: the server takes a moment to notice that a process was killed.
    /// - Throws: `.failed`, naming who holds it and since when.
    package static func lock(
        _ projection: String,
        grace: Duration = .seconds(2),
        on connection: Connection
    ) async throws {
        let deadline = ContinuousClock.now + grace
        while true {
            do {
                return try await Self.tryLock(projection, on: connection)
            } catch let error as StoreError {
                guard ContinuousClock.now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    private static func tryLock(_ projection: String, on connection: Connection) async throws {
        let taken = try await connection.query(
            "select pg_try_advisory_lock(1953063021, hashtext($1::text))",
            [.text(projection)]
        )
        guard try taken.bool(0, 0) != true else { return }
        let holder = try await connection.query(
            """
            select format('%s (server process %s, since %s)', coalesce(nullif(a.application_name, ''), 'somebody'),
                l.pid, to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')
            from pg_catalog.pg_locks as l
            left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
            where l.locktype = 'advisory' and l.granted and l.classid = 1953063021
                -- Session locks of other databases stand there too.
                and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
                and l.objid = (hashtext($1::text)::bigint & 4294967295)::oid
            """,
            [.text(projection)]
        )
        let name = holder.rowCount > 0 ? try holder.text(0, 0) ?? "" : "another process"
        throw StoreError(
            .failed,
            "projection \(projection) is being written by \(name); wait for it, or stop it, and try again"
        )
    }
}
