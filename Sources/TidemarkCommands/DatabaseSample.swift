import TidemarkCore

/// The databases behind each table of a sample, held against what the projections tell apart.
struct DatabaseSample {
    private struct Table: Hashable {
        /// Without its database.
        var name: String
        var projection: String
    }

    private let plans: [ProjectionPlan]
    /// How many events of each table name each database; those that name none stand under "".
    private var counts: [Table: [String: Int]] = [:]

    init(_ plans: [ProjectionPlan]) {
        self.plans = plans
    }

    mutating func count(_ event: ChangeEvent, of message: DecodedMessage) {
        let table = message.text(event.table)
        for plan in self.plans where plan.takes(event, of: message) {
            // Where the database is part of the table's name, several of them are several tables.
            guard event.isDatabaseApart || plan.keyColumns.contains(where: \.isDatabase) else { continue }
            self.counts[Table(name: table, projection: plan.name), default: [:]][
                message.text(event.database),
                default: 0
            ] += 1
        }
    }

    var warnings: [String] {
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
