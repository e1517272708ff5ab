package import TidemarkCore

/// From a timeline's stored events to change events: each is laid out as the message that it came from would be today, so
/// that it is checked and encoded like any other, under the definition of now. What of its order key stays goes into the
/// origin. One for each task that routes.
package struct StoredEventDecoder: ~Copyable {
    private let reading: StoredEventReading
    private let plan: ProjectionPlan
    private let columns: [StoredColumn]
    private let sources: [SourceSettings]
    private var decoder: MessageDecoder
    /// Moved in and out of `decode`.
    private var message = DecodedMessage()

    /// - Parameter page: the pages of one timeline are read alike.
    package init(_ page: StoredEventPage) {
        self.reading = page.reading
        self.plan = ProjectionPlan(page.reading.definition)
        self.columns = page.columns
        self.sources = page.sources
        var settings = SourceSettings(name: "")
        settings.format = .tidemark
        // A value may be nested as deep as JSON may; around it stand the message and its image.
        self.decoder = MessageDecoder(settings: settings, extraDepth: 8)
    }

    /// Decodes one event into `message`, and says in `origin` what is known of it from its first encoding.
    package mutating func decode(
        _ stored: StoredEvent,
        into message: inout DecodedMessage,
        _ origin: inout ChangeEncoder.Origin
    ) {
        let source = self.sources.firstIndex { $0.name == stored.source } ?? 0
        origin.sourceIndex = source
        origin.settings = self.sources[source]
        origin.settings.sendsMinimalImages = stored.missing != nil && !stored.nullsOthers
        origin.settings.absent = stored.nullsOthers ? .null : .unchanged
        origin.remarks = stored.isErased ? stored.remarks.union(.erased) : stored.remarks
        origin.knownSequence = self.knownSequence(of: stored)
        swap(&message, &self.message)
        if let event = self.layOut(stored) {
            self.message.events.removeAll()
            self.message.events.append(event)
        }
        swap(&message, &self.message)
    }

    private func knownSequence(of stored: StoredEvent) -> KnownSequence? {
        let keptParts = self.reading.keptParts
        let digest = self.reading.keepsDigests ? stored.digest : nil
        guard keptParts > 0 || digest != nil else { return nil }
        var known = KnownSequence(
            parts: keptParts,
            bytes: keptParts > 0 ? Array(stored.orderKey.prefix(stored.sequenceCount)) : [],
            text: keptParts > 0 ? Array(stored.sequence.utf8) : []
        )
        known.digest = digest
        if stored.isErased, keptParts == self.plan.sequence.count {
            known.tieBreakers = Array(stored.orderKey.dropFirst(stored.sequenceCount))
        }
        return known
    }

    // MARK: Laying out

    /// - Returns: the event as a message of today would say it, its fields in `message`; `nil` when the image is JSON that
    ///   is not read, which `message.failure` tells.
    private mutating func layOut(_ stored: StoredEvent) -> ChangeEvent? {
        var event = ChangeEvent(table: .empty, operation: .delete)
        switch stored.image {
        case .json(let image):
            guard let row = self.layOut(json: image) else { return nil }
            event = row
        case .columns(let values):
            self.message.reset()
            self.layOut(values)
            event.after = 0..<self.message.fields.count
        case nil:
            self.message.reset()
        }
        event.operation = stored.operation
        event.eventTime = stored.eventTime
        event.positionText = self.append(stored.position ?? "")
        let keys = self.appendKey(stored)
        if let index = self.plan.keyColumns.firstIndex(where: \.isDatabase) {
            event.database = self.message.fields[keys.lowerBound + index].value
        }
        guard stored.operation != .delete else {
            event.before = keys
            event.beforeTrust = .key
            return event
        }
        guard !self.reading.isWhole || stored.isErased else {
            // The row has the key, unless its source sends minimal images.
            if stored.operation == .update { event.before = keys }
            for name in stored.missing ?? [] { self.appendField(name, nil) }
            event.after = (event.after?.lowerBound ?? 0)..<self.message.fields.count
            return self.withoutKeys(event, keys)
        }
        if stored.isErased { return self.layOutNothing(event) }
        if let name = self.reading.stateName {
            if stored.state == nil, stored.missing?.contains(name) ?? false {
                self.appendField(name, nil)
            } else {
                self.appendField(name, stored.state, isNull: stored.state == nil)
            }
        }
        self.appendUnavailable(from: event.after?.lowerBound ?? 0)
        event.after = (event.after?.lowerBound ?? 0)..<self.message.fields.count
        return event
    }

    /// - Returns: the event of a row in JSON; `nil` when it is none that is read, which `message.failure` tells.
    private mutating func layOut(json image: String) -> ChangeEvent? {
        let text = Array(#"{"table":"t","op":"insert","after":\#(image)}"#.utf8)
        text.withUnsafeBytes { self.decoder.decode($0, into: &self.message) }
        if self.message.failure != nil { return nil }
        if !self.reading.jsonColumns.isEmpty { self.unwrapJSON() }
        return self.message.events.first
    }

    /// Declared columns: of what kind a value is, its column and its first or last byte say.
    private mutating func layOut(_ values: StoredValues) {
        let start = self.message.bytes.count
        self.message.bytes.append(contentsOf: values.bytes)
        for (column, cell) in zip(self.columns, values.cells) {
            if case .absent = cell { continue }
            let name = self.message.bytes.count
            self.message.bytes.append(contentsOf: column.name)
            let names = ByteRange(start: name, end: self.message.bytes.count)
            guard case .text(let range) = cell else {
                self.message.fields.append(Field(name: names, value: .empty, kind: .null))
                continue
            }
            let text = start + range.lowerBound..<start + range.upperBound
            let (kind, value) = Self.kind(column.form, text, of: self.message.bytes)
            self.message.fields.append(
                Field(name: names, value: ByteRange(start: value.lowerBound, end: value.upperBound), kind: kind)
            )
        }
    }

    private static func kind(
        _ form: StoredColumn.Form,
        _ text: Range<Int>,
        of bytes: [UInt8]
    ) -> (Field.Kind, Range<Int>) {
        switch form {
        case .text: return (.string, text)
        case .number:
            let isDigit = bytes[text].last.map { $0 &- UInt8(ascii: "0") < 10 } ?? false
            return (isDigit ? .number : .string, text)
        case .boolean: return (bytes[text].first == UInt8(ascii: "t") ? .true : .false, text)
        case .json:
            let value = text.dropFirst()
            if bytes[text].first == UInt8(ascii: "s") { return (.string, value) }
            switch bytes[value].first {
            case UInt8(ascii: "t"): return (.true, value)
            case UInt8(ascii: "f"): return (.false, value)
            case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "n"): return (.json, value)
            default: return (.number, value)
            }
        }
    }

    /// JSON null, as an image has it, is read as the value that it stands for.
    private mutating func unwrapJSON() {
        var fields = Array(self.message.fields)
        for index in fields.indices where fields[index].kind == .json {
            guard let value = JSONNull.unwrapped(fields[index].value.range, of: self.message.bytes),
                self.reading.jsonColumns.contains(self.message.text(fields[index].name))
            else { continue }
            fields[index].value = ByteRange(start: value.lowerBound, end: value.upperBound)
        }
        self.message.fields.removeAll()
        for field in fields { self.message.fields.append(field) }
    }

    /// What `forget` left of an event: that it was there, with every column null.
    private mutating func layOutNothing(_ event: ChangeEvent) -> ChangeEvent {
        var event = event
        let keys = Set(self.plan.keyColumns.map(\.source))
        let columns =
            (self.plan.valueColumns ?? []) + [self.plan.stateColumn].compactMap { $0 }
        for column in columns where !keys.contains(column.source) {
            self.appendField(String(decoding: column.source, as: UTF8.self), nil, isNull: true)
        }
        event.after = 0..<self.message.fields.count
        return event
    }

    /// A whole row is what its message said: the key, laid out between the row and what it lacks, goes to the end.
    private mutating func withoutKeys(_ event: ChangeEvent, _ keys: Range<Int>) -> ChangeEvent {
        var event = event
        let row = self.message.fields.indices.filter { !keys.contains($0) }
        let fields = (row + Array(keys)).map { self.message.fields[$0] }
        self.message.fields.removeAll()
        for field in fields { self.message.fields.append(field) }
        event.after = (event.after?.lowerBound ?? 0)..<row.count
        if event.before != nil { event.before = row.count..<fields.count }
        return event
    }

    private mutating func appendKey(_ stored: StoredEvent) -> Range<Int> {
        let start = self.message.fields.count
        for (column, text) in zip(self.plan.keyColumns, stored.key) {
            self.appendField(String(decoding: column.source, as: UTF8.self), text)
        }
        return start..<self.message.fields.count
    }

    /// Whatever the image lacks may have had a value: it was not kept, or not sent.
    private mutating func appendUnavailable(from start: Int) {
        for column in self.plan.valueColumns ?? [] {
            let isThere = self.message.fields[start...].contains { field in
                Int(field.name.count) == column.source.count
                    && self.message.bytes[field.name.range].elementsEqual(column.source)
            }
            if !isThere { self.appendField(String(decoding: column.source, as: UTF8.self), nil) }
        }
    }

    private mutating func append(_ text: String) -> ByteRange {
        let start = self.message.bytes.count
        self.message.bytes.append(contentsOf: text.utf8)
        return ByteRange(start: start, end: self.message.bytes.count)
    }

    /// - Parameter text: `nil` for a value that is unavailable, or null.
    private mutating func appendField(_ name: String, _ text: String?, isNull: Bool = false) {
        let name = self.append(name)
        let value = self.append(text ?? "")
        let kind: Field.Kind = text != nil ? .string : isNull ? .null : .unavailable
        self.message.fields.append(Field(name: name, value: value, kind: kind))
    }
}
