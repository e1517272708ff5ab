package import LibPQ
package import TidemarkCore

/// Stores the state of a rebuild's next version: begun, resumed, built, aborted.
package enum RebuildStore {
    package enum Source: String, Sendable {
        case timeline, files
    }

    package struct State: Sendable {
        /// An earlier run began it.
        package var isResumed: Bool
        package var isBuilt: Bool
        /// An earlier run began one from other input or with another configuration, and it was removed.
        package var isStartedOver: Bool
    }

    /// The moment up to which the timeline is read first: that of an interrupted rebuild, or now.
    package static func boundary(of projection: String, on connection: Connection) async throws -> TimelineBoundary {
        let found = try await connection.query(
            """
            select since::text, snapshot::text from tidemark_internal.rebuilds
            where projection = $1::text and since is not null
            """,
            [.text(projection)]
        )
        guard found.rowCount == 0 else {
            return TimelineBoundary(since: try found.text(0, 0) ?? "", snapshot: try found.text(0, 1) ?? "")
        }
        return try await Self.newBoundary(of: projection, on: connection)
    }

    /// A moment at which no batch of the projection is being written.
    package static func newBoundary(of projection: String, on connection: Connection) async throws -> TimelineBoundary {
        try await connection.transaction {
            // Batches that have begun and wait for the lock begin again behind it.
            try await ProjectionLocks.raiseRevision(projection, on: connection)
            let now = try await connection.query("select clock_timestamp()::text, pg_current_snapshot()::text")
            return TimelineBoundary(since: try now.text(0, 0) ?? "", snapshot: try now.text(0, 1) ?? "")
        }
    }

    /// Begins the next version, or resumes one that was begun with the same input and configuration. Any other could
    /// not be swapped in, and is removed.
    /// - Parameters:
    ///   - input: a text that identifies the input.
    ///   - boundary: up to where the timeline is read first.
    package static func begin(
        _ definition: ProjectionDefinition,
        from source: Source,
        input: String,
        boundary: TimelineBoundary?,
        on connection: Connection
    ) async throws -> State {
        let live = try await ProjectionRegistry.stored(definition.name, on: connection)
        let plan = ProjectionPlan(definition.nextVersion, numbers: live?.numberLayout ?? .current)
        let input = "\(definition.selection) \(input)"
        return try await connection.transaction("begin; \(Migrator.lock)") {
            let found = try await connection.query(
                "select source, input, is_built from tidemark_internal.rebuilds where projection = $1::text",
                [.text(definition.name)]
            )
            if found.rowCount == 1 {
                let stored = try await ProjectionRegistry.stored(plan.name, on: connection)
                var isSame = try found.text(0, 0) == source.rawValue && found.text(0, 1) == input
                // Begun by an earlier version, it has another form.
                if try await EventShape.isFormer(plan.name, on: connection) { isSame = false }
                if isSame, stored == StoredDefinition(plan) {
                    return State(isResumed: true, isBuilt: try found.bool(0, 2) ?? false, isStartedOver: false)
                }
                try await Self.discardWithin(definition.name, on: connection)
            }
            try await ProjectionRegistry.create(plan, on: connection)
            try await ProjectionRegistry.save(StoredDefinition(plan), of: plan, on: connection)
            _ = try await connection.query(
                """
                insert into tidemark_internal.rebuilds (projection, source, input, since, snapshot)
                values ($1::text, $2::text, $3::text, $4::text::timestamptz, $5::text::pg_snapshot)
                """,
                [
                    .text(definition.name), .text(source.rawValue), .text(input),
                    boundary.map { .text($0.since) } ?? .null, boundary.map { .text($0.snapshot) } ?? .null,
                ]
            )
            return State(isResumed: false, isBuilt: false, isStartedOver: found.rowCount == 1)
        }
    }

    /// Marks the next version as built: only the comparison and the swap are left. Analyzes the tables, so that readers
    /// get plans with statistics.
    package static func markBuilt(_ definition: ProjectionDefinition, on connection: Connection) async throws {
        let plan = ProjectionPlan(definition.nextVersion)
        let tables = plan.names.storage(of: plan).map(\.sql).joined(separator: ", ")
        try await connection.execute("vacuum (analyze) \(tables)")
        _ = try await connection.query(
            """
            update tidemark_internal.rebuilds set is_built = true, built_at = now()
            where projection = $1::text and not is_built
            """,
            [.text(definition.name)]
        )
    }

    /// Stored events that the next version refuses: its own dead letters.
    package struct Refused: Sendable {
        package var count: Int64 = 0
        /// The first refused events, and the reasons.
        package var samples: [(event: String, why: String)] = []

        package init() {}
    }

    private static let refusedSamplesMax = 5

    package static func refused(_ projection: String, on connection: Connection) async throws -> Refused {
        let found = try await connection.query(
            """
            select position, detail, count(*) over ()
            from tidemark_internal.dead_letters where projection = $1::text order by id limit \(Self.refusedSamplesMax)
            """,
            [.text(NextVersion.name(of: projection))]
        )
        var refused = Refused()
        refused.count = found.rowCount > 0 ? try found.int64(0, 2) ?? 0 : 0
        refused.samples = try found.rows { (try found.text($0, 0) ?? "", try found.text($0, 1) ?? "") }
        return refused
    }

    package static func exists(_ projection: String, on connection: Connection) async throws -> Bool {
        let found = try await connection.query(
            "select 1 from tidemark_internal.rebuilds where projection = $1::text",
            [.text(projection)]
        )
        return found.rowCount > 0
    }

    /// The rebuilds that are running or were interrupted.
    package static func unfinished(on connection: Connection) async throws -> Inspection.Rows {
        guard try await connection.query("select to_regclass('tidemark.rebuilds') is not null").bool(0, 0) == true
        else {
            return Inspection.Rows(columns: [], rows: [])
        }
        return try await Inspection.rows(
            """
            select projection, source, case when built then 'built, not swapped' else 'being built' end as status,
                to_char(started_at, 'YYYY-MM-DD HH24:MI:SS') as started_at
            from tidemark.rebuilds order by projection
            """,
            on: connection
        )
    }

    /// Removes the next version and its counters.
    /// - Returns: whether there was one.
    package static func discard(_ projection: String, on connection: Connection) async throws -> Bool {
        try await connection.transaction("begin; \(Migrator.lock)") {
            guard try await Self.exists(projection, on: connection) else { return false }
            try await Self.discardWithin(projection, on: connection)
            return true
        }
    }

    private static func discardWithin(_ projection: String, on connection: Connection) async throws {
        _ = try await ProjectionRegistry.remove(NextVersion.name(of: projection), on: connection)
        _ = try await connection.query(
            "delete from tidemark_internal.rebuilds where projection = $1::text",
            [.text(projection)]
        )
    }

    /// The newest pass into the next version, which all its runs share; not one that reads what was received since.
    package static func replay(of projection: String, on connection: Connection) async throws -> Int64? {
        let found = try await connection.query(
            """
            select max(pass.id) from tidemark_internal.passes as pass
            where pass.projections = array[$1::text]
                and not exists (
                    select from tidemark_internal.leases as lease
                    join tidemark_internal.streams as stream on stream.id = lease.stream_id
                    where lease.pass_id = pass.id and stream.incarnation like 'timeline:%:changes since %'
                )
            """,
            [.text(NextVersion.name(of: projection))]
        )
        return try found.int64(0, 0)
    }
}
