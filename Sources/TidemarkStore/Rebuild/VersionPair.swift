import LibPQ
import TidemarkCore

/// The SQL that joins the live version of a projection with the next one.
struct VersionPair {
    struct Column {
        var name: String
        /// The name, quoted.
        var sql: String
        /// Whether `old` and `new` differ in it.
        var differs: String
    }

    /// The projection's plan after the swap.
    let plan: ProjectionPlan
    /// The plan of the next version.
    let next: ProjectionPlan
    let old: StoredDefinition
    /// Whether the order keys of both versions are comparable.
    let hasSameOrderKeys: Bool

    init(_ definition: ProjectionDefinition, on connection: Connection) async throws {
        guard let old = try await ProjectionRegistry.stored(definition.name, on: connection) else {
            throw Inspection.unknown(definition.name)
        }
        self.plan = ProjectionPlan(definition, numbers: old.numberLayout)
        self.next = ProjectionPlan(definition.nextVersion, numbers: old.numberLayout)
        self.old = old
        let new = StoredDefinition(self.next)
        let kinds = try await PassStore.readings(of: [self.plan.name, self.next.name], on: connection).positionKinds
        self.hasSameOrderKeys =
            old.rules == new.rules && old.sequence == new.sequence && Set(kinds.values).count <= 1
    }

    // MARK: Keys

    var hasSameKey: Bool { self.old.key.map(\.name) == self.plan.keyColumns.map(\.name) }
    var hasSameSequence: Bool { self.old.sequence == StoredDefinition(self.next).sequence }
    var firstKey: String { self.plan.keyList[0] }

    func keys(of alias: String) -> String {
        self.plan.keyList.map { "\(alias).\($0)" }.joined(separator: ", ")
    }

    /// Rows of one entity, `old` under the live version's types.
    func match(_ old: String, _ new: String) -> String {
        zip(self.plan.keyList, zip(self.old.key, self.plan.keyColumns)).map { name, parts in
            let (before, after) = parts
            return before.type == after.type.sql
                ? "\(old).\(name) = \(new).\(name)" : "\(old).\(name)::text = \(new).\(name)::text"
        }.joined(separator: " and ")
    }

    // MARK: Rows

    var oldView: String {
        let parts = self.old.table.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.map(SQLText.identifier).joined(separator: ".")
    }

    var newView: String { self.next.names.orders.sql }

    /// The live version's milestones.
    var milestoneStorage: String { RelationNames.storage(self.plan.name + "_milestones").sql }

    /// The columns of the view beside the key.
    func shownColumns(of definition: StoredDefinition) -> [StoredDefinition.Part] {
        let keys = Set(definition.key.map(\.name))
        let whole = [StoredDefinition.Part(name: "state", type: "text"), .init(name: "row", type: "jsonb")]
        return definition.columns?.filter { !keys.contains($0.name) } ?? whole
    }

    /// The columns to compare. With another sequence `_sequence` differs in all rows, so it is left out.
    var comparedColumns: [Column] {
        let before = self.shownColumns(of: self.old)
        var columns: [Column] = []
        for part in self.shownColumns(of: StoredDefinition(self.next)) {
            guard let old = before.first(where: { $0.name == part.name }) else { continue }
            columns.append(Self.column(part.name, cast: old.type == part.type ? "" : "::text"))
        }
        let own = (self.hasSameSequence ? ["_sequence"] : []) + ["_event_time", "_incomplete"]
        return columns + own.map { Self.column($0, cast: "") }
    }

    private static func column(_ name: String, cast: String) -> Column {
        let sql = SQLText.identifier(name)
        return Column(name: name, sql: sql, differs: "(old.\(sql)\(cast) is distinct from new.\(sql)\(cast))")
    }

    // MARK: Milestones

    /// The milestones that only the next version has reached: key, milestone.
    func freshMilestones(where condition: String = "true") -> String {
        let shared = self.sharedMilestones
        return """
            select \(self.keys(of: "next")), next.milestone
            from \(self.next.names.milestoneStorage.sql) as next
            where \(condition) and not exists (select from \(shared.from) where \(shared.condition))
            """
    }

    /// Joins the milestones that both versions have reached.
    var sharedMilestones: (from: String, condition: String) {
        let live = self.milestoneStorage
        guard !self.hasSameKey else {
            return ("\(live) as live", "\(self.match("live", "next")) and live.milestone = next.milestone")
        }
        // Under another key, entities match by the former key, which their events or their rows may carry.
        let storage = self.plan.keepsTimeline ? self.next.names.eventStorage : self.next.names.entityStorage
        let former = self.old.key.map { "live.\(SQLText.identifier($0.name))::text = \(self.carried($0.name))" }
        let keys = self.plan.keyList.enumerated().map { "carried.\($0.element) as _next\($0.offset)" }
        let match = self.plan.keyList.enumerated().map { "live._next\($0.offset) = next.\($0.element)" }
        return (
            """
            (
                select distinct live.milestone, live.reached_at, live.muted, \(keys.joined(separator: ", "))
                from \(live) as live join \(storage.sql) as carried on \(former.joined(separator: " and "))
            ) as live
            """,
            match.joined(separator: " and ") + " and live.milestone = next.milestone"
        )
    }

    /// A column of the former key, as text, in the next version's storage.
    private func carried(_ name: String) -> String {
        let isKey = self.plan.keyColumns.contains { $0.name == name }
        guard !isKey else { return "carried.\(SQLText.identifier(name))::text" }
        if self.plan.keepsTimeline {
            guard let columns = EventShape(self.plan).columns else {
                return "carried.image::jsonb ->> \(SQLText.literal(name))"
            }
            return columns.first { $0.name == name }.map { "carried.\($0.storage)::text" } ?? "null::text"
        }
        return self.plan.valueColumns == nil
            ? "carried.\"row\" ->> \(SQLText.literal(name))" : "carried.\(SQLText.identifier(name))::text"
    }

    /// Whether the next version's rows carry the former key.
    var carriesFormerKey: Bool {
        self.hasSameKey
            || self.old.key.allSatisfy { part in
                self.plan.keyColumns.contains { $0.name == part.name }
                    || (self.plan.definition.columns?.contains { $0.name == part.name } ?? true)
            }
    }
}
