internal import TidemarkCore

extension MessageDecoder {
    /// Tidemark's own line: `{"table", "op", "after", "before", "ts", "position", "tag"}`.
    mutating func decodeTidemark(_ members: Members, into message: inout DecodedMessage) throws(Rejection) {
        guard let tableNode = members[.table] else { throw self.missing("table", in: message) }
        guard let opNode = members[.op] else { throw self.missing("op", in: message) }
        let table = try self.tidemarkTable(tableNode, in: &message)
        guard let operation = self.tidemarkOperation(opNode, of: message.bytes) else {
            throw self.invalid("op", opNode, in: message, expected: "insert, update, delete, snapshot or truncate")
        }
        var event = ChangeEvent(table: table, operation: operation)
        if self.wants.contains(.databases) { event.database = self.tidemarkDatabase(table, in: &message) }
        event.eventTime = try self.tidemarkTime(members[.ts], in: message)
        if let tag = self.document.present(members[.tag]) {
            guard let text = self.document.string(tag) else {
                throw self.invalid("tag", tag, in: message, expected: "a string")
            }
            event.tag = text
        }
        if let position = self.document.present(members[.position]) {
            event.position = try self.tidemarkPosition(
                position,
                isSnapshot: operation == .snapshot,
                in: message
            )
            event.positionText = self.appendPositionText(position, to: &message)
        } else if operation != .snapshot {
            event.positionGap = .tidemark
        }
        let before = try self.appendRow(members[.before], named: "before", to: &message)
        let after = try self.appendRow(members[.after], named: "after", to: &message)
        switch operation {
        case .truncate: break
        case .delete: event.before = before
        case .insert, .snapshot: event.after = after
        case .update: (event.before, event.after) = (before, after)
        }
        message.events.append(event)
    }

    /// The table's text, re-encoded where there are two ways to write it.
    private mutating func tidemarkTable(_ node: Int, in message: inout DecodedMessage) throws(Rejection) -> ByteRange {
        let text = self.document.string(node)
        if let text, message.bytes.isCanonicalTable(text) { return text }
        guard let text, let name = TableName(message.text(text)) else {
            throw self.invalid(
                "table",
                node,
                in: message,
                expected: "a name such as \"shop.orders\", with parts that hold a dot in double quotes"
            )
        }
        let start = message.bytes.count
        message.bytes += Array(name.text.utf8)
        return ByteRange(start: start, end: message.bytes.count)
    }

    /// The first of several parts of the table's name.
    private func tidemarkDatabase(_ table: ByteRange, in message: inout DecodedMessage) -> ByteRange {
        guard let name = TableName(message.text(table)), name.parts.count > 1 else { return .empty }
        let start = message.bytes.count
        message.bytes += Array(name.parts[0].utf8)
        return ByteRange(start: start, end: message.bytes.count)
    }

    private mutating func tidemarkOperation(_ node: Int, of bytes: [UInt8]) -> TidemarkCore.Operation? {
        guard let op = self.document.string(node) else { return nil }
        if bytes.matches(op, "insert") { return .insert }
        if bytes.matches(op, "update") { return .update }
        if bytes.matches(op, "delete") { return .delete }
        if bytes.matches(op, "snapshot") { return .snapshot }
        return bytes.matches(op, "truncate") ? .truncate : nil
    }

    private mutating func tidemarkTime(_ node: Int?, in message: DecodedMessage) throws(Rejection) -> Int64? {
        guard let node = self.document.present(node) else { return nil }
        guard let text = self.document.string(node),
            let reading = CalendarText.parseTimestamp(message.bytes.span.extracting(text.range))
        else { throw self.invalid("ts", node, in: message, expected: "a timestamp such as \"2026-03-01T09:30:15Z\"") }
        let instant = reading.hasZone ? reading.microseconds : self.settings.zone.instant(ofLocal: reading.microseconds)
        guard CalendarText.timestampRange.contains(instant) else {
            throw self.invalid("ts", node, in: message, expected: "a timestamp before 294247")
        }
        return instant
    }

    private mutating func tidemarkPosition(
        _ node: Int,
        isSnapshot: Bool,
        in message: DecodedMessage
    ) throws(Rejection) -> Position {
        let expected = "an array of one to four whole numbers below 2^64"
        let count = self.document.kind(node) == .array ? self.document.childCount(node) : 0
        guard (1...4).contains(count) else { throw self.invalid("position", node, in: message, expected: expected) }
        var numbers: [UInt64] = [0, 0, 0, 0]
        var element = node + 1
        for index in 0..<count {
            guard self.document.kind(element) == .number,
                let number = message.bytes.unsigned(in: self.document.range(element))
            else { throw self.invalid("position", node, in: message, expected: expected) }
            numbers[index] = number
            element = self.document.next(element)
        }
        return Position(
            kind: .numbers,
            epoch: self.settings.epoch,
            numbers[0],
            numbers[1],
            numbers[2],
            numbers[3],
            count: UInt8(count),
            isSnapshot: isSnapshot
        )
    }

    /// `42:1288`.
    private mutating func appendPositionText(_ node: Int, to message: inout DecodedMessage) -> ByteRange {
        let start = message.bytes.count
        var element = node + 1
        for index in 0..<self.document.childCount(node) {
            if index > 0 { message.bytes.append(UInt8(ascii: ":")) }
            message.bytes.appendCopy(of: self.document.range(element))
            element = self.document.next(element)
        }
        return ByteRange(start: start, end: message.bytes.count)
    }
}

extension [UInt8] {
    /// Whether a table's text has one to three parts of which none needs quotes, so that there is no other way to write it.
    fileprivate func isCanonicalTable(_ range: ByteRange) -> Bool {
        var dots = 0
        var isPartStart = true
        var last = UInt8(ascii: ".")
        for byte in self[range.range] {
            switch byte {
            case UInt8(ascii: "."):
                guard !isPartStart, last != UInt8(ascii: " ") else { return false }
                dots += 1
                isPartStart = true
            case UInt8(ascii: "\""), UInt8(ascii: "*"), UInt8(ascii: "?"): return false
            default:
                guard !isPartStart || byte != UInt8(ascii: " ") else { return false }
                isPartStart = false
            }
            last = byte
        }
        return dots < TableName.partsMax && !isPartStart && last != UInt8(ascii: " ")
    }
}
