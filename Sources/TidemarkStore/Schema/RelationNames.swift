package import TidemarkCore

/// Quotes identifiers and literals for statements whose names come from the configuration. Values are bound.
package enum SQLText {
    package static func identifier(_ name: String) -> String {
        "\"" + name.replacing(byte: "\"", with: "\"\"") + "\""
    }

    package static func literal(_ text: String) -> String {
        let doubled = text.replacing(byte: "'", with: "''")
        guard doubled.has(byte: "\\") else { return "'\(doubled)'" }
        return "E'" + doubled.replacing(byte: "\\", with: "\\\\") + "'"
    }

    /// Creates a schema unless it is there. `create schema if not exists` needs CREATE on the database even if it is.
    static func createMissing(schema: String) -> String {
        let name = Self.literal(schema)
        let body = """
            begin
                if to_regnamespace(quote_ident(\(name))) is null then
                    execute format('create schema %I', \(name));
                end if;
            end
            """
        return "do " + Self.literal(body)
    }

    /// The condition that a row has a key, whose parts are the parameters from `$1` on as text.
    static func match(_ key: [(name: String, type: String)], of row: String) -> String {
        key.enumerated().map { "\(row).\(Self.identifier($1.name)) = $\($0 + 1)::text::\($1.type)" }
            .joined(separator: " and ")
    }

    /// A `text[]` literal of names, which may come from messages.
    /// - Parameter hasNull: whether a null is the first element.
    package static func arrayLiteral(_ names: [[UInt8]], hasNull: Bool = false) -> String {
        var output = Array((hasNull ? "{NULL" : "{").utf8)
        for (index, name) in names.enumerated() {
            if hasNull || index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(UInt8(ascii: "\""))
            for byte in name {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { output.append(UInt8(ascii: "\\")) }
                output.append(byte)
            }
            output.append(UInt8(ascii: "\""))
        }
        output.append(UInt8(ascii: "}"))
        return String(decoding: output, as: UTF8.self)
    }
}

/// The relations of one projection: views that users query, named after `table`, and the storage behind them.
package struct RelationNames: Sendable {
    package struct Relation: Sendable, Hashable {
        package var schema: String
        package var name: String
        package var kind: String

        package var sql: String { SQLText.identifier(self.schema) + "." + SQLText.identifier(self.name) }
        /// As `drop` takes it.
        var signature: String { self.kind == "function" ? "\(self.sql)(timestamptz)" : self.sql }
    }

    package static let storageSchema = "tidemark_internal"

    static func gathered(of projection: String) -> Relation {
        Relation(schema: Self.storageSchema, name: projection + "_gathered", kind: "function")
    }

    static func storage(_ name: String) -> Relation { Relation(schema: Self.storageSchema, name: name, kind: "table") }

    package let orders: Relation
    package let timeline: Relation
    package let history: Relation
    package let milestones: Relation
    package let entityStorage: Relation
    package let eventStorage: Relation
    package let milestoneStorage: Relation
    /// Each event with the image of its entity after it.
    package let versions: Relation
    /// The function by which that view completes an event that lacks columns. It comes and goes with the view.
    let gathered: Relation
    package let gaps: Relation
    /// The projection's part of `tidemark.anomalies`.
    package let anomalies: Relation
    /// The rows as they were at a moment, and as they were known then.
    package let asOf: Relation
    package let knownAt: Relation

    /// - Parameter storage: the projection that the tables are named after, if another: a version that is about to be
    ///   swapped in.
    package init(_ definition: ProjectionDefinition, storage: String? = nil) {
        let (schema, table, name) = (definition.schema, definition.table, definition.name)
        let storage = storage ?? name
        self.orders = Relation(schema: schema, name: table, kind: "view")
        self.timeline = Relation(schema: schema, name: table + "_timeline", kind: "view")
        self.history = Relation(schema: schema, name: table + "_history", kind: "view")
        self.milestones = Relation(schema: schema, name: table + "_milestones", kind: "view")
        self.entityStorage = Self.storage(storage + "_entities")
        self.eventStorage = Self.storage(storage + "_events")
        self.milestoneStorage = Self.storage(storage + "_milestones")
        self.versions = Relation(schema: Self.storageSchema, name: name + "_versions", kind: "view")
        self.gathered = Self.gathered(of: name)
        self.gaps = Relation(schema: schema, name: table + "_gaps", kind: "view")
        self.anomalies = Relation(schema: Self.storageSchema, name: name + "_anomalies", kind: "view")
        self.asOf = Relation(schema: schema, name: table + "_as_of", kind: "function")
        self.knownAt = Relation(schema: schema, name: table + "_known_at", kind: "function")
    }

    /// Storage first, then the views and what is made of them.
    package func all(of plan: ProjectionPlan) -> [Relation] {
        self.storage(of: plan) + self.views(of: plan) + self.functions(of: plan)
    }

    package func storage(of plan: ProjectionPlan) -> [Relation] {
        [self.entityStorage, self.milestoneStorage] + (plan.keepsTimeline ? [self.eventStorage] : [])
    }

    /// In the order in which they can be created.
    package func views(of plan: ProjectionPlan) -> [Relation] {
        [self.orders, self.milestones] + (plan.isContiguous ? [self.gaps] : [])
            + (plan.keepsTimeline ? [self.timeline, self.versions, self.history, self.anomalies] : [])
    }

    /// A version that is about to be swapped in has none.
    package func functions(of plan: ProjectionPlan) -> [Relation] {
        plan.keepsTimeline && self.asOf.schema != Self.storageSchema ? [self.asOf, self.knownAt] : []
    }
}

extension ProjectionPlan {
    package var names: RelationNames { RelationNames(self.definition) }

    /// The key columns, quoted.
    package var keyList: [String] { self.keyColumns.map { SQLText.identifier($0.name) } }

    /// The columns of the storage beside the key, and their types.
    package var valueList: [(name: String, type: ColumnType)] {
        self.valueColumns?.map { ($0.name, $0.type) } ?? [("row", .jsonb)]
    }
}
