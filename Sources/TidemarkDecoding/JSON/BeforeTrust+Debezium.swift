internal import TidemarkCore

extension MessageDecoder {
    /// Notes how far the image before a change of PostgreSQL's can be believed.
    mutating func noteTrust(of event: inout ChangeEvent, in message: borrowing DecodedMessage) {
        let identities = self.settings.replicaIdentities
        let index =
            identities.rules.isEmpty
            ? 0 : self.identityRules.find(message.fullTable(of: event)) { identities.index(of: $0) }
        switch identities[index] {
        case .default: event.beforeTrust = event.operation == .delete ? .key : .whole
        case .full: event.beforeTrust = event.operation == .delete ? .full : .whole
        case .columns:
            event.beforeTrust = .columns
            event.identity = Int32(index)
        }
    }

    /// Of a delete that is said to carry the whole row, notes the columns that hold the default of the message's schema:
    /// Debezium writes it where the database did not log the value.
    func noteDefaults(_ hints: SchemaHints?, of event: ChangeEvent, in message: inout DecodedMessage) {
        guard event.beforeTrust == .full, let hints, let before = event.before else { return }
        for index in before where hints.isDefault(message.fields[index], of: message.bytes) {
            message.defaultFields.append(index)
        }
    }
}

/// Which rule of `replica_identity` each table falls under. Bounded, since table names come from outside.
struct IdentityRuleCache: Sendable {
    private static let tablesMax = 1_000

    private var last: (table: [UInt8], index: Int)?
    private var known: [[UInt8]: Int] = [:]

    mutating func find(_ table: [UInt8], _ match: (TableName?) -> Int) -> Int {
        if let last, last.table == table { return last.index }
        let index = self.known[table] ?? match(TableName(String(decoding: table, as: UTF8.self)))
        if self.known.count >= Self.tablesMax { self.known.removeAll() }
        self.known[table] = index
        self.last = (table, index)
        return index
    }
}
