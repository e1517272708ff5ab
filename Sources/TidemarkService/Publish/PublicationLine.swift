import TidemarkCore

/// Writes events as lines of Tidemark's own format. A line has no schema: decimals and zone-less times that a message's
/// schema encodes are written as texts, and a column that is unavailable is left out.
struct PublicationLine {
    private let settings: SourceSettings
    private var encoder = ValueEncoder()

    init(_ settings: SourceSettings) { self.settings = settings }

    mutating func line(_ event: ChangeEvent, _ message: DecodedMessage, _ plan: ProjectionPlan) -> [UInt8] {
        let isDelete = event.operation == .delete
        return self.line(
            event,
            message,
            event.operation,
            before: self.believed(event.before ?? (isDelete ? event.after : nil), event, message, plan),
            after: isDelete ? nil : event.after.map { range in self.row(range.map { message.fields[$0] }, message) }
        )
    }

    /// The row that an update with another key leaves: with the old key, and what else it has now, so that both halves
    /// have one sequence.
    mutating func deleteOfOldKey(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ plan: ProjectionPlan
    ) -> [UInt8] {
        let after = (event.after ?? 0..<0).map { message.fields[$0] }
        let before = (event.before ?? 0..<0).map { message.fields[$0] }
        let keys = before.filter { field in
            field.kind.isValue && plan.keyColumns.contains { message.has($0.source, at: field.name) }
        }
        let names = Set(keys.map { Array(message.bytes[$0.name.range]) })
        let row = keys + after.filter { !names.contains(Array(message.bytes[$0.name.range])) }
        return self.line(event, message, .delete, before: self.row(row, message), isFirstHalf: true)
    }

    mutating func insertOfNewKey(_ event: ChangeEvent, _ message: DecodedMessage) -> [UInt8] {
        let after = event.after.map { range in self.row(range.map { message.fields[$0] }, message) }
        return self.line(event, message, .insert, after: after)
    }

    func line(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ operation: TidemarkCore.Operation,
        before: [UInt8]? = nil,
        after: [UInt8]? = nil,
        isFirstHalf: Bool = false
    ) -> [UInt8] {
        var line: [UInt8] = Array(#"{"table":"#.utf8)
        JSONText.appendString(message.fullTable(of: event).span, to: &line)
        line += Array(#","op":"\#(operation)""#.utf8)
        if let before { line += Array(#","before":"#.utf8) + before }
        if let after { line += Array(#","after":"#.utf8) + after }
        if let time = event.eventTime, CalendarText.timestampRange.contains(time) {
            line += Array(#","ts":""#.utf8)
            CalendarText.appendTimestamp(microseconds: time, hasZone: true, to: &line)
            line.append(UInt8(ascii: "\""))
        }
        if var position = event.position, position.kind != .offset {
            if isFirstHalf { position.isFirstHalf = true }
            if let numbers = position.published?.map(String.init).joined(separator: ",") {
                line += Array(#","position":[\#(numbers)]"#.utf8)
            }
        }
        if let tag = event.tag {
            line += Array(#","tag":"#.utf8)
            JSONText.appendString(message.bytes[tag.range].span, to: &line)
        }
        line.append(UInt8(ascii: "}"))
        return line
    }

    // MARK: Rows

    /// The row before a change: a line of Tidemark's own is believed whole, so columns that may hold defaults are left out.
    private mutating func believed(
        _ range: Range<Int>?,
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ plan: ProjectionPlan
    ) -> [UInt8]? {
        guard let range else { return nil }
        let fields = range.map { message.fields[$0] }
        switch event.beforeTrust {
        case .whole, .full: return self.row(fields, message)
        case .key:
            let isKey = { (field: Field) in plan.keyColumns.contains { message.has($0.source, at: field.name) } }
            let keys = fields.filter(isKey)
            // A broker's key that is one value names no column.
            guard keys.isEmpty, plan.keyColumns.count == 1, var value = fields.first(where: { !$0.isMeta }) else {
                return self.row(keys, message)
            }
            var named = message
            let start = named.bytes.count
            named.bytes += plan.keyColumns[0].source
            value.name = ByteRange(start: start, end: named.bytes.count)
            return self.row([value], named)
        case .columns:
            let names = self.settings.replicaIdentities.columns[Int(event.identity)]
            return self.row(fields.filter { field in names.contains { message.has($0, at: field.name) } }, message)
        }
    }

    private mutating func row(_ fields: [Field], _ message: DecodedMessage) -> [UInt8] {
        var row: [UInt8] = [UInt8(ascii: "{")]
        for field in fields where field.kind != .unavailable && !field.isMeta {
            if row.count > 1 { row.append(UInt8(ascii: ",")) }
            JSONText.appendString(message.bytes[field.name.range].span, to: &row)
            row.append(UInt8(ascii: ":"))
            if self.appendDecoded(field, message, to: &row) { continue }
            do {
                try self.encoder.encodeUntyped(field, of: message.bytes.span)
                row += self.encoder.text
            } catch {
                // A value that its schema's encoding does not fit stays as it was written.
                JSONText.appendString(message.bytes[field.value.range].span, to: &row)
            }
        }
        row.append(UInt8(ascii: "}"))
        return row
    }

    /// Appends a value whose meaning the message's schema says, as text that needs no schema.
    /// - Returns: `false` for other values.
    private mutating func appendDecoded(_ field: Field, _ message: DecodedMessage, to row: inout [UInt8]) -> Bool {
        guard field.kind != .null else { return false }
        let type: ColumnType
        switch field.encoding {
        case .decimalBase64: type = .numeric(precision: nil, scale: 0)
        case .epochDays: type = .date
        case _ where field.isWallClock: type = .timestamp
        default: return false
        }
        let column = ColumnPlan(ProjectionDefinition.Column(name: "", type: type))
        let context = ValueEncoder.Context(zone: self.settings.zone)
        guard (try? self.encoder.encode(field, of: message.bytes.span, as: column, in: context)) != nil else {
            return false
        }
        if type.isBareInJSON(self.encoder.text.span) {
            row += self.encoder.text
        } else {
            JSONText.appendString(self.encoder.text.span, to: &row)
        }
        return true
    }
}

extension Position {
    /// Up to four numbers, as Tidemark's own format has them, in the order of the positions; `nil` where they do not hold
    /// the epoch.
    fileprivate var published: [UInt64]? {
        let half: UInt64 = self.isFirstHalf ? 0 : 1
        switch self.kind {
        case .offset: return nil
        case .lsn:
            // A snapshot is below what is streamed at its coordinate, a first half below what is not one.
            return self.isSnapshot
                ? [UInt64(self.epoch), self.numbers.0, 0, self.numbers.1]
                : [UInt64(self.epoch), self.numbers.0, 1 + half]
        case .binlog, .gtid, .numbers:
            var numbers = (0..<Int(self.count)).map { self[$0] }
            if self.epoch > 0 {
                guard let first = numbers.first, first <= UInt64(UInt32.max) else { return nil }
                numbers[0] = UInt64(self.epoch) << 32 | first
            }
            guard self.kind != .numbers else { return numbers }
            if numbers.count < 4 { return numbers + [half] }
            let row = numbers[3]
            numbers[3] = row > .max / 2 ? .max : 2 * row + half
            return numbers
        }
    }
}
