/// Keys alone, of events whatever else is wrong with them.
extension ChangeEncoder {
    /// Every key that an event speaks of: of its row as it is, as it was, and before a change of the key.
    package mutating func keys(
        of event: ChangeEvent,
        _ message: DecodedMessage,
        _ settings: SourceSettings
    ) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        let isDelete = event.operation == .delete
        if isDelete, event.beforeTrust == .columns,
            (try? self.checkIdentity(event, message, settings)) == nil
        {
            return []
        }
        for image in [event.after, event.before].compactMap({ $0 }) {
            guard (try? self.buildKey(event, message, image, settings)) != nil else { continue }
            keys.append(self.key.array)
        }
        if (try? self.buildOldKey(event, message, settings)) == true { keys.append(self.oldKey.array) }
        return keys
    }

    /// Whether the delete half of a change of the row's primary key leaves this projection's key as it is: the other half
    /// is an update of the entity.
    mutating func isKept(
        by newKey: Range<Int>,
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) -> Bool {
        self.oldKey.truncate()
        self.oldKeyFields.truncate()
        for (index, column) in self.plan.keyColumns.enumerated() {
            let field =
                self.findWithoutHint(column.source, in: newKey, of: message)
                ?? self.keyField(column, event, message, image, settings)
            guard let field, field.kind.isValue else { return false }
            try self.checkIsScalar(field, column, message)
            if index > 0 { self.oldKey.append(0) }
            let context = Self.context(event, settings)
            try Self.encode(field, message, column, context, with: &self.encoder, to: &self.oldKeyFields, &self.oldKey)
        }
        return self.oldKey.array == self.key.array
    }

    /// The entity of an event, for a topic that is keyed by it.
    package enum PublishedKeys {
        /// It has no key.
        case none
        /// It is the delete half of a change of the primary key that leaves this key as it is.
        case kept
        /// The row's key, and the one it had before where the event changes it, as texts separated by U+0000.
        case keys(new: [UInt8], old: [UInt8]?)
    }

    package mutating func publishedKeys(
        of event: ChangeEvent,
        _ message: DecodedMessage,
        _ settings: SourceSettings
    ) -> PublishedKeys {
        let image = event.operation == .delete ? event.before ?? event.after : event.after
        guard let image, (try? self.buildKey(event, message, image, settings)) != nil else { return .none }
        let key = self.key.array
        if let newKey = message.newKey {
            guard let isKept = try? self.isKept(by: newKey, event, message, image, settings) else { return .none }
            if isKept { return .kept }
        }
        guard let isChanged = try? self.buildOldKey(event, message, settings) else { return .none }
        return .keys(new: key, old: isChanged ? self.oldKey.array : nil)
    }

    /// The key whose parts a person has written out.
    /// - Throws: a rejection that names the part which its column's type does not hold.
    package mutating func key(ofTexts texts: [String]) throws(Rejection) -> [UInt8] {
        var message = DecodedMessage()
        for (column, text) in zip(self.plan.keyColumns, texts) {
            let name = message.bytes.count
            message.bytes += column.source
            let value = message.bytes.count
            message.bytes += Array(text.utf8)
            message.fields.append(
                Field(
                    name: ByteRange(start: name, end: value),
                    value: ByteRange(start: value, end: message.bytes.count),
                    kind: .string
                )
            )
        }
        let row = message.fields.indices
        var event = ChangeEvent(table: .empty, operation: .snapshot)
        if let index = self.plan.keyColumns.firstIndex(where: \.isDatabase), index < row.count {
            event.database = message.fields[index].value
        }
        event.after = row
        try self.buildKey(event, message, row, SourceSettings(name: ""))
        return self.key.array
    }
}
