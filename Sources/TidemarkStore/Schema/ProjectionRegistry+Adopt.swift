import LibPQ
import TidemarkCore

/// Adopts a changed configuration under which stored rows keep their meaning.
extension ProjectionRegistry {
    /// Adopts other columns or milestones of the same meaning.
    static func adopt(
        _ plan: ProjectionPlan,
        _ old: StoredDefinition,
        _ new: StoredDefinition,
        on connection: Connection
    ) async throws -> [String] {
        var widened: [(name: String, type: ColumnType)] = []
        let known = Dictionary(uniqueKeysWithValues: (old.columns ?? []).map { ($0.name, $0.type) })
        for column in new.columns ?? [] {
            guard let text = known[column.name], text != column.type else { continue }
            guard let old = ColumnType(text), let new = ColumnType(column.type), old.widens(to: new) else {
                // A timeline has texts as the source sent them, and other values as they were read.
                let arguments = ColumnType(text)?.baseSQL == "text" ? "" : " FILE…"
                throw StoreError(
                    .configuration,
                    "projection \(plan.name): column \"\(column.name)\" is \(text) in the database and \(column.type) in "
                        + "the configuration, which may not hold every stored value, or writes it otherwise; rebuild the "
                        + "projection (tidemark rebuild \(plan.name)\(arguments)), or keep the type"
                )
            }
            widened.append((column.name, new))
        }
        let columns = widened
        let plan = ProjectionPlan(plan.definition, late: new.late ?? [])
        let late = old.columnsAdded(by: new).filter { new.late?.contains($0) ?? false }
        // Before views and tables are locked, so that readers do not wait for it.
        if !late.isEmpty { try await LateColumns(late, plan).recordMissing(on: connection) }
        if plan.keepsTimeline { try await Self.keepWhatColumnsTold(plan, old, on: connection) }
        let inTheWay = StoreError(
            .failed,
            "sessions have read projection \(plan.name) without a pause for \(ProjectionLocks.lockLimit), so its changed "
                + "columns were not adopted; end the longest query of it (pg_stat_activity), or try again"
        )
        var locks = BriefLocks(until: .now + ProjectionLocks.lockLimit)
        let notes = try await locks.perform(on: connection, otherwise: inTheWay) {
            try await Self.gatherAnomalies(without: plan.name, on: connection)
            let attributes = try await Self.dropViews(of: plan.name, on: connection)
            let notes = try await Self.change(plan, old, new, widened: columns, late: late, on: connection)
            try await connection.execute(attributes.restoring(["view"]))
            return notes
        }
        try await connection.execute("set local lock_timeout = 0")
        return notes
    }

    /// Writes down sequences and states of events whose column tells them no more.
    private static func keepWhatColumnsTold(
        _ plan: ProjectionPlan,
        _ old: StoredDefinition,
        on connection: Connection
    ) async throws {
        let (before, after) = (EventShape(old), EventShape(plan))
        if let told = before.sequenceColumn?.name, after.sequenceColumn?.name != told {
            try await connection.execute(ProjectionDDL(plan).keepSequences(of: told))
        }
        if let told = before.stateColumn?.name, after.stateColumn?.name != told {
            try await connection.execute(ProjectionDDL(plan).keepStates(of: told))
        }
    }

    private static func change(
        _ plan: ProjectionPlan,
        _ old: StoredDefinition,
        _ new: StoredDefinition,
        widened: [(name: String, type: ColumnType)],
        late: [String],
        on connection: Connection
    ) async throws -> [String] {
        var notes: [String] = []
        let ddl = ProjectionDDL(plan)
        let known = Dictionary(uniqueKeysWithValues: (old.columns ?? []).map { ($0.name, $0.type) })
        // It stands in the way of another type.
        if !widened.isEmpty { try await connection.execute(ddl.dropGathering([plan.names.gathered.name])) }
        for column in widened {
            try await connection.execute(ddl.alterColumn(column.name, column.type))
            notes.append("column \"\(column.name)\" of projection \(plan.name) is \(column.type.sql) now")
        }
        let added = plan.valueList.filter { known[$0.name] == nil && old.columns != nil }
        for column in added {
            if plan.keepsTimeline, late.contains(column.name) {
                try await connection.execute(ddl.markLate(column.name))
            }
            // A column that was configured before has storage with old values.
            guard try await !Self.hasColumn(column, plan, on: connection) else {
                try await LateColumns(late, plan).recall(column, on: connection)
                notes.append("column \"\(column.name)\" of projection \(plan.name) is configured again")
                continue
            }
            try await connection.execute(ddl.addColumn(column.name, column.type))
            notes.append("added column \"\(column.name)\" to projection \(plan.name)")
        }
        if !late.isEmpty {
            notes.append(
                "unknown for the events that projection \(plan.name) has seen without it: "
                    + "\(late.joined(separator: ", ")); tidemark rebuild \(plan.name) FILE… reads them again"
            )
        }
        let kept = Set((new.columns ?? []).map(\.name))
        for column in old.columns ?? [] where !kept.contains(column.name) {
            if plan.keepsTimeline {
                try await connection.execute(ddl.markRetired(column.name))
            }
            notes.append(
                "column \"\(column.name)\" of projection \(plan.name) is configured no more; its storage is left"
            )
        }
        for statement in ddl.views { try await connection.execute(statement) }
        try await Self.createFunctions(of: plan, on: connection)
        try await Self.registerViews(of: plan, on: connection)
        return notes
    }

    /// Whether the storage has the column, from an earlier configuration.
    private static func hasColumn(
        _ column: (name: String, type: ColumnType),
        _ plan: ProjectionPlan,
        on connection: Connection
    ) async throws -> Bool {
        let found = try await connection.query(
            """
            select format_type(atttypid, atttypmod),
                format_type(atttypid, atttypmod) = format_type(to_regtype($3::text)::oid, -1)
                or format_type(atttypid, atttypmod) = replace($2::text, 'varchar', 'character varying')
            from pg_catalog.pg_attribute
            where attrelid = $1::text::regclass and attname = $4::text and not attisdropped
            """,
            [
                .text(plan.names.entityStorage.sql), .text(column.type.sql), .text(column.type.baseSQL),
                .text(column.name),
            ]
        )
        guard found.rowCount == 1 else { return false }
        guard try found.bool(0, 1) == true else {
            throw StoreError(
                .configuration,
                "projection \(plan.name): column \"\(column.name)\" was \(try found.text(0, 0) ?? "") when it was "
                    + "configured before, and is \(column.type.sql) now; give the column another name, or that type"
            )
        }
        return true
    }

    /// Drops the views.
    /// - Returns: the attributes of all relations, for the views that are created, and because comments are set again.
    private static func dropViews(
        of projection: String,
        on connection: Connection
    ) async throws -> RelationAttributes {
        let relations = try await Self.relations(of: projection, on: connection)
        let attributes = try await RelationAttributes.read(relations, on: connection)
        let views = relations.filter { $0.kind == "view" }
        if !views.isEmpty {
            try await Self.drop(views.map(\.sql), "view", of: projection, on: connection)
        }
        return attributes
    }

    /// Registers the current views and functions, and removes the former ones from the register.
    private static func registerViews(of plan: ProjectionPlan, on connection: Connection) async throws {
        _ = try await connection.query(
            "delete from tidemark_internal.relations where projection = $1::text and kind in ('view', 'function')",
            [.text(plan.name)]
        )
        let names = plan.names
        try await Self.register(names.views(of: plan) + names.functions(of: plan), of: plan, on: connection)
    }
}
