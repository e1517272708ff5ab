internal import TidemarkCore

extension MessageDecoder {
    /// A row without its envelope: columns at the top, beside what `add.fields` put there as `__name`.
    mutating func decodeFlattened(
        _ object: Int,
        _ members: Members,
        hints: SchemaHints?,
        into message: inout DecodedMessage
    ) throws(Rejection) {
        let table = self.metaText(members[.metaTable]) ?? .empty
        guard !table.isEmpty || !members.has(.metaTable) else {
            throw Rejection(.unknownFormat, "\"__table\" names no table")
        }
        let snapshot = self.snapshotFlag(members[.metaSnapshot], of: message.bytes)
        var operation = try self.flattenedOperation(members, in: message)
        if snapshot.isSnapshot, operation == .insert || operation == .update { operation = .snapshot }
        let schema = self.metaText(members[.metaSchema])
        let isQualifiedBySchema = schema.map { !$0.isEmpty } ?? false
        let keyspace = self.metaText(members[.metaKeyspace])
        let database = keyspace?.isEmpty == false ? keyspace : self.metaText(members[.metaDb])
        var event = ChangeEvent(table: .empty, operation: operation)
        if table.isEmpty {
            // The source's settings name it, or its record does.
            event.table = self.appendNamedTable(to: &message)
        } else {
            event.table = message.bytes.appendTable(isQualifiedBySchema ? schema : database, table)
            event.database = database ?? .empty
            event.isDatabaseApart = isQualifiedBySchema
        }
        event.writesJSONAsText = true
        event.eventTime =
            WireTime.microseconds(self.document.integer(members[.metaSourceTsUs], of: message.bytes))
            ?? WireTime.microseconds(milliseconds: self.document.integer(members[.metaSourceTsMs], of: message.bytes))
            ?? WireTime.microseconds(nanoseconds: self.document.integer(members[.metaSourceTsNs], of: message.bytes))
            ?? WireTime.microseconds(self.document.integer(members[.metaTsUs], of: message.bytes))
            ?? WireTime.microseconds(milliseconds: self.document.integer(members[.metaTsMs], of: message.bytes))
            ?? WireTime.microseconds(nanoseconds: self.document.integer(members[.metaTsNs], of: message.bytes))
        var coordinate = DebeziumCoordinate()
        coordinate.isSnapshot = operation == .snapshot
        coordinate.isIncremental = operation == .snapshot && snapshot.isIncremental
        coordinate.read(flattened: members, in: self.document, of: message.bytes)
        self.locate(&event, at: coordinate, in: &message)
        switch operation {
        case .truncate: break
        case .delete:
            event.before = self.appendFlattenedRow(object, hints: hints, to: &message)
            let connector = self.metaText(members[.metaConnector])
            let isPostgres =
                (coordinate.lsn != nil || isQualifiedBySchema) && !self.logsWholeRows(connector, of: message.bytes)
                || connector.map { message.bytes.matches($0, "postgresql") } ?? false
            guard isPostgres else { break }
            self.noteTrust(of: &event, in: message)
            self.noteDefaults(hints, of: event, in: &message)
        case .insert, .update, .snapshot:
            event.after = self.appendFlattenedRow(object, hints: hints, to: &message)
        }
        message.events.append(event)
    }

    /// Whether `add.fields=connector` names a database that has schemas and logs all of a deleted row.
    private func logsWholeRows(_ connector: ByteRange?, of bytes: [UInt8]) -> Bool {
        guard let connector else { return false }
        let known: [StaticString] = ["sqlserver", "oracle", "db2", "informix"]
        return known.contains { bytes.matches(connector, $0) }
    }

    private func metaText(_ node: Int?) -> ByteRange? {
        self.document.string(self.document.unwrapped(node))
    }

    private mutating func flattenedOperation(
        _ members: Members,
        in message: DecodedMessage
    ) throws(Rejection) -> TidemarkCore.Operation {
        if let node = self.document.present(self.document.unwrapped(members[.metaDeleted])) {
            switch self.document.kind(node) {
            case .true: return .delete
            case .false: break
            case .string where message.bytes.matches(self.document.range(node), "true"): return .delete
            case .string where message.bytes.matches(self.document.range(node), "false"): break
            default: throw self.invalid("__deleted", node, in: message, expected: "\"true\" or \"false\"")
            }
        }
        // Without `__op` all that is known is that the row is there.
        guard let node = self.document.present(self.document.unwrapped(members[.metaOp])) else { return .update }
        guard let operation = self.debeziumOperation(node, of: message.bytes) else {
            throw self.invalid("__op", node, in: message, expected: "c, u, d, r or t")
        }
        return operation
    }
}
