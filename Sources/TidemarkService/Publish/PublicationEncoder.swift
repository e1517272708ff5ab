package import TidemarkConfiguration
package import TidemarkCore
import TidemarkDecoding

/// Turns messages into records for a topic, keyed by entity. Pure, but for its buffers.
///
/// | message | records |
/// |---|---|
/// | events | a line for each, or the message; keyed by the entity |
/// | an update that changes the key | a delete of the old key and an insert of the new one, in two partitions |
/// | a truncate | a line without a key |
/// | heartbeats, DDL and other control messages | none |
/// | what is no event, or has no key | the message, without a key: whoever reads the topic sets it aside with a reason |
package struct PublicationEncoder: ~Copyable {
    /// What one message came to.
    package struct Encoded: Sendable {
        package var records: [OutgoingRecord] = []
        /// By the index of a record, the entity whose events are counted.
        package var entities: [Int: [UInt8]] = [:]
        package var isControl = false
        package var isUnreadable = false
        /// Rows of tables that are not published.
        package var filtered = 0
    }

    private let settings: SourceSettings
    private let plans: [ProjectionPlan]
    private let encoders: EncoderTable
    private let form: PublicationForm
    private var decoder: MessageDecoder
    private var message = DecodedMessage()
    private var encoder = ValueEncoder()

    /// - Parameter definitions: name the key of each table; the first that takes a table counts.
    package init(_ definitions: [ProjectionDefinition], _ settings: SourceSettings, _ form: PublicationForm) {
        let plans = definitions.map { ProjectionPlan($0) }
        self.settings = settings
        self.plans = plans
        self.form = form
        self.encoders = EncoderTable(count: plans.count) { ChangeEncoder(plan: plans[$0], index: $0) }
        let headers = Set(plans.flatMap(\.headerNames)).sorted { $0.lexicographicallyPrecedes($1) }
        self.decoder = MessageDecoder(settings: settings, headers: headers)
    }

    package mutating func encode(_ source: MessageBlock.Message, of block: MessageBlock) -> Encoded {
        var message = DecodedMessage()
        swap(&message, &self.message)
        defer { self.message = message }
        var encoded = Encoded()
        let raw = source.payload.map { Array(block.bytes[$0.range]) }
        if !source.isOversized { self.decoder.decode(source, of: block, into: &message) }
        if !source.isOversized, message.isControl {
            encoded.isControl = true
            return encoded
        }
        var isUnreadable = source.isOversized || message.failure != nil || !message.rowFailures.isEmpty
        if !isUnreadable {
            for event in message.events where !self.append(event, message, to: &encoded) { isUnreadable = true }
        }
        guard !isUnreadable else {
            encoded.records = [OutgoingRecord(key: nil, value: raw)]
            encoded.entities = [:]
            encoded.isUnreadable = true
            return encoded
        }
        let keys = Set(encoded.records.compactMap(\.key))
        if self.form == .original, message.events.count == 1, keys.count == 1, encoded.records.count == 1 {
            encoded.records[0].value = raw
        }
        return encoded
    }

    /// - Returns: `false` for an event without a key.
    private mutating func append(_ event: ChangeEvent, _ message: DecodedMessage, to encoded: inout Encoded) -> Bool {
        guard let index = self.plans.firstIndex(where: { $0.takes(event, of: message) }) else {
            encoded.filtered += 1
            return true
        }
        guard event.operation != .truncate else {
            encoded.records.append(OutgoingRecord(key: nil, value: self.line(event, message, event.operation)))
            return true
        }
        guard let (new, old) = self.encoders[index].pointee.publishedKeys(of: event, message, self.settings) else {
            return false
        }
        if let old {
            let row = self.oldRow(event, message, self.plans[index])
            self.append(
                self.line(event, message, .delete, before: row, isFirstHalf: true),
                old,
                to: &encoded
            )
            self.append(self.line(event, message, .insert, after: self.row(event.after, message)), new, to: &encoded)
            return true
        }
        let isDelete = event.operation == .delete
        let line = self.line(
            event,
            message,
            event.operation,
            before: self.believed(event.before ?? (isDelete ? event.after : nil), event, message, self.plans[index]),
            after: isDelete ? nil : self.row(event.after, message)
        )
        self.append(line, new, to: &encoded)
        return true
    }

    private func append(_ line: [UInt8], _ key: [UInt8], to encoded: inout Encoded) {
        encoded.entities[encoded.records.count] = key
        encoded.records.append(OutgoingRecord(key: KafkaTarget.recordKey(of: key[...]), value: line))
    }

    // MARK: Lines

    private mutating func line(
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
        if var position = event.position {
            if isFirstHalf { position.isFirstHalf = true }
            let numbers = position.published.map(String.init).joined(separator: ",")
            line += Array(#","position":[\#(numbers)]"#.utf8)
        }
        if let tag = event.tag {
            line += Array(#","tag":"#.utf8)
            JSONText.appendString(message.bytes[tag.range].span, to: &line)
        }
        line.append(UInt8(ascii: "}"))
        return line
    }

    /// A row as JSON; a column that is unavailable is left out, which says the same.
    private mutating func row(_ range: Range<Int>?, _ message: DecodedMessage) -> [UInt8]? {
        range.map { range in self.row(range.map { message.fields[$0] }, message) }
    }

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
            return self.row(
                fields.filter { field in plan.keyColumns.contains { message.has($0.source, at: field.name) } },
                message
            )
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

    /// The row that an update with another key leaves: with the old key, and what else it has now, so that both halves
    /// have one sequence.
    private mutating func oldRow(_ event: ChangeEvent, _ message: DecodedMessage, _ plan: ProjectionPlan) -> [UInt8] {
        let after = (event.after ?? 0..<0).map { message.fields[$0] }
        let before = (event.before ?? 0..<0).map { message.fields[$0] }
        let keys = before.filter { field in
            field.kind.isValue && plan.keyColumns.contains { message.has($0.source, at: field.name) }
        }
        let names = Set(keys.map { Array(message.bytes[$0.name.range]) })
        return self.row(keys + after.filter { !names.contains(Array(message.bytes[$0.name.range])) }, message)
    }
}

extension Position {
    /// Up to four numbers, as Tidemark's own format has them, in the order of the positions.
    fileprivate var published: [UInt64] {
        var numbers = (0..<Int(self.count)).map { self[$0] }
        // Its second number says which half of a key change it is: the LSN alone does not.
        if self.kind == .lsn, numbers.count == 1 { numbers.append(self.isFirstHalf ? 0 : 1) }
        guard self.epoch > 0, let first = numbers.first else { return numbers }
        if numbers.count < 4 { return [UInt64(self.epoch)] + numbers }
        numbers[0] = UInt64(self.epoch) << 32 | min(first, UInt64(UInt32.max))
        return numbers
    }
}
