import TidemarkCore

/// Compares the databases of each table in a sample with those that the projections distinguish.
struct DatabaseSample {
    private struct Table: Hashable {
        /// The table's name without its database.
        var name: String
        var projection: String
    }

    private let plans: [ProjectionPlan]
    /// The number of events by table and database; "" for those that name none.
    private var counts: [Table: [String: Int]] = [:]
    /// The number of events without a database by table, where `from` names the table with its database.
    private var unqualified: [Table: Int] = [:]

    init(_ plans: [ProjectionPlan]) {
        self.plans = plans
    }

    mutating func count(_ event: ChangeEvent, of message: DecodedMessage) {
        let table = message.text(event.table)
        let name = message.tableName(of: event)
        for plan in self.plans where plan.takes(event, of: message) {
            if event.database.isEmpty, let name, Self.namesDatabase(plan, of: name) {
                self.unqualified[Table(name: table, projection: plan.name), default: 0] += 1
            }
            // Where the database is part of the table's name, several databases are several tables.
            guard event.isDatabaseApart || plan.keyColumns.contains(where: \.isDatabase) else { continue }
            self.counts[Table(name: table, projection: plan.name), default: [:]][
                message.text(event.database),
                default: 0
            ] += 1
        }
    }

    /// Whether `from` takes a table without a database, and only by patterns with one.
    private static func namesDatabase(_ plan: ProjectionPlan, of table: TableName) -> Bool {
        guard table.parts.count < TableName.partsMax else { return false }
        return Self.patterns(of: plan, taking: table).allSatisfy { $0.pattern.partCount == TableName.partsMax }
    }

    private static func patterns(
        of plan: ProjectionPlan,
        taking table: TableName
    ) -> [(text: String, pattern: TablePattern)] {
        plan.definition.from.compactMap { text in
            guard let pattern = try? TablePattern(text), pattern.matches(table) else { return nil }
            return (text, pattern)
        }
    }

    var warnings: [String] { self.databaseWarnings + self.unqualifiedWarnings }

    /// A part that a message does not name is not compared, so such events are taken from every database.
    private var unqualifiedWarnings: [String] {
        self.unqualified.sorted { ($0.key.projection, $0.key.name) < ($1.key.projection, $1.key.name) }.compactMap {
            table,
            count in
            guard let plan = self.plans.first(where: { $0.name == table.projection }),
                !plan.keyColumns.contains(where: \.isDatabase), let name = TableName(table.name)
            else { return nil }
            let patterns = Self.patterns(of: plan, taking: name).map { $0.text }.joined(separator: ", ")
            return "projection \(plan.name): from asks for a database (\(patterns)), and \(count) events of "
                + "\(table.name) name no database: they are taken, whichever database they are of"
        }
    }

    private var databaseWarnings: [String] {
        self.counts.sorted { ($0.key.projection, $0.key.name) < ($1.key.projection, $1.key.name) }.compactMap {
            table,
            databases in
            guard let plan = self.plans.first(where: { $0.name == table.projection }) else { return nil }
            if plan.keyColumns.contains(where: \.isDatabase) {
                guard let count = databases[""] else { return nil }
                return "projection \(plan.name): key asks for $database, and \(count) events of \(table.name) name no "
                    + "database: they would be dead letters, key_missing"
            }
            let names = databases.keys.filter { !$0.isEmpty }.sorted()
            guard names.count > 1 else { return nil }
            return
                "projection \(plan.name): \(table.name) is in \(names.count) databases (\(names.joined(separator: ", "))), "
                + "and a key of one is that of another too, so that a delete in one takes the other's row: name one in "
                + "`from`, as in \(names[0]).\(table.name), or begin the key with $database"
        }
    }
}
