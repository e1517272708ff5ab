internal import TidemarkCore

extension MessageDecoder {
    private enum CanalType {
        case insert, update, delete, truncate
        /// A row that was there when the log began (Huawei's DRS).
        case snapshot
    }

    /// Canal's flat message: rows of one table in `data`, an update's former values in `old`, one entry for each row.
    mutating func decodeCanal(
        _ object: Int,
        _ members: Members,
        into message: inout DecodedMessage
    ) throws(Rejection) {
        guard let typeNode = members[.type] else { throw self.missing("type", in: message) }
        let isDDL = members[.isDdl].map { self.document.kind($0) == .true } ?? false
        guard let type = self.canalType(typeNode, of: message.bytes), type == .truncate || !isDDL else {
            message.isControl = self.isControl(object, among: ControlForm.canal, of: message.bytes)
            guard !message.isControl else { return }
            guard !isDDL, !self.isCanalControl(typeNode, of: message.bytes) else {
                throw self.notOnlyControl(typeNode, of: object, in: message)
            }
            throw self.invalid(
                "type",
                typeNode,
                in: message,
                expected: "INSERT, UPDATE, DELETE, TRUNCATE or a DDL type of Canal"
            )
        }
        guard !self.isElsewhere(members[.tidb], of: message.bytes) else {
            throw Rejection(
                .unknownFormat,
                "the row is too large for TiCDC's message, which holds its key alone; have TiCDC send whole rows, with"
                    + " `large-message-handle-option` none and a larger `max-message-bytes`"
            )
        }
        guard let tableNode = members[.table] else { throw self.missing("table", in: message) }
        guard let table = self.document.string(tableNode), !table.isEmpty else {
            throw self.invalid("table", tableNode, in: message, expected: "a name")
        }
        let database = self.document.string(members[.database])
        let name = message.bytes.appendTable(database, table)
        var event = ChangeEvent(table: name, operation: .truncate)
        event.database = database ?? .empty
        event.writesJSONAsText = true
        event.eventTime = WireTime.microseconds(milliseconds: self.document.integer(members[.es], of: message.bytes))
        self.notePrimaryKey(members[.pkNames], in: &message)
        self.locateCanal(&event, members, in: message)
        switch type {
        case .insert: event.operation = .insert
        case .update: event.operation = .update
        case .delete: event.operation = .delete
        case .snapshot: event.operation = .snapshot
        case .truncate:
            message.events.append(event)
            return
        }
        try self.appendCanalRows(members, like: event, to: &message)
    }

    /// Whether TiCDC says that the message holds no row but where it is: in the database, by its key, or in a file.
    private mutating func isElsewhere(_ node: Int?, of bytes: [UInt8]) -> Bool {
        guard let node = self.document.object(node) else { return false }
        let members = self.members(of: node)
        let location = self.document.string(members[.claimCheckLocation])
        return members[.onlyHandleKey].map { self.document.kind($0) == .true } ?? false
            || location.map { !$0.isEmpty } ?? false
    }

    /// The rows of one message share a position but for their index in it.
    private mutating func locateCanal(_ event: inout ChangeEvent, _ members: Members, in message: DecodedMessage) {
        guard !self.gtidOrder.isEmpty else {
            event.positionGap = .canal
            return
        }
        guard let set = self.document.string(members[.gtid]),
            let last = self.gtidOrder.lastTransaction(ofSet: set, of: message.bytes)
        else {
            event.positionGap = .canalTransaction
            return
        }
        event.position = Position(kind: .gtid, epoch: self.settings.epoch, last.server, last.number, count: 4)
        event.positionText = set
    }

    private mutating func canalType(_ node: Int, of bytes: [UInt8]) -> CanalType? {
        guard let type = self.document.string(node) else { return nil }
        if bytes.matches(type, "INSERT") { return .insert }
        if bytes.matches(type, "UPDATE") { return .update }
        if bytes.matches(type, "DELETE") { return .delete }
        if bytes.matches(type, "TRUNCATE") { return .truncate }
        return bytes.matches(type, "INIT") ? .snapshot : nil
    }

    /// A type that no row has, also where the rest of the message is not what it should be.
    private func isCanalControl(_ node: Int, of bytes: [UInt8]) -> Bool {
        guard let type = self.document.string(node) else { return false }
        return ControlForm.canalTypes.contains { bytes.matches(type, $0) }
    }

    private mutating func appendCanalRows(
        _ members: Members,
        like model: ChangeEvent,
        to message: inout DecodedMessage
    ) throws(Rejection) {
        guard let data = members[.data] else { throw self.missing("data", in: message) }
        guard self.document.kind(data) == .array else {
            throw self.invalid("data", data, in: message, expected: "an array of rows")
        }
        var old: Int?
        if model.operation == .update, let node = self.document.present(members[.old]) {
            guard self.document.kind(node) == .array else {
                throw self.invalid("old", node, in: message, expected: "an array of rows")
            }
            old = node
        }
        let rowCount = self.document.childCount(data)
        message.isControl = rowCount == 0
        var oldLeft = old.map { self.document.childCount($0) } ?? 0
        var oldRow = old.map { $0 + 1 } ?? 0
        var row = data + 1
        for index in 0..<rowCount {
            let former = oldLeft > 0 ? self.document.present(oldRow) : nil
            do throws(Rejection) {
                try self.appendCanalRow(row, former: former, index: index, like: model, to: &message)
            } catch {
                message.rowFailures.append(DecodedMessage.RowFailure(row: index, error))
            }
            if oldLeft > 0 {
                oldRow = self.document.next(oldRow)
                oldLeft -= 1
            }
            row = self.document.next(row)
        }
    }

    private mutating func appendCanalRow(
        _ row: Int,
        former: Int?,
        index: Int,
        like model: ChangeEvent,
        to message: inout DecodedMessage
    ) throws(Rejection) {
        guard self.document.kind(row) == .object else {
            throw self.invalid("data[\(index)]", row, in: message, expected: "an object of columns")
        }
        if let former, self.document.kind(former) != .object {
            throw self.invalid("old[\(index)]", former, in: message, expected: "an object of columns")
        }
        var event = model
        event.row = index
        event.position?.numbers.2 = UInt64(index)
        let image = self.appendRow(row, to: &message)
        if event.operation == .delete {
            event.before = image
        } else {
            event.after = image
            event.before = former.map { self.appendRow($0, to: &message) }
            event.beforeHoldsChangesOnly = former != nil
        }
        message.events.append(event)
    }
}
