internal import TidemarkCore

extension MessageDecoder {
    /// `{"schema": …, "payload": …}`: an envelope, a flattened row, or one of the messages beside rows.
    mutating func decodeWrapped(_ wrapper: Members, into message: inout DecodedMessage) throws(Rejection) {
        // Nothing but a schema may stand beside what is dropped.
        let schema = wrapper[.schema].map { self.document.kind($0) }
        let isBare = wrapper.count == 1 || (wrapper.count == 2 && (schema == .null || schema == .object))
        guard let payload = self.document.present(wrapper[.payload]) else {
            guard isBare, wrapper.count == 2 else { throw self.unknown(message) }
            message.isControl = true
            return
        }
        guard self.document.kind(payload) == .object else {
            throw self.invalid("payload", payload, in: message, expected: "an object or null")
        }
        var hints: SchemaHints?
        if let schema = self.document.object(wrapper[.schema]) {
            hints = self.schemas.hints(schema, in: self.document, names: self.names, of: message.bytes)
        }
        let members = self.members(of: payload)
        switch self.shape(of: members, at: payload, message.bytes) {
        case .envelope: try self.decodeEnvelope(payload, members, hints: hints, into: &message)
        case .flattened: try self.decodeFlattened(payload, members, hints: hints, into: &message)
        case .debeziumControl where isBare: message.isControl = true
        default: throw self.unknown(message, at: payload)
        }
    }

    /// `{"before": …, "after": …, "source": …, "op": …}`.
    mutating func decodeEnvelope(
        _ object: Int,
        _ envelope: Members,
        hints: SchemaHints?,
        into message: inout DecodedMessage
    ) throws(Rejection) {
        guard let op = self.document.unwrapped(envelope[.op]), let sourceNode = self.document.record(envelope[.source])
        else { throw self.unknown(message) }
        guard var operation = self.debeziumOperation(op, of: message.bytes) else {
            guard let text = self.document.string(op), message.bytes.matches(text, "m") else {
                throw self.invalid("op", op, in: message, expected: "c, u, d, r, t or m")
            }
            guard self.isControl(object, among: ControlForm.debeziumMessages, of: message.bytes) else {
                throw self.unknown(message, at: object)
            }
            message.isControl = true
            return
        }
        let source = self.members(of: sourceNode)
        let snapshot = self.snapshotFlag(source[.snapshot], of: message.bytes)
        if snapshot.isSnapshot, operation == .insert || operation == .update { operation = .snapshot }
        guard let table = self.document.string(self.document.unwrapped(source[.table])), !table.isEmpty else {
            throw Rejection(.unknownFormat, "\"source\" names no \"table\"")
        }
        let schema = self.document.string(self.document.unwrapped(source[.schema]))
        // Vitess and Cassandra name the database in `keyspace`, and nothing in `db`.
        let keyspace = self.document.string(self.document.unwrapped(source[.keyspace]))
        let database =
            keyspace?.isEmpty == false ? keyspace : self.document.string(self.document.unwrapped(source[.db]))
        let isQualifiedBySchema = schema.map { !$0.isEmpty } ?? false
        let name = message.bytes.appendTable(isQualifiedBySchema ? schema : database, table)

        var event = ChangeEvent(table: name, operation: operation)
        event.database = database ?? .empty
        event.isDatabaseApart = isQualifiedBySchema
        event.writesJSONAsText = true
        event.eventTime = self.debeziumTime(source, envelope, of: message.bytes)
        var coordinate = DebeziumCoordinate()
        coordinate.isSnapshot = operation == .snapshot
        coordinate.isIncremental = operation == .snapshot && snapshot.isIncremental
        coordinate.read(source, envelope, in: self.document, names: self.names, of: message.bytes)
        self.locate(&event, at: coordinate, in: &message)
        let isAvro = self.document.object(envelope[.tsMs]) != nil
        if operation == .update || operation == .delete {
            event.before = try self.debeziumImage(envelope[.before], "before", hints, isAvro: isAvro, to: &message)
        }
        if operation != .delete, operation != .truncate {
            event.after = try self.debeziumImage(envelope[.after], "after", hints, isAvro: isAvro, to: &message)
        }
        if operation == .delete || self.namesIdentityColumns, event.before != nil {
            let connector = self.document.string(self.document.unwrapped(source[.connector]))
            if let connector, message.bytes.matches(connector, "postgresql") {
                self.noteTrust(of: &event, in: message)
                self.noteDefaults(hints, of: event, in: &message)
            }
        }
        message.events.append(event)
    }

    mutating func debeziumOperation(_ node: Int, of bytes: [UInt8]) -> TidemarkCore.Operation? {
        guard let text = self.document.string(node), text.count == 1 else { return nil }
        switch bytes[Int(text.start)] {
        case UInt8(ascii: "c"): return .insert
        case UInt8(ascii: "u"): return .update
        case UInt8(ascii: "d"): return .delete
        case UInt8(ascii: "r"): return .snapshot
        case UInt8(ascii: "t"): return .truncate
        default: return nil
        }
    }

    /// `snapshot` is a word since Debezium 1.5 ("false", "true", "first", "last", "incremental" …), a boolean before.
    mutating func snapshotFlag(_ node: Int?, of bytes: [UInt8]) -> (isSnapshot: Bool, isIncremental: Bool) {
        guard let node = self.document.unwrapped(node) else { return (false, false) }
        guard let text = self.document.string(node) else { return (self.document.kind(node) == .true, false) }
        let isSnapshot = !text.isEmpty && !bytes.matches(text, "false")
        return (isSnapshot, bytes.matches(text, "incremental"))
    }

    /// When the source changed the row; the connector's own clock only where the source has none.
    private mutating func debeziumTime(_ source: Members, _ envelope: Members, of bytes: [UInt8]) -> Int64? {
        WireTime.microseconds(self.document.integer(source[.tsUs], of: bytes))
            ?? WireTime.microseconds(milliseconds: self.document.integer(source[.tsMs], of: bytes))
            ?? WireTime.microseconds(seconds: self.document.integer(source[.tsSec], of: bytes))
            ?? WireTime.microseconds(self.document.integer(envelope[.tsUs], of: bytes))
            ?? WireTime.microseconds(milliseconds: self.document.integer(envelope[.tsMs], of: bytes))
    }

    private mutating func debeziumImage(
        _ node: Int?,
        _ member: String,
        _ hints: SchemaHints?,
        isAvro: Bool,
        to message: inout DecodedMessage
    ) throws(Rejection) -> Range<Int>? {
        guard let node = self.document.present(node) else { return nil }
        guard self.document.kind(node) == .object else {
            throw self.invalid(member, node, in: message, expected: "an object of columns")
        }
        if self.isWrappedRow(node, of: message.bytes) {
            return self.appendAvroRow(node + 2, hints: hints, to: &message)
        }
        guard isAvro else { return self.appendDebeziumRow(node, hints: hints, to: &message) }
        return self.appendAvroRow(self.document.record(node) ?? node, hints: hints, to: &message)
    }
}
