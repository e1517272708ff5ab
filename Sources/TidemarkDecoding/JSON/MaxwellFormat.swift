internal import TidemarkCore

extension MessageDecoder {
    private enum MaxwellType {
        case insert, update, delete, bootstrapInsert, control
    }

    /// One JSON object for each row, with `data` and, for an update, the former values of what changed in `old`.
    mutating func decodeMaxwell(
        _ object: Int,
        _ members: Members,
        into message: inout DecodedMessage
    ) throws(Rejection) {
        guard !members.has(.encrypted) else {
            throw Rejection(
                .unknownFormat,
                "the Maxwell message is encrypted; turn off Maxwell's `encrypt`, or decrypt it before"
            )
        }
        guard let typeNode = members[.type] else { throw self.missing("type", in: message) }
        guard let type = self.maxwellType(typeNode, of: message.bytes) else {
            throw self.invalid(
                "type",
                typeNode,
                in: message,
                expected: "insert, update, delete, a bootstrap or a DDL type of Maxwell"
            )
        }
        guard type != .control else {
            guard self.isControl(object, among: ControlForm.maxwell, of: message.bytes) else {
                throw self.notOnlyControl(typeNode, of: object, in: message)
            }
            message.isControl = true
            return
        }
        guard let database = members[.database] else { throw self.missing("database", in: message) }
        guard let table = members[.table] else { throw self.missing("table", in: message) }
        guard let databaseName = self.document.string(database) else {
            throw self.invalid("database", database, in: message, expected: "a name")
        }
        guard let tableName = self.document.string(table), !tableName.isEmpty else {
            throw self.invalid("table", table, in: message, expected: "a name")
        }
        let name = message.bytes.appendTable(databaseName, tableName)
        var event = ChangeEvent(table: name, operation: .snapshot)
        event.database = databaseName
        event.eventTime = WireTime.microseconds(seconds: self.document.integer(members[.ts], of: message.bytes))
        self.notePrimaryKey(members[.primaryKeyColumns], in: &message)
        if type != .bootstrapInsert { self.locateMaxwell(&event, members, of: message.bytes) }
        let data = try self.appendRow(members[.data], named: "data", to: &message)
        switch type {
        case .insert: (event.operation, event.after) = (.insert, data)
        case .delete: (event.operation, event.before) = (.delete, data)
        case .update:
            (event.operation, event.after) = (.update, data)
            event.before = try self.appendRow(members[.old], named: "old", to: &message)
            event.beforeHoldsChangesOnly = event.before != nil
        case .bootstrapInsert, .control: event.after = data
        }
        message.events.append(event)
    }

    private mutating func maxwellType(_ node: Int, of bytes: [UInt8]) -> MaxwellType? {
        guard let type = self.document.string(node) else { return nil }
        if bytes.matches(type, "insert") { return .insert }
        if bytes.matches(type, "update") { return .update }
        if bytes.matches(type, "delete") { return .delete }
        if bytes.matches(type, "bootstrap-insert") { return .bootstrapInsert }
        let others: [StaticString] = [
            "bootstrap-start", "bootstrap-complete", "database-create", "database-alter", "database-drop",
            "table-create", "table-alter", "table-drop",
        ]
        return others.contains(where: { bytes.matches(type, $0) }) ? .control : nil
    }

    /// All rows of one row event share its offset. Maxwell counts the rows of a transaction in `xoffset`, and leaves it
    /// out on the last of them, which has `commit`.
    private mutating func locateMaxwell(_ event: inout ChangeEvent, _ members: Members, of bytes: [UInt8]) {
        let coordinate = self.document.string(members[.position])
        guard self.wants.contains(.positions) else {
            event.positionText = (self.gtidOrder.isEmpty ? coordinate : self.document.string(members[.gtid])) ?? .empty
            return
        }
        let isLast = members[.commit].map { self.document.kind($0) == .true } ?? false
        let row = isLast ? .max : self.document.unsigned(members[.xoffset], of: bytes)
        if self.gtidOrder.isEmpty {
            guard let text = coordinate else {
                event.positionGap = members.has(.position) ? .unreadable : .maxwell
                return
            }
            event.positionText = text
            guard let (file, offset) = self.binlogCoordinate(text, of: bytes) else {
                event.positionGap = .unreadable
                return
            }
            if row == nil { event.rowNumberGap = .maxwell }
            event.position = Position(kind: .binlog, epoch: self.settings.epoch, file, offset, row ?? 0, count: 3)
            return
        }
        guard let gtid = self.document.string(members[.gtid]) else {
            event.positionGap = .maxwellTransaction
            return
        }
        event.positionText = gtid
        guard let transaction = self.gtidOrder.transaction(in: gtid, of: bytes) else {
            event.positionGap = .undeclaredServer
            return
        }
        // Where rows are not counted their offset in the binlog tells as much: a transaction is in one piece.
        if row == nil { event.rowNumberGap = .maxwell }
        let offset = row ?? coordinate.flatMap { self.binlogCoordinate($0, of: bytes)?.offset } ?? 0
        event.position = Position(
            kind: .gtid,
            epoch: self.settings.epoch,
            transaction.server,
            transaction.number,
            offset,
            0,
            count: 4
        )
    }

    /// `mysql-bin.000042:1288`.
    private mutating func binlogCoordinate(_ text: ByteRange, of bytes: [UInt8]) -> (file: UInt64, offset: UInt64)? {
        guard let colon = bytes.last(UInt8(ascii: ":"), in: text.range),
            let offset = bytes.unsigned(in: (colon + 1)..<text.range.upperBound),
            let file = self.binlogFileNumber(ByteRange(start: Int(text.start), end: colon), of: bytes)
        else { return nil }
        return (file, offset)
    }
}
