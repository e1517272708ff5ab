import TidemarkConfiguration
import TidemarkCore

/// Compares the replica identity that a sample's deletes of PostgreSQL's tables imply with `replica_identity`.
struct IdentitySample {
    private struct Table: Hashable {
        var name: String
        var source: String
    }

    /// The identity that deletes imply.
    private enum Look: Equatable {
        /// These columns, and defaults in others.
        case columns([String])
        case full
        /// Some deletes imply one identity, some another.
        case mixed
        case unknown
    }

    private struct Images {
        var settings: SourceSettings
        /// The configured identity of the table.
        var rule: Int
        /// Whether it has an event that only PostgreSQL writes. Deletes of SQL Server, Oracle and Db2 are whole rows.
        var isPostgres = false
        /// The databases that its events name.
        var databases: Set<String> = []
        /// The projections that take it.
        var projections: Set<String> = []
        /// Their key columns.
        var key: Set<String> = []
        /// Of each delete, the columns with another value than null or a default.
        var deletes: [Set<String>] = []
        /// Columns with one value in all deletes, and that value.
        var constants: [String: [UInt8]] = [:]
        /// Columns with a value in every image that is no delete's; `nil` before the first one.
        var alwaysHeld: Set<String>?
        /// Values that those images hold, by column, where they differ from each other.
        var firstValues: [String: [UInt8]] = [:]
        var varying: Set<String> = []

        mutating func count(_ event: ChangeEvent, of message: DecodedMessage) {
            let isDelete = event.operation == .delete
            // Only PostgreSQL's deletes tell of a replica identity.
            guard !isDelete || event.beforeTrust != .whole, let row = isDelete ? event.before : event.after else {
                return
            }
            var held: Set<String> = []
            for index in row where !message.fields[index].isMeta && !DefaultLook.has(index, of: message) {
                let field = message.fields[index]
                let (name, value) = (message.text(field.name), Array(message.bytes[field.value.range]))
                held.insert(name)
                if isDelete {
                    if self.deletes.isEmpty { self.constants[name] = value }
                    if self.constants[name] != value { self.constants[name] = nil }
                } else {
                    if self.firstValues[name, default: value] != value { self.varying.insert(name) }
                    self.firstValues[name] = self.firstValues[name] ?? value
                }
            }
            if isDelete {
                self.deletes.append(held)
            } else {
                self.alwaysHeld = self.alwaysHeld?.intersection(held) ?? held
            }
        }
    }

    private let configuration: Configuration
    private let plans: [ProjectionPlan]
    private var tables: [Table: Images] = [:]

    init(_ configuration: Configuration, _ plans: [ProjectionPlan]) {
        self.configuration = configuration
        self.plans = plans
    }

    mutating func count(_ event: ChangeEvent, of message: DecodedMessage, _ settings: SourceSettings) {
        let table = Table(name: message.text(event.table), source: settings.name)
        var images =
            self.tables.removeValue(forKey: table)
            ?? Images(
                settings: settings,
                rule: settings.replicaIdentities.index(of: message.tableName(of: event))
            )
        if images.databases.insert(message.text(event.database)).inserted {
            for plan in self.plans where plan.takes(event, of: message) {
                images.projections.insert(plan.name)
                images.key.formUnion(Self.key(of: plan))
            }
        }
        if event.beforeTrust != .whole || event.position?.kind == .lsn { images.isPostgres = true }
        if event.isDatabaseApart { images.count(event, of: message) }
        self.tables[table] = images
    }

    private static func key(of plan: ProjectionPlan) -> [String] {
        plan.keyColumns.filter { !$0.isDatabase && !$0.source.starts(with: ProjectionPlan.headerPrefix) }.map {
            String(decoding: $0.source, as: UTF8.self)
        }
    }

    // MARK: Implied identities

    private static func look(_ images: Images) -> Look {
        guard let first = images.deletes.first else { return .unknown }
        let others = images.alwaysHeld.map { $0.subtracting(images.key) } ?? []
        // An image that lacks most of what every other image has carries the identity's columns alone.
        let bare = images.deletes.count { held in
            guard !others.isEmpty else { return held.isSubset(of: images.key) && images.alwaysHeld == nil }
            return 2 * others.subtracting(held).count >= others.count
        }
        guard bare > 0 else {
            return images.deletes.contains { !$0.isSubset(of: images.key) } ? .full : .unknown
        }
        guard bare == images.deletes.count else { return .mixed }
        let common = images.deletes.dropFirst().reduce(first) { $0.intersection($1) }
        // A column that is the same in all deletes, and not in other images, holds its DEFAULT.
        let defaults = images.deletes.count > 1 ? images.varying.intersection(images.constants.keys) : []
        let columns = common.subtracting(defaults.subtracting(images.key))
        return .columns(columns.sorted())
    }

    var findings: [String] {
        self.sorted.compactMap { table, images in
            let deletes =
                "\(table.name): \(images.deletes.count == 1 ? "its delete" : "its \(images.deletes.count) deletes")"
            let verb = images.deletes.count == 1 ? "carries" : "carry"
            switch Self.look(images) {
            case .columns(let columns):
                let names = columns.joined(separator: ", ")
                let identity = images.key.isSubset(of: columns) ? "default" : "[\(names)]"
                return "\(deletes) \(verb) \(names) alone: replica identity \(identity)"
            case .full: return "\(deletes) \(verb) whole rows: replica identity full"
            case .mixed: return "\(deletes) carry whole rows and keys alone by turns: the replica identity has changed"
            case .unknown: return nil
            }
        }
    }

    private var sorted: [(key: Table, value: Images)] {
        self.tables.sorted { ($0.key.name, $0.key.source) < ($1.key.name, $1.key.source) }
    }

    // MARK: Contradictions

    var warnings: [String] {
        self.sorted.flatMap { table, images in
            let said = images.settings.replicaIdentities[images.rule]
            func say(_ identity: String) -> String {
                "say replica_identity: { default: \(Self.text(images.settings.replicaIdentities.rest)), "
                    + "\(table.name): \(identity) }"
            }
            let source =
                "source \(table.source): replica_identity of \(table.name) is \(Self.text(said)), and its deletes"
            switch (Self.look(images), said) {
            case (.columns(let columns), .full):
                let identity = images.key.isSubset(of: columns) ? "default" : "[\(columns.joined(separator: ", "))]"
                return ["\(source) carry \(columns.joined(separator: ", ")) alone: \(say(identity))"]
            case (.columns(let columns), .columns(let names)) where !Set(names).isSubset(of: columns):
                return [
                    "\(source) carry \(columns.joined(separator: ", ")) alone: \(say("[\(columns.joined(separator: ", "))]"))"
                ]
            case (.columns(let columns), .default) where !images.key.isSubset(of: columns):
                return [
                    "\(source) carry \(columns.joined(separator: ", ")) alone, without the key "
                        + "(\(images.key.sorted().joined(separator: ", "))) of its projection: a delete would be that of "
                        + "another row: \(say("[\(columns.joined(separator: ", "))]"))"
                ]
            case (.full, .default), (.full, .columns):
                return ["\(source) carry whole rows: \(say("full"))"]
            case (.mixed, .full):
                return ["\(source) carry keys alone in part: \(say("default"))"]
            default: return []
            }
        }
    }

    private static func text(_ identity: ReplicaIdentity) -> String {
        switch identity {
        case .default: "default"
        case .full: "full"
        case .columns(let names): "[\(names.joined(separator: ", "))]"
        }
    }

    /// Projections whose key is not among the columns that the deletes of a table carry by the configuration.
    var errors: [ConfigurationIssue] {
        var issues: [ConfigurationIssue] = []
        for plan in self.plans {
            let key = Self.key(of: plan)
            func check(_ table: String, _ identity: ReplicaIdentity, _ source: String) {
                guard case .columns(let names) = identity, !Set(key).isSubset(of: names),
                    let location = self.configuration.projectionLocations[plan.name]
                else { return }
                let issue = ConfigurationIssue(
                    location: location,
                    path: "",
                    message:
                        "projection \(plan.name): key is (\(key.joined(separator: ", "))), and source \(source) says that "
                        + "deletes of \(table) carry \(Self.text(identity)) alone: every one of them would be a dead letter; "
                        + "key the projection by these, or set REPLICA IDENTITY DEFAULT or FULL"
                )
                if !issues.contains(issue) { issues.append(issue) }
            }
            for (table, images) in self.sorted where images.isPostgres && images.projections.contains(plan.name) {
                check(table.name, images.settings.replicaIdentities[images.rule], table.source)
            }
            // What is said of tables by their names holds without a sample of them, if the source feeds the projection:
            // it is the only one, or the sample shows so.
            for source in self.configuration.sources {
                let isOnly = self.configuration.sources.count == 1
                guard isOnly || self.feeds(source.name, plan) else { continue }
                let identities = source.settings.replicaIdentities
                for table in plan.definition.from {
                    let index = identities.index(of: TableName(table))
                    if isOnly || index < identities.rules.count { check(table, identities[index], source.name) }
                }
            }
        }
        return issues
    }

    /// Whether the sample has events of the source that the projection takes.
    private func feeds(_ source: String, _ plan: ProjectionPlan) -> Bool {
        self.tables.contains { $0.key.source == source && $0.value.projections.contains(plan.name) }
    }
}
