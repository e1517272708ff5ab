internal import TidemarkCore

/// Rows in Avro's JSON form, in which a value that may be null is an object that names the value's type.
///
/// A row is one when it is wrapped in the name of its own type (`{"srv.public.orders.Value": {…}}`), when its message's
/// `ts_ms` is wrapped, or, flattened, when one of its values is. Elsewhere an object is what it looks like.
extension MessageDecoder {
    /// Appends a row of Debezium's that Avro's JSON form wraps.
    mutating func appendAvroRow(
        _ object: Int,
        hints: SchemaHints?,
        flattened: Bool = false,
        to message: inout DecodedMessage
    ) -> Range<Int> {
        let start = message.fields.count
        let count = self.document.childCount(object)
        var name = object + 1
        for index in 0..<count {
            let member = self.document.member(name)
            var field = self.avroField(member.name, member.node, to: &message.bytes)
            if let hint = hints?.find(member.name, of: message.bytes, at: index) { field.applyToAvro(hint) }
            if flattened, self.isMeta(name, of: message.bytes) { field.markAsMeta() }
            message.fields.append(field)
            name = member.next
        }
        return start..<message.fields.count
    }

    private func avroField(_ name: ByteRange, _ node: Int, to bytes: inout [UInt8]) -> Field {
        var value = node
        var kind = Field.Kind(self.document.kind(node))
        // Where nothing can be null no union says whether a string is text or bytes.
        if kind == .string { kind = .textOrBytes }
        if let union = self.document.avroUnion(node) {
            value = union.value
            kind =
                switch union.branch {
                case .text: .string
                case .bytes: .bytes
                case .number, .boolean: Field.Kind(self.document.kind(value))
                case .array, .map: .json
                case .named: self.document.kind(value) == .string ? .textOrBytes : .json
                }
        }
        let range = self.document.range(value)
        switch kind {
        case .string, .bytes, .textOrBytes:
            return Field(
                name: name,
                value: range,
                kind: UnavailableValue.isText(range, of: bytes) ? .unavailable : kind
            )
        case .json:
            guard !self.isUnavailable(value, isAvro: true, of: bytes) else {
                return Field(name: name, value: range, kind: .unavailable)
            }
            let start = bytes.count
            self.appendPlainJSON(node, to: &bytes)
            return Field(name: name, value: ByteRange(start: start, end: bytes.count), kind: .json)
        default:
            return Field(name: name, value: range, kind: kind)
        }
    }

    // MARK: Nested values

    /// Appends a value as the JSON converter would have written it: without unions, and bytes in base64.
    private func appendPlainJSON(_ node: Int, isBytes: Bool = false, to output: inout [UInt8]) {
        guard let union = self.document.avroUnion(node) else {
            return self.appendContent(node, isBytes: isBytes, to: &output)
        }
        self.appendContent(union.value, isBytes: union.branch == .bytes, to: &output)
    }

    /// An object here is no union, whatever its only member is called: it has been unwrapped already.
    private func appendContent(_ node: Int, isBytes: Bool, to output: inout [UInt8]) {
        let count = self.document.childCount(node)
        switch self.document.kind(node) {
        case .string:
            let text = Array(output[self.document.range(node).range])
            if isBytes, let raw = BinaryText.decode(text.span, as: .latin1) {
                output.append(UInt8(ascii: "\""))
                BinaryText.appendBase64(raw, to: &output)
                output.append(UInt8(ascii: "\""))
            } else {
                JSONText.appendString(text.span, to: &output)
            }
        case .array:
            output.append(UInt8(ascii: "["))
            var element = node + 1
            for index in 0..<count {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                self.appendPlainJSON(element, to: &output)
                element = self.document.next(element)
            }
            output.append(UInt8(ascii: "]"))
        case .object:
            output.append(UInt8(ascii: "{"))
            var name = node + 1
            for index in 0..<count {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                let text = Array(output[self.document.range(name).range])
                JSONText.appendString(text.span, to: &output)
                output.append(UInt8(ascii: ":"))
                self.appendPlainJSON(name + 1, isBytes: self.isBytes(name, of: node, output), to: &output)
                name = self.document.next(name + 1)
            }
            output.append(UInt8(ascii: "}"))
        default:
            output.appendCopy(of: self.document.range(node))
        }
    }

    /// The members of Debezium's own records that are bytes and cannot be null: a decimal's number beside its `scale`,
    /// a geometry's `wkb`.
    private func isBytes(_ name: Int, of record: Int, _ bytes: [UInt8]) -> Bool {
        let range = self.document.range(name)
        if bytes.matches(range, "wkb") { return true }
        guard bytes.matches(range, "value"), self.document.childCount(record) == 2 else { return false }
        let first = record + 1
        let other = first == name ? self.document.next(name + 1) : first
        return bytes.matches(self.document.range(other), "scale") && self.document.kind(other + 1) == .number
    }
}

extension Field {
    /// What the schema says of bytes holds for bytes. What the union calls a text is none.
    fileprivate mutating func applyToAvro(_ hint: SchemaHints.Hint) {
        switch hint.encoding {
        case .base64, .decimalBase64, .bitsBase64:
            guard self.kind == .bytes || self.kind == .textOrBytes else { return }
        default: guard self.kind == .string || self.kind == .number || self.kind == .textOrBytes else { return }
        }
        self.encoding = hint.encoding
        self.scale = hint.scale
    }
}
