package import TidemarkCore

/// Messages of a broker: what their keys and headers add to what their values say.
extension MessageDecoder {
    /// Decodes a message of a block.
    package mutating func decode(
        _ source: MessageBlock.Message,
        of block: MessageBlock,
        into message: inout DecodedMessage
    ) {
        block.withRecord(of: source) { bytes, record in
            let value = source.payload.map { UnsafeRawBufferPointer(rebasing: bytes[$0.range]) }
            if let record {
                self.decode(value, of: record, into: &message)
            } else if let value {
                self.decode(value, into: &message)
            } else {
                message.reset()
                message.isControl = true
            }
        }
    }

    /// Decodes a message that was kept, with its record where it came from a broker.
    package mutating func decode(_ raw: [UInt8], _ stored: StoredRecord?, into message: inout DecodedMessage) {
        raw.withUnsafeBytes { raw in
            guard let stored else { return self.decode(raw, into: &message) }
            stored.withRecord { self.decode(stored.isTombstone ? nil : raw, of: $0, into: &message) }
        }
    }

    /// Decodes a broker's message.
    /// - Parameter value: `nil` for a tombstone. Kafka's own clients write none; some programs write an empty value in its
    ///   place.
    package mutating func decode(
        _ value: UnsafeRawBufferPointer?,
        of record: MessageRecord,
        into message: inout DecodedMessage
    ) {
        guard let value, !value.isEmpty else { return self.decodeTombstone(of: record, into: &message) }
        self.decodeValue(value, into: &message)
        guard message.failure == nil, !message.isControl else { return }
        self.complete(&message, by: record)
    }

    private mutating func decodeTombstone(of record: MessageRecord, into message: inout DecodedMessage) {
        message.reset()
        guard self.settings.readsTombstonesAsDeletes else { return message.isControl = true }
        guard let key = record.key else {
            message.failure = Rejection(
                .keyMissing,
                "a message without a value and without a key names no row to delete"
            )
            return
        }
        var event = ChangeEvent(table: .empty, operation: .delete)
        self.name(&event, by: record, in: &message)
        event.positionGap = .tombstone
        event.before = self.appendKey(key, to: &message)
        event.beforeTrust = .key
        message.events.append(event)
        self.complete(&message, by: record)
    }

    /// Adds what the broker knows of a message to its events.
    private mutating func complete(_ message: inout DecodedMessage, by record: MessageRecord) {
        let isByOffset = self.settings.positions == .offset
        let isAboutEach = isByOffset || !self.headerNames.isEmpty
        for index in message.events.indices {
            // Nearly all events have nothing to add: they are looked at where they stand.
            guard
                isAboutEach || message.events[index].table.isEmpty
                    || message.events[index].operation == .delete && message.events[index].before == nil
            else { continue }
            var event = message.events[index]
            if event.table.isEmpty { self.name(&event, by: record, in: &message) }
            if event.operation == .delete, event.before == nil, event.after == nil, let key = record.key {
                event.before = self.appendKey(key, to: &message)
                event.beforeTrust = .key
            }
            if isByOffset { self.locate(&event, at: record, in: &message) }
            if !self.headerNames.isEmpty { self.appendHeaders(of: record, to: &event, in: &message) }
            message.events.replace(index, with: event)
        }
        guard message.events.count == 1, message.events[0].operation == .delete,
            let header = record.header("__debezium.newkey".utf8), let value = header.value
        else { return }
        // Debezium writes a change of the primary key as a delete and a create; the key of the create is in this header.
        message.newKey = self.appendKey(record.text(value), to: &message)
    }

    /// Decodes the key of a message alone, as the delete of the row that it names, whatever its value is. The table is that
    /// of the topic where the settings name none. Without a key there is no event.
    package mutating func decodeKey(of stored: StoredRecord, into message: inout DecodedMessage) {
        message.reset()
        stored.withRecord { record in
            guard let key = record.key else { return }
            var event = ChangeEvent(table: .empty, operation: .delete)
            self.name(&event, by: record, in: &message)
            if event.table.isEmpty { self.nameByTopic(&event, record, in: &message) }
            event.before = self.appendKey(key, to: &message)
            event.beforeTrust = .key
            message.events.append(event)
        }
    }

    /// The table of a row that names none.
    private func name(_ event: inout ChangeEvent, by record: MessageRecord, in message: inout DecodedMessage) {
        guard self.settings.table == .fromTopic else {
            event.table = self.appendNamedTable(to: &message)
            return
        }
        self.nameByTopic(&event, record, in: &message)
    }

    private func nameByTopic(_ event: inout ChangeEvent, _ record: MessageRecord, in message: inout DecodedMessage) {
        event.table = message.bytes.appendText(record.origin.table)
        guard !record.origin.database.isEmpty else { return }
        event.database = message.bytes.appendText(record.origin.database)
        event.isDatabaseApart = true
    }

    /// The table that the source's settings name for rows that name none; empty where they name none.
    func appendNamedTable(to message: inout DecodedMessage) -> ByteRange {
        guard case .named(let table) = self.settings.table else { return .empty }
        return message.bytes.appendText(table.utf8)
    }

    private func locate(_ event: inout ChangeEvent, at record: MessageRecord, in message: inout DecodedMessage) {
        event.position = Position(
            kind: .offset,
            epoch: self.settings.epoch,
            record.offset,
            UInt64(event.row),
            count: 2
        )
        event.positionGap = nil
        event.rowNumberGap = nil
        let start = message.bytes.count
        message.bytes += record.origin.name
        message.bytes += Array(":\(record.offset)".utf8)
        event.positionText = ByteRange(start: start, end: message.bytes.count)
    }

    // MARK: Headers

    /// Adds the headers that projections name to the row, as `$header.NAME`; they are no columns of it.
    private func appendHeaders(of record: MessageRecord, to event: inout ChangeEvent, in message: inout DecodedMessage)
    {
        let isBefore = event.operation == .delete && event.before != nil
        guard let row = isBefore ? event.before : event.after, !record.headers.isEmpty else { return }
        // An image is one range: one that others stand behind is written again.
        let start = row.upperBound == message.fields.count ? row.lowerBound : message.fields.count
        if start != row.lowerBound {
            for index in row { message.fields.append(message.fields[index]) }
        }
        for name in self.headerNames {
            guard let header = record.header(name.dropFirst(ProjectionPlan.headerPrefix.count)) else { continue }
            var field = Field(name: message.bytes.appendText(name), value: .empty, kind: .null)
            if let value = header.value { message.bytes.appendValue(record.text(value), to: &field) }
            field.markAsMeta()
            message.fields.append(field)
        }
        message.isVerbatim = false
        if isBefore {
            event.before = start..<message.fields.count
        } else {
            event.after = start..<message.fields.count
        }
    }

    // MARK: Keys

    /// Appends the columns of a key: of `{"id": 7}`, of `{"schema": …, "payload": {"id": 7}}`, with the header of a schema
    /// registry or without. Anything else is one value.
    private mutating func appendKey(_ key: UnsafeRawBufferPointer, to message: inout DecodedMessage) -> Range<Int> {
        message.isVerbatim = false
        let start = message.fields.count
        let text = WireFrame.begins(key) ? WireFrame.body(of: key) ?? key : key
        guard (try? self.document.parse(text)) != nil else {
            return self.appendScalarKey(text, to: &message)
        }
        var side = DecodedMessage()
        self.document.replaceBytes(of: &side.bytes)
        self.appendParsedKey(to: &side)
        for field in side.fields.indices.map({ side.fields[$0] }) {
            var copy = field
            copy.name = message.bytes.appendText(side.bytes[field.name.range])
            copy.value = message.bytes.appendText(side.bytes[field.value.range])
            message.fields.append(copy)
        }
        return start..<message.fields.count
    }

    private func appendScalarKey(_ text: UnsafeRawBufferPointer, to message: inout DecodedMessage) -> Range<Int> {
        let start = message.fields.count
        var field = Field(name: message.bytes.appendText(MessageRecord.scalarKey), value: .empty, kind: .string)
        message.bytes.appendValue(text, to: &field)
        message.fields.append(field)
        return start..<message.fields.count
    }

    /// Of the document, which is a key.
    private mutating func appendParsedKey(to side: inout DecodedMessage) {
        let root = JSONDocument.root
        guard self.document.kind(root) == .object else { return self.appendValue(root, to: &side) }
        let payload = self.document.childCount(root) <= 2 ? self.document.member("payload", of: root, side.bytes) : nil
        guard let payload,
            self.document.childCount(root) == 1 || self.document.member("schema", of: root, side.bytes) != nil
        else {
            _ = self.appendDebeziumRow(root, hints: nil, to: &side)
            return
        }
        guard self.document.kind(payload) == .object else { return self.appendValue(payload, to: &side) }
        var hints: SchemaHints?
        if let schema = self.document.object(self.document.member("schema", of: root, side.bytes)) {
            hints = self.schemas.hints(schema, in: self.document, names: self.names, of: side.bytes)
        }
        _ = self.appendDebeziumRow(payload, hints: hints, to: &side)
    }

    private func appendValue(_ node: Int, to side: inout DecodedMessage) {
        side.fields.append(
            Field(
                name: side.bytes.appendText(MessageRecord.scalarKey),
                value: self.document.range(node),
                kind: Field.Kind(self.document.kind(node))
            )
        )
    }
}

extension [UInt8] {
    mutating func appendText(_ text: some Collection<UInt8>) -> ByteRange {
        let start = self.count
        self.append(contentsOf: text)
        return ByteRange(start: start, end: self.count)
    }

    /// Text, or bytes in Avro's JSON form where it is not UTF-8.
    fileprivate mutating func appendValue(_ value: UnsafeRawBufferPointer, to field: inout Field) {
        guard String(validating: value, as: UTF8.self) == nil else {
            (field.kind, field.value) = (.string, self.appendText(value))
            return
        }
        let text = String(String.UnicodeScalarView(value.map { Unicode.Scalar($0) }))
        (field.kind, field.value) = (.bytes, self.appendText(text.utf8))
    }
}
