package import LibPQ
package import TidemarkCore

extension ProjectionRegistry {
    /// Refuses a configuration that is not the one under which a projection was written. Writes nothing.
    /// - Throws: `.configuration`, naming what differs.
    package static func requireStored(_ plan: ProjectionPlan, on connection: Connection) async throws {
        let found = try await connection.query(
            "select definition::text, units::text from tidemark_internal.projections where name = $1::text",
            [.text(plan.name)]
        )
        guard found.rowCount > 0, let text = try found.text(0, 0) else { return }
        let stored = try StoredDefinition(json: text)
        let definition = StoredDefinition(plan, keeping: stored)
        let changes = stored.changes(to: definition, units: try PassStore.units(json: try found.text(0, 1) ?? "{}"))
        guard changes.isEmpty else { throw Self.changed(changes, plan.name) }
        if stored.timeline, try await EventShape.isFormer(plan.name, on: connection) {
            throw Migrator.required("the timeline of projection \(plan.name) has the form of an earlier version")
        }
        guard stored != definition else { return }
        throw StoreError(
            .configuration,
            "projection \(plan.name) was written under another configuration (columns or milestones); `tidemark migrate` "
                + "adopts this one"
        )
    }

    /// Whether a stored projection can go on under this configuration.
    static func needsNoRebuild(_ plan: ProjectionPlan, on connection: Connection) async throws -> Bool {
        let found = try await connection.query(
            "select definition::text, units::text from tidemark_internal.projections where name = $1::text",
            [.text(plan.name)]
        )
        guard found.rowCount > 0, let text = try found.text(0, 0) else { return true }
        let stored = try StoredDefinition(json: text)
        let definition = StoredDefinition(plan, keeping: stored)
        return stored.changes(to: definition, units: try PassStore.units(json: try found.text(0, 1) ?? "{}")).isEmpty
    }

    /// Replaces the views of a projection in place, which keeps their owners, grants, and what users have made of them.
    static func replaceViews(of plan: ProjectionPlan, on connection: Connection) async throws {
        let stored = try await Self.stored(plan.name, on: connection)
        let plan = ProjectionPlan(plan.definition, late: stored?.late ?? [])
        let inTheWay = StoreError(
            .failed,
            "sessions have read projection \(plan.name) without a pause for \(ProjectionLocks.lockLimit), so its views were not "
                + "replaced; end the longest query of it (pg_stat_activity), or try again"
        )
        var locks = BriefLocks(until: .now + ProjectionLocks.lockLimit)
        try await locks.perform(on: connection, otherwise: inTheWay) {
            try await connection.execute(ProjectionDDL(plan).views.joined(separator: ";\n"))
        }
        try await connection.execute("set local lock_timeout = 0")
        try await Self.createFunctions(of: plan, on: connection)
    }

    /// Drops and creates all views of a projection where one is missing, and restores owner, grants and comments of those
    /// that were there.
    /// - Throws: `.configuration` where nothing may be created.
    static func restoreViews(
        of plan: ProjectionPlan,
        allowed: SchemaChanges,
        on connection: Connection
    ) async throws -> [String] {
        let views = plan.names.views(of: plan)
        let found = try await connection.query(
            """
            select view.number - 1
            from unnest($1::text[], $2::text[]) with ordinality as view (schema, name, number)
            where exists (
                select from pg_catalog.pg_class as c
                join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                where n.nspname = view.schema and c.relname = view.name
            )
            """,
            [.texts(views.map(\.schema)), .texts(views.map(\.name))]
        )
        let present = Set(try found.rows { Int(try found.int64($0, 0) ?? 0) })
        let missing = views.indices.filter { !present.contains($0) }.map { "\(views[$0].schema).\(views[$0].name)" }
        guard !missing.isEmpty else {
            return try await Self.restoreFunctions(of: plan, allowed: allowed, on: connection)
        }
        let names = missing.joined(separator: ", ")
        guard allowed != .none else {
            throw Migrator.required("views of projection \(plan.name) are not there (\(names))")
        }
        try await Self.gatherAnomalies(without: plan.name, on: connection)
        let left = views.indices.filter(present.contains).map { views[$0] }
        let attributes = try await RelationAttributes.read(left, on: connection)
        if !left.isEmpty { try await Self.drop(left.map(\.sql), "view", of: plan.name, on: connection) }
        try await connection.execute(ProjectionDDL(plan).views.joined(separator: ";\n"))
        try await connection.execute(attributes.restoring(["view"]))
        return ["created views of projection \(plan.name) that were not there: \(names)"]
            + (try await Self.restoreFunctions(of: plan, allowed: allowed, on: connection))
    }

    /// Creates or replaces the functions of a projection.
    /// - Throws: `.failed` where relations of others are made of them.
    static func createFunctions(of plan: ProjectionPlan, on connection: Connection) async throws {
        let ddl = ProjectionDDL(plan)
        guard !ddl.functions.isEmpty else { return }
        // The first is what the others call.
        let functions = [ddl.gathering, ddl.owningGathering] + ddl.functions
        try await Self.namingDependents(on: "its functions get other columns", of: plan.name) {
            try await connection.execute(functions.joined(separator: ";\n"))
        }
    }

    /// Creates functions of a projection that are missing, as those that an earlier version did not have.
    /// - Throws: `.configuration` where nothing may be created, or a name is taken.
    private static func restoreFunctions(
        of plan: ProjectionPlan,
        allowed: SchemaChanges,
        on connection: Connection
    ) async throws -> [String] {
        let functions = plan.names.functions(of: plan)
        guard !functions.isEmpty else { return [] }
        let found = try await connection.query(
            """
            select function.number - 1, own.projection is not null
            from unnest($1::text[], $2::text[], $3::text[]) with ordinality
                as function (schema_name, relation_name, signature, number)
            left join tidemark_internal.relations as own
                on own.schema_name = function.schema_name and own.relation_name = function.relation_name
                and own.kind = 'function' and own.projection = $4::text
            where to_regprocedure(function.signature) is null or own.projection is null
            order by function.number
            """,
            [
                .texts(functions.map(\.schema)), .texts(functions.map(\.name)), .texts(functions.map(\.signature)),
                .text(plan.name),
            ]
        )
        let missing = try found.rows { row in
            (function: functions[Int(try found.int64(row, 0) ?? 0)], isRegistered: try found.bool(row, 1) ?? false)
        }
        guard !missing.isEmpty else { return [] }
        let names = missing.map { "\($0.function.schema).\($0.function.name)" }.joined(separator: ", ")
        guard allowed != .none else {
            throw Migrator.required("functions of projection \(plan.name) are not there (\(names))")
        }
        let added = missing.filter { !$0.isRegistered }.map(\.function)
        try await Self.refuseForeign(added, of: plan, on: connection)
        try await Self.createFunctions(of: plan, on: connection)
        try await Self.register(added, of: plan, on: connection)
        return ["created functions of projection \(plan.name) that were not there: \(names)"]
    }
}
