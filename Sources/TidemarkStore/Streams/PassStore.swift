package import LibPQ
package import TidemarkCore

/// A stream that a pass is about to read.
package struct StreamEntry: Sendable, Hashable {
    package var id: StreamID
    /// Whether a run can skip what an earlier one has read. A pipe cannot be resumed, since its next content may
    /// differ.
    package var isResumable: Bool

    package init(id: StreamID, isResumable: Bool) {
        self.id = id
        self.isResumable = isResumable
    }
}

/// A pass that is about to run, new or resumed.
package struct PassState: Sendable {
    package var id: Int64
    package var lanes: Int
    package var laneRule: LaneRule
    package var isResumed: Bool
    /// The levels of each stream: that of the projections that are read together, and those of detached ones.
    package var committed: [ProgressKey: CommittedProgress]
    /// The offset from which a detached projection is read together with the others.
    package var joins: [ProgressKey: StreamOffset]
    /// The lanes' progress, under the current number of lanes.
    package var rows: [ProgressKey: [Int: StreamProgress]]

    package init(id: Int64, lanes: Int) {
        self.id = id
        self.lanes = lanes
        self.laneRule = .current
        self.isResumed = false
        self.committed = [:]
        self.joins = [:]
        self.rows = [:]
    }
}

/// Passes, the levels and progress of their streams, and their counters.
package enum PassStore {
    /// Begins a pass, or resumes an unfinished one that reads one of the streams for one of the projections and that no
    /// other process runs. A stream that cannot be resumed starts over; a projection that is new to the pass begins
    /// detached, at the start of each stream.
    /// - Parameter process: the one that reads the streams from now on; `nil` where no other can write.
    package static func begin(
        streams: [StreamEntry],
        projections: [String],
        lanes: Int,
        process: Int32? = nil,
        on connection: Connection
    ) async throws -> PassState {
        let resumable = streams.filter(\.isResumable).map(\.id.rawValue)
        try await Self.endSilentOwners(of: resumable, projections, besides: process, on: connection)
        try await connection.execute("begin; \(Migrator.lock)")
        do {
            var state = PassState(id: 0, lanes: lanes)
            if !resumable.isEmpty {
                try await Self.findUnfinished(&state, resumable, projections, besides: process, on: connection)
            }
            if state.isResumed {
                let restarted = streams.filter { !$0.isResumable }.map(\.id.rawValue)
                try await Self.restart(restarted, of: state.id, on: connection)
                try await Self.attach(projections, to: state.id, on: connection)
            } else {
                state.id = try await Self.insert(projections, lanes, on: connection)
            }
            for (order, stream) in streams.enumerated() {
                _ = try await connection.query(
                    """
                    insert into tidemark_internal.leases (pass_id, stream_id, input_order)
                    values ($1::bigint, $2::bigint, $3::integer)
                    on conflict do nothing
                    """,
                    [.int64(state.id), .int64(stream.id.rawValue), .int32(Int32(order))]
                )
            }
            if let process { try await Self.takeLeases(of: state.id, process, on: connection) }
            try await Self.enterCounters(state.id, lanes: lanes, projections: projections, on: connection)
            try await Self.dropPassedProgress(of: state.id, on: connection)
            try await Self.loadProgress(&state, projections, on: connection)
            try await connection.execute("commit")
            return state
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    /// A pass that reads no streams, and so is never resumed.
    static func beginWithoutStreams(projections: [String], on connection: Connection) async throws -> Int64 {
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

    static func int8Array(_ values: [Int64]) -> Parameter {
        var array = BinaryArray(elementOID: OID.int8)
        for value in values { array.append(value) }
        return array.parameter(arrayOID: OID.int8Array)
    }

    private static func findUnfinished(
        _ state: inout PassState,
        _ streams: [Int64],
        _ projections: [String],
        besides own: Int32?,
        on connection: Connection
    ) async throws {
        let found = try await connection.query(
            """
            update tidemark_internal.passes as pass
            set runs = runs + 1, run_started_at = now(), lanes = $3::integer,
                -- The elapsed time of a killed run ends with its last commit.
                elapsed_seconds = elapsed_seconds + coalesce(
                    (
                        select greatest(0, extract(epoch from max(written.updated_at) - pass.run_started_at))
                        from (
                            select updated_at from tidemark_internal.progress where pass_id = pass.id
                            union all
                            select updated_at from tidemark_internal.leases where pass_id = pass.id
                        ) as written
                    ),
                    0
                )
            where id = (
                select p.id
                from tidemark_internal.passes as p
                join tidemark_internal.leases as l on l.pass_id = p.id
                where p.finished_at is null and not p.is_service and p.projections && $1::text[]
                    and l.stream_id = any($2::bigint[])
                    -- Nor is another process running it.
                    and not exists (
                        select from tidemark_internal.leases as held
                        join tidemark_internal.writing_sessions as session on session.process_id = held.process_id
                        where held.pass_id = p.id and held.process_id is distinct from $4::integer
                    )
                    -- Something is left to read, or the run was killed after its last commit.
                    and (
                        not l.is_at_end
                        or not exists (
                            select from tidemark_internal.leases as other
                            join tidemark_internal.streams as s on s.id = other.stream_id
                            where other.pass_id = p.id and not other.is_at_end and s.incarnation <> ''
                        )
                    )
                order by p.projections = $1::text[] desc, p.id desc
                limit 1
            )
            returning id, lane_rule
            """,
            [
                .texts(projections), Self.int8Array(streams), .int32(Int32(state.lanes)),
                own.map { .int32($0) } ?? .null,
            ]
        )
        guard found.rowCount == 1 else { return }
        state.id = try found.int64(0, 0) ?? 0
        guard let rule = LaneRule(rawValue: try found.int16(0, 1) ?? 0) else {
            throw StoreError(.configuration, "pass \(state.id) was begun by a newer tidemark; resume it with that one")
        }
        state.laneRule = rule
        state.isResumed = true
    }

    /// Deletes the progress of streams that start over, because their offsets do not apply to new content. Truncates
    /// that were read from them apply to every lane from now on.
    private static func restart(_ streams: [Int64], of pass: Int64, on connection: Connection) async throws {
        guard !streams.isEmpty else { return }
        let parameters: [Parameter] = [.int64(pass), Self.int8Array(streams)]
        let isMeant = "pass_id = $1::bigint and stream_id = any($2::bigint[])"
        _ = try await connection.query(
            "update tidemark_internal.truncates set pass_id = null where \(isMeant)",
            parameters
        )
        for table in ["progress", "leases"] {
            _ = try await connection.query("delete from tidemark_internal.\(table) where \(isMeant)", parameters)
        }
    }

    private static func insert(_ projections: [String], _ lanes: Int, on connection: Connection) async throws -> Int64 {
        let result = try await connection.query(
            "insert into tidemark_internal.passes (projections, lanes) values ($1::text[], $2::integer) returning id",
            [.texts(projections), .int32(Int32(lanes))]
        )
        return try result.int64(0, 0) ?? 0
    }

    static func enterCounters(
        _ replay: Int64,
        process: Int32 = 0,
        lanes: Int,
        projections: [String],
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            insert into tidemark_internal.counters (pass_id, process_id, lane, projection)
            select $1::bigint, $4::integer, lane, projection
            from generate_series(0, $2::integer - 1) as lane, unnest($3::text[]) as projection
            on conflict do nothing
            """,
            [.int64(replay), .int32(Int32(lanes)), .texts(projections + [""]), .int32(process)]
        )
    }

    /// Ends a run and, when everything has been read, the pass. A repeat changes nothing.
    package static func end(
        _ replay: Int64,
        elapsedSeconds: Double,
        isFinished: Bool,
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            update tidemark_internal.passes
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
    ) async throws -> PassSummary {
        let sums = try await connection.query(
            """
            select sum(messages)::bigint, sum(applied)::bigint, sum(late)::bigint, sum(duplicate)::bigint,
                sum(filtered)::bigint, sum(control)::bigint, sum(dead_letters)::bigint, sum(conflicts)::bigint,
                sum(entities)::bigint, (
                    -- Decompressed bytes that all lanes have committed.
                    select sum(tidemark_internal.offset_major("offset"))::bigint from tidemark_internal.leases
                    where pass_id = $1::bigint
                ),
                max(r.elapsed_seconds), max(r.runs) > 1
            from tidemark_internal.counters as c
            join tidemark_internal.passes as r on r.id = c.pass_id
            where c.pass_id = $1::bigint
            """,
            [.int64(replay)]
        )
        var summary = PassSummary()
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
            where pass_id = $1::bigint group by milestone
            """,
            [.int64(replay)]
        )
        for row in 0..<reached.rowCount {
            summary.milestones[try reached.text(row, 0) ?? ""] = try reached.int64(row, 1) ?? 0
        }
        return summary
    }

    /// The projections' relations that are empty.
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

    /// Takes the projection's session lock alone: no process writes it meanwhile. It ends with the connection.
    /// - Parameter grace: how long to wait for a writer: the server takes a moment to notice that a process was killed.
    /// - Throws: `.failed`, naming the writer and since when it has the lock.
    package static func lock(
        _ projection: String,
        grace: Duration = .seconds(2),
        on connection: Connection
    ) async throws {
        try await ProjectionLocks.lock(projection, ProjectionLocks.writers, grace: grace, "written", on: connection)
    }
}
