internal import TidemarkCore

extension MessageDecoder {
    /// Appends a row of Debezium's: with the encodings its schema names, and placeholders told from values.
    mutating func appendDebeziumRow(
        _ object: Int,
        hints: SchemaHints?,
        to message: inout DecodedMessage
    ) -> Range<Int> {
        let start = message.fields.count
        let count = self.document.childCount(object)
        var name = object + 1
        for index in 0..<count {
            let member = self.document.member(name)
            name = member.next
            message.fields.append(self.debeziumField(member, hints, index, &message.bytes))
        }
        return start..<message.fields.count
    }

    /// Appends a row without an envelope, in which what Debezium adds stands among the columns.
    mutating func appendFlattenedRow(
        _ object: Int,
        hints: SchemaHints?,
        to message: inout DecodedMessage
    ) -> Range<Int> {
        let start = message.fields.count
        let count = self.document.childCount(object)
        var name = object + 1
        for index in 0..<count {
            let member = self.document.member(name)
            if member.kind == .object, self.isUnion(member.node), self.hasMetaUnion(object, of: message.bytes) {
                message.fields.removeAll(from: start)
                return self.appendAvroRow(object, hints: hints, flattened: true, to: &message)
            }
            var field = self.debeziumField(member, hints, index, &message.bytes)
            if self.isMeta(name, of: message.bytes) { field.markAsMeta() }
            message.fields.append(field)
            name = member.next
        }
        return start..<message.fields.count
    }

    private func isUnion(_ node: Int) -> Bool {
        self.document.avroUnion(node).map { $0.branch != .named } ?? false
    }

    /// Whether a flattened row is in Avro's JSON form: what Debezium adds to it may be null, so it is written as unions. A
    /// map column with one entry called `string` looks like a union too.
    private func hasMetaUnion(_ object: Int, of bytes: [UInt8]) -> Bool {
        var name = object + 1
        for _ in 0..<self.document.childCount(object) {
            let member = self.document.member(name)
            if member.kind == .object, self.isMeta(name, of: bytes), self.isUnion(member.node) { return true }
            name = member.next
        }
        return false
    }

    @inline(__always)
    private func debeziumField(
        _ member: JSONDocument.Member,
        _ hints: SchemaHints?,
        _ index: Int,
        _ bytes: inout [UInt8]
    ) -> Field {
        var field = Field(name: member.name, value: member.value, kind: Field.Kind(member.kind))
        switch field.kind {
        case .string:
            if UnavailableValue.isText(field.value, of: bytes) { field.kind = .unavailable }
        case .json:
            if self.isUnavailable(member.node, isAvro: false, of: bytes) { field.kind = .unavailable }
            self.writeStructuredTime(member.node, &field, to: &bytes)
        default: break
        }
        if let hint = hints?.find(member.name, of: bytes, at: index) {
            field.apply(hint)
            if hint.zone != .asWritten { field.apply(hint.zone, &bytes) }
        }
        return field
    }

    /// Whether a row stands in the name of its own type, as in Avro's JSON form: `{"srv.public.orders.Value": {…}}`.
    func isWrappedRow(_ object: Int, of bytes: [UInt8]) -> Bool {
        guard self.document.childCount(object) == 1, self.document.kind(object + 2) == .object else { return false }
        return bytes[self.document.range(object + 1).range].ends(with: ".Value")
    }

    /// The placeholder in a value that is no text: the ways in which Debezium fits it into arrays and maps.
    func isUnavailable(_ node: Int, isAvro: Bool, of bytes: [UInt8]) -> Bool {
        func plain(_ node: Int) -> Int { isAvro ? self.document.avroUnion(node)?.value ?? node : node }
        let count = self.document.childCount(node)
        guard count == 1 || count == UnavailableValue.text.utf8CodeUnitCount else { return false }
        if self.document.kind(node) == .object {
            guard count == 1, let value = self.document.string(plain(node + 2)) else { return false }
            return bytes.matches(self.document.range(node + 1), UnavailableValue.text)
                && bytes.matches(value, UnavailableValue.text)
        }
        if count == 1 {
            guard let element = self.document.string(plain(node + 1)) else { return false }
            return UnavailableValue.isText(element, of: bytes) || bytes.matches(element, UnavailableValue.uuid)
        }
        var element = node + 1
        for index in 0..<count {
            let value = plain(element)
            switch self.document.kind(value) {
            case .number, .string: break
            default: return false
            }
            guard bytes.isWholeNumber(UnavailableValue.text.utf8Start[index], in: self.document.range(value)) else {
                return false
            }
            element = self.document.next(element)
        }
        return true
    }
}

extension Field {
    /// What the schema says of bytes does not hold where the converter wrote something else (`decimal.format=NUMERIC`).
    fileprivate mutating func apply(_ hint: SchemaHints.Hint) {
        switch hint.encoding {
        case .base64, .decimalBase64, .bitsBase64: guard self.kind == .string else { return }
        default: guard self.kind == .string || self.kind == .number else { return }
        }
        self.encoding = hint.encoding
        self.scale = hint.scale
    }
}

/// The placeholder that Debezium writes for a value which the database did not log, in each of its encodings.
enum UnavailableValue {
    static let text: StaticString = "__debezium_unavailable_value"
    private static let base64: StaticString = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
    private static let unpaddedBase64: StaticString = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ"
    private static let hex: StaticString = "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565"
    private static let upperHex: StaticString = "5F5F646562657A69756D5F756E617661696C61626C655F76616C7565"
    /// `hstore` as JSON text.
    private static let map: StaticString = #"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#
    /// The UUID (version 3, no namespace) of the text.
    static let uuid: StaticString = "b68a35a7-17ad-35b3-af2a-ae46edb4545a"

    static func isText(_ value: ByteRange, of bytes: [UInt8]) -> Bool {
        switch Int(value.count) {
        case Self.text.utf8CodeUnitCount: bytes.matches(value, Self.text)
        case Self.base64.utf8CodeUnitCount: bytes.matches(value, Self.base64)
        case Self.unpaddedBase64.utf8CodeUnitCount: bytes.matches(value, Self.unpaddedBase64)
        case Self.hex.utf8CodeUnitCount: bytes.matches(value, Self.hex) || bytes.matches(value, Self.upperHex)
        case Self.map.utf8CodeUnitCount: bytes.matches(value, Self.map)
        default: false
        }
    }
}

extension [UInt8] {
    /// Whether `range` reads `value`, or `value` with nothing but zeros behind its decimal point.
    fileprivate func isWholeNumber(_ value: UInt8, in range: ByteRange) -> Bool {
        let text = self[range.range]
        let point = text.firstIndex(of: UInt8(ascii: ".")) ?? text.endIndex
        guard self.unsigned(in: text.startIndex..<point) == UInt64(value) else { return false }
        return text[point...].dropFirst().allSatisfy { $0 == UInt8(ascii: "0") }
    }
}

extension ArraySlice<UInt8> {
    fileprivate func ends(with text: StaticString) -> Bool {
        self.suffix(text.utf8CodeUnitCount)
            .elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
