/// Which columns of the row before a change are believed, and what its database is.
extension ChangeEncoder {
    /// Whether the image before the change holds the column's value, rather than a default in its place.
    /// A header is no column of the row.
    @inline(__always)
    func believesBefore(_ column: ColumnPlan, _ event: ChangeEvent, _ settings: SourceSettings) -> Bool {
        switch event.beforeTrust {
        case .whole, .full: true
        case .key: self.isKey(column) || column.isHeader
        case .columns: column.isDatabase || column.isHeader || self.isInIdentity(column, event, settings)
        }
    }

    @inline(never)
    private func isInIdentity(_ column: ColumnPlan, _ event: ChangeEvent, _ settings: SourceSettings) -> Bool {
        settings.replicaIdentities.columns[Int(event.identity)].contains(column.source)
    }

    /// Refuses a delete that does not hold the key: a default in the place of a key column is another row's key.
    func checkIdentity(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ settings: SourceSettings
    ) throws(Rejection) {
        for column in self.plan.keyColumns where !self.believesBefore(column, event, settings) {
            let names = settings.replicaIdentities.columns[Int(event.identity)].map {
                String(decoding: $0, as: UTF8.self)
            }
            throw Rejection(
                .keyMissing,
                "key column \"\(column.name)\": a delete of \(message.text(event.table)) carries "
                    + "\(names.joined(separator: ", ")) (replica_identity), and defaults in other columns; the way out is "
                    + "a key of those columns, or REPLICA IDENTITY DEFAULT or FULL at the source"
            )
        }
    }

    /// The database that the message names, as a column.
    func databaseField(_ event: ChangeEvent) -> Field? {
        event.database.isEmpty ? nil : Field(name: .empty, value: event.database, kind: .string)
    }

    static func missingKey(_ column: ColumnPlan) -> Rejection {
        guard column.isDatabase else {
            return Rejection(.keyMissing, "key column \"\(column.name)\" is missing, null or unavailable")
        }
        return Rejection(
            .keyMissing,
            "key part $database: the message names no database; the way out is a producer that names it (Debezium's "
                + "source.db, which `add.fields` adds to flattened rows), or a key without $database"
        )
    }

    /// Whether a delete that is said to carry the whole row looks as if it carried the key alone: beside the key every
    /// column is null or a default. A version counts as one where it is 1 too, since counters begin there.
    func looksLikeKeyAlone(_ message: DecodedMessage, _ image: Range<Int>) -> Bool {
        var others = 0
        for index in image {
            let field = message.fields[index]
            if field.isMeta || self.plan.keyColumns.contains(where: { Self.isNamed(field, $0.source, message) }) {
                continue
            }
            others += 1
            guard !DefaultLook.has(index, of: message) else { continue }
            let isOne = field.kind == .number && message.has([UInt8(ascii: "1")], at: field.value)
            guard isOne, self.isInSequence(field, message) else { return false }
        }
        return others > 0
    }

    private func isInSequence(_ field: Field, _ message: DecodedMessage) -> Bool {
        self.plan.sequence.contains { part in
            guard case .column(let column, _) = part else { return false }
            return Self.isNamed(field, column.source, message)
        }
    }

    /// Appends the source table as truncates name it.
    @inline(__always)
    func addTable(_ event: ChangeEvent, _ message: DecodedMessage, to record: inout EventRecord) {
        if self.plan.distinguishesDatabases {
            _ = record.add(message.fullTable(of: event).span)
        } else {
            _ = record.add(message.bytes.span.extracting(event.table.range))
        }
    }

    /// The most that ``addTable(_:_:to:)`` takes.
    @inline(__always)
    func tableBytesMax(_ event: ChangeEvent) -> Int {
        Int(event.table.count) + (self.plan.distinguishesDatabases ? 3 + 2 * Int(event.database.count) : 0)
    }

    /// The name under which truncates of the table are stored: with its database where the projection tells databases
    /// apart, so that a truncate in one leaves the entities of the other alone.
    package func truncatedTable(_ event: ChangeEvent, _ message: DecodedMessage) throws(Rejection) -> [UInt8] {
        if self.plan.truncatesDelete, event.database.isEmpty,
            let column = self.plan.keyColumns.first(where: \.isDatabase)
        {
            throw Self.missingKey(column)
        }
        return self.plan.distinguishesDatabases ? message.fullTable(of: event) : Array(message.bytes[event.table.range])
    }
}

extension DecodedMessage {
    /// The table's text with its database in front, where the message names one.
    package func fullTable(of event: ChangeEvent) -> [UInt8] {
        guard event.isDatabaseApart, !event.database.isEmpty else { return Array(self.bytes[event.table.range]) }
        var text: [UInt8] = []
        TableName.append(self.bytes[event.database.range], to: &text, isFirst: true)
        text.append(UInt8(ascii: "."))
        text += self.bytes[event.table.range]
        return text
    }

    /// The table with its database, in parts.
    package func tableName(of event: ChangeEvent) -> TableName? {
        TableName(String(decoding: self.fullTable(of: event), as: UTF8.self))
    }
}
