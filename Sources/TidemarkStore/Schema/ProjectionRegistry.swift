import Foundation
package import LibPQ
package import TidemarkCore

/// Creates projections' relations, and refuses to change relations that Tidemark did not create.
package enum ProjectionRegistry {
    /// Creates and extends every projection's relations, and checks that they match the configuration.
    /// - Parameters:
    ///   - changes: what may be created or extended.
    ///   - adopts: `false` where a stored definition that differs is an error.
    ///   - sources: settings that are about to be read with. Where the projection's rows were made with others, nothing
    ///     is changed for it.
    /// - Returns: sentences about what was created or left alone, for the log.
    /// - Throws: `.configuration`, naming `tidemark migrate`, where something is missing and may not be created.
    package static func prepare(
        _ plans: [ProjectionPlan],
        changes: SchemaChanges = .all,
        adopts: Bool = true,
        sources: [SourceSettings] = [],
        on connection: Connection
    ) async throws -> [String] {
        try await Migrator.namingTheCommand {
            try await Self.prepareAll(plans, allowed: changes, adopts: adopts, sources: sources, on: connection)
        }
    }

    private static func prepareAll(
        _ plans: [ProjectionPlan],
        allowed: SchemaChanges,
        adopts: Bool,
        sources: [SourceSettings],
        on connection: Connection
    ) async throws -> [String] {
        var converted: [ProjectionPlan] = []
        // In the order in which batches lock them.
        for plan in plans.sorted(by: { $0.name < $1.name }) {
            // What needs a rebuild is read as it is, and gets the new form with it.
            guard let conversion = try await TimelineConversion(plan.name, on: connection),
                try await Self.needsNoRebuild(plan, on: connection)
            else { continue }
            converted.append(plan)
            guard allowed == .all else {
                throw Migrator.required("the timeline of projection \(plan.name) has the form of an earlier version")
            }
            try await conversion.copyEvents(on: connection)
        }
        return try await connection.transaction("begin; \(Migrator.lock)") {
            var notes: [String] = []
            var conversions: [String: TimelineConversion] = [:]
            for plan in converted {
                // Another process may have changed the configuration, or converted it.
                guard try await Self.needsNoRebuild(plan, on: connection) else { continue }
                conversions[plan.name] = try await TimelineConversion(plan.name, on: connection)
                try await conversions[plan.name]?.catchUp(on: connection)
            }
            for plan in plans.sorted(by: { $0.name < $1.name }) {
                if !sources.isEmpty {
                    let known = try await Self.sources(of: plan.name, on: connection)
                    try Self.requireUnchanged(sources, since: known, of: plan)
                }
                if conversions[plan.name] != nil {
                    try await conversions[plan.name]?.copy.swap(on: connection)
                    // A version that was being built has the former form.
                    _ = try await Self.remove(NextVersion.name(of: plan.name), on: connection)
                    _ = try await connection.query(
                        "delete from tidemark_internal.rebuilds where projection = $1::text",
                        [.text(plan.name)]
                    )
                    notes.append("the timeline of projection \(plan.name) has the form of this version now")
                }
                notes += try await Self.prepare(plan, allowed: allowed, adopts: adopts, on: connection)
                if let conversion = conversions[plan.name] {
                    try await Self.replaceViews(of: plan, on: connection)
                    try await conversion.copy.finish(owning: ProjectionDDL(plan).owningGathering, on: connection)
                }
            }
            // Recreated only on change, because that waits for the view's readers and blocks new ones.
            let isThere = try await connection.query("select to_regclass('tidemark.anomalies') is not null")
            guard try isThere.bool(0, 0) == true else {
                try await connection.execute(
                    ([Self.anomaliesView(on: connection)] + Self.anomaliesAttributes).joined(separator: ";\n")
                )
                return notes
            }
            if !notes.isEmpty { try await Self.gatherAnomalies(on: connection) }
            return notes
        }
    }

    /// Looks for a projection's storage, which an operator may have dropped or renamed. A lane prepares statements for all
    /// of its projections at once, so one that lacks a table would keep the others from being written.
    /// - Throws: `PostgresError`, naming the relation.
    package static func requireStorage(of plan: ProjectionPlan, on connection: Connection) async throws {
        for relation in [plan.names.entityStorage, plan.names.milestoneStorage] {
            _ = try await connection.query("select from \(relation.sql) limit 0")
        }
        guard plan.keepsTimeline else { return }
        _ = try await connection.query("select from \(plan.names.eventStorage.sql) limit 0")
    }

    /// Replaces `tidemark.anomalies` by the union of all projections' anomaly views, without rebuilds in progress. It is
    /// never dropped, so that it keeps its owner, grants and comment.
    /// - Parameter left: a projection that is left out, so that its views can be dropped.
    static func gatherAnomalies(without left: String = "", on connection: Connection) async throws {
        try await connection.execute(Self.anomaliesView(without: left, on: connection))
    }

    /// - Parameter left: a projection that is left out.
    static func anomaliesView(without left: String = "", on connection: Connection) async throws -> String {
        let found = try await connection.query(
            """
            select relation_name from tidemark_internal.relations
            where schema_name = 'tidemark_internal' and kind = 'view' and relation_name like '%\\_anomalies'
                and projection not like '%.next' and projection <> $1::text
                -- One that an operator has dropped is made again with its projection.
                and to_regclass(format('%I.%I', schema_name, relation_name)) is not null
            order by relation_name
            """,
            [.text(left)]
        )
        return Self.anomaliesView(over: try found.texts())
    }

    /// - Parameter names: the projections' own views of anomalies.
    private static func anomaliesView(over names: [String]) -> String {
        var parts = [
            """
            select projection, null::jsonb as key, 'truncate'::text as kind, position as sequence,
                'truncate of ' || source_table
                    || case when order_key is null then '; the rows stay' else '; its rows are deleted' end as detail
            from tidemark_internal.truncates
            where projection not like '%.next'
            """
        ]
        for name in names {
            parts.append(
                "select projection, key, kind, sequence, detail from tidemark_internal.\(SQLText.identifier(name))"
            )
        }
        return "create or replace view tidemark.anomalies as\n" + parts.joined(separator: "\nunion all\n")
    }

    /// What follows the view when it is created.
    private static let anomaliesAttributes = [
        "comment on view tidemark.anomalies is 'What is odd in the events kept: conflict, unknown_state, illegal_step, truncate, snapshot_ignored, doubtful_delete, moved_partition.'",
        ProjectionDDL.readOnly("tidemark.anomalies"),
    ]

    /// The statements that ``prepare(_:on:)`` runs for new projections, for `migrate --print`.
    package static func script(_ plans: [ProjectionPlan]) throws -> [String] {
        var statements: [String] = []
        for plan in plans {
            statements += [ProjectionDDL(plan).createSchema] + ProjectionDDL(plan).create
            for relation in plan.names.all(of: plan) {
                let values = [relation.schema, relation.name, relation.kind, plan.name].map(SQLText.literal)
                statements.append(
                    "insert into tidemark_internal.relations (schema_name, relation_name, kind, projection)\n"
                        + "values (\(values.joined(separator: ", ")))"
                )
            }
            let definition = try Self.json(StoredDefinition(plan))
            statements.append(
                "insert into tidemark_internal.projections (name, definition)\n"
                    + "values (\(SQLText.literal(plan.name)), \(SQLText.literal(definition)))"
            )
        }
        let names = plans.filter(\.keepsTimeline).map(\.names.anomalies.name)
        return statements + [Self.anomaliesView(over: names)] + Self.anomaliesAttributes
    }

    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private static func prepare(
        _ plan: ProjectionPlan,
        allowed: SchemaChanges,
        adopts: Bool,
        on connection: Connection
    ) async throws -> [String] {
        // Its row is not locked: a batch that waited for it would hold the lock that a change of the revision needs.
        let found = try await connection.query(
            "select definition::text, position_kind, units::text from tidemark_internal.projections where name = $1::text",
            [.text(plan.name)]
        )
        guard found.rowCount > 0, let text = try found.text(0, 0) else {
            guard allowed != .none else {
                throw Migrator.required("the relations of projection \(plan.name) are not there")
            }
            try await Self.create(plan, on: connection)
            try await Self.save(StoredDefinition(plan), of: plan, on: connection)
            if let kind = plan.definition.positionKind {
                try await PassStore.save(.init(positionKinds: [plan.name: kind]), on: connection)
            }
            return ["created projection \(plan.name) as \(plan.names.orders.schema).\(plan.names.orders.name)"]
        }
        let stored = try StoredDefinition(json: text)
        var definition = StoredDefinition(plan, keeping: stored)
        let added = stored.columnsAdded(by: definition)
        if !added.isEmpty, try await LateColumns(added, plan).haveBeenMissed(on: connection) {
            definition.late = stored.late(with: definition)
        }
        let units = try PassStore.units(json: try found.text(0, 2) ?? "{}")
        var changes = stored.changes(to: definition, units: units)
        if let declared = plan.definition.positionKind {
            let known = try found.text(0, 1)
            if known ?? declared.rawValue != declared.rawValue {
                changes.append("sequence (positions were of kind \(known ?? ""), are of \(declared))")
            } else if known == nil {
                try await PassStore.save(.init(positionKinds: [plan.name: declared]), on: connection)
            }
        }
        guard changes.isEmpty else { throw Self.changed(changes, plan.name) }
        guard stored != definition else {
            let plan = ProjectionPlan(plan.definition, late: stored.late ?? [])
            return try await Self.restoreViews(of: plan, allowed: allowed, on: connection)
        }
        guard adopts else {
            throw StoreError(
                .configuration,
                "another process has given projection \(plan.name) a definition that this process's configuration does not "
                    + "have; start all processes with the same configuration"
            )
        }
        guard allowed == .all || stored.columns == definition.columns else {
            let names = added.map { "\"\($0)\"" }.joined(separator: ", ")
            throw Migrator.required(
                added.isEmpty
                    ? "the columns of projection \(plan.name) are configured otherwise than its relations have them"
                    : "the relations of projection \(plan.name) lack \(names)"
            )
        }
        try await ProjectionLocks.lockOperationsWithin(plan.name, on: connection)
        try await ProjectionLocks.raiseRevision(plan.name, on: connection)
        let notes = try await Self.adopt(plan, stored, definition, on: connection)
        try await Self.save(definition, of: plan, on: connection)
        return notes
    }

    static func save(
        _ definition: StoredDefinition,
        of plan: ProjectionPlan,
        on connection: Connection
    ) async throws {
        let json = try Self.json(definition)
        _ = try await connection.query(
            """
            insert into tidemark_internal.projections (name, definition) values ($1::text, $2::text::jsonb)
            on conflict (name) do update set definition = excluded.definition, updated_at = now()
            """,
            [.text(plan.name), .text(json)]
        )
    }

    static func create(_ plan: ProjectionPlan, on connection: Connection) async throws {
        let relations = plan.names.all(of: plan)
        try await Self.refuseForeign(relations, of: plan, on: connection)
        let ddl = ProjectionDDL(plan)
        try await connection.execute(([ddl.createSchema] + ddl.create).joined(separator: ";\n"))
        try await Self.register(relations, of: plan, on: connection)
    }

    /// The plans with the stored state of each projection: the columns in its digest, those added since it was built,
    /// the layout of its numbers, and the units found for its numbers.
    package static func withStoredDigests(
        _ definitions: [ProjectionDefinition],
        on connection: Connection
    ) async throws -> [ProjectionPlan] {
        var plans: [ProjectionPlan] = []
        for definition in definitions {
            let stored = try await Self.stored(definition.name, on: connection)
            let plan = ProjectionPlan(
                definition,
                digest: stored?.digest.map { $0.map(\.column) },
                late: stored?.late ?? [],
                numbers: stored?.numberLayout ?? .current
            )
            let readings = try await PassStore.readings(of: [definition.name], on: connection)
            plans.append(plan.with(readings.units[definition.name] ?? [:]))
        }
        return plans
    }

    package static func exists(_ projection: String, on connection: Connection) async throws -> Bool {
        try await Self.stored(projection, on: connection) != nil
    }

    static func stored(_ projection: String, on connection: Connection) async throws -> StoredDefinition? {
        let found = try await connection.query(
            "select definition::text from tidemark_internal.projections where name = $1::text",
            [.text(projection)]
        )
        let text = found.rowCount == 1 ? try found.text(0, 0) ?? "" : ""
        return try? StoredDefinition(json: text)
    }

    /// Drops a projection's relations, its definition, and its rows in Tidemark's own tables.
    /// - Returns: the relations dropped.
    package static func drop(_ projection: String, on connection: Connection) async throws -> [String] {
        try await connection.transaction("begin; \(Migrator.lock)") {
            try await Self.gatherAnomalies(without: projection, on: connection)
            let next = try await Self.remove(NextVersion.name(of: projection), on: connection)
            let dropped = try await Self.remove(projection, on: connection)
            _ = try await connection.query(
                "delete from tidemark_internal.rebuilds where projection = $1::text",
                [.text(projection)]
            )
            return dropped + next
        }
    }

    /// Drops the relations within a transaction. No other view may depend on them.
    /// - Returns: the relations dropped.
    static func remove(_ projection: String, on connection: Connection) async throws -> [String] {
        let relations = try await Self.relations(of: projection, on: connection)
        for kind in ["function", "view", "table"] {
            // One statement for all, because views depend on each other.
            let names = relations.filter { $0.kind == kind }.map(\.signature)
            if kind == "table" {
                try await connection.execute(ProjectionDDL.dropGathering([RelationNames.gathered(of: projection).name]))
            }
            guard !names.isEmpty else { continue }
            try await Self.drop(names, kind, of: projection, on: connection)
        }
        for table in ["relations", "deliveries", "dead_letters", "truncates"] {
            _ = try await connection.query(
                "delete from tidemark_internal.\(table) where projection = $1::text",
                [.text(projection)]
            )
        }
        try await DeadLetterStore.removeMessages(on: connection)
        try await PassStore.forgetUnfinished(projection, on: connection)
        _ = try await connection.query(
            "delete from tidemark_internal.projections where name = $1::text",
            [.text(projection)]
        )
        return relations.map { "\($0.schema).\($0.name)" }
    }

    /// Drops relations of a projection.
    /// - Throws: `.failed` where relations of others are made of them.
    static func drop(
        _ names: [String],
        _ kind: String,
        of projection: String,
        on connection: Connection
    ) async throws {
        try await Self.namingDependents(on: "its \(kind)s are to be dropped", of: projection) {
            try await connection.execute("drop \(kind) if exists \(names.joined(separator: ", "))")
        }
    }

    /// Says which relations of others keep a step from dropping what they are made of.
    /// - Parameter what: what the step does, with its subject.
    static func namingDependents(
        on what: String,
        of projection: String,
        _ step: () async throws -> Void
    ) async throws {
        do {
            try await step()
        } catch let error as PostgresError where error.sqlState == "2BP01" {
            throw StoreError(
                .failed,
                "projection \(projection): \(what), and relations of yours are made of them "
                    + "(\(error.detail ?? error.message)); drop those, repeat this, and create them again"
            )
        }
    }

    /// The registered relations of a projection, views first.
    static func relations(
        of projection: String,
        on connection: Connection
    ) async throws -> [RelationNames.Relation] {
        let found = try await connection.query(
            """
            select schema_name, relation_name, kind from tidemark_internal.relations
            where projection = $1::text order by kind = 'table', relation_name
            """,
            [.text(projection)]
        )
        return try found.rows { row in
            RelationNames.Relation(
                schema: try found.text(row, 0) ?? "",
                name: try found.text(row, 1) ?? "",
                kind: try found.text(row, 2) ?? "view"
            )
        }
    }
}
