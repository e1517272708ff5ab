internal import TidemarkCore

/// What a message beside rows looks like: which members it has, which of them it cannot lack, and what their values are.
///
/// Such a message is counted and dropped, so it is recognised by all of its members: with one that is not listed, or of
/// another kind, it may be a row, and becomes a dead letter.
struct ControlForm: Sendable {
    indirect enum Value: Sendable {
        case text, boolean, `true`
        /// A whole number, or a text that is one.
        case number
        case scalar
        case object, list
        /// Null, or a text, list or object that is empty.
        case nothing
        case anything
        case word([StaticString])
        case nullable(Value)
        case record(ControlForm)
        case records(ControlForm)
        /// An object whose members are all of one kind.
        case map(Value)
    }

    struct Member: Sendable {
        let name: StaticString
        let value: Value
        var isRequired = false
    }

    let members: [Member]
    /// What members that are not listed may be; `nil` where there are none.
    var others: Value?

    init(required: [(StaticString, Value)], optional: [(StaticString, Value)] = [], others: Value? = nil) {
        self.members =
            required.map { Member(name: $0.0, value: $0.1, isRequired: true) }
            + optional.map { Member(name: $0.0, value: $0.1) }
        self.others = others
    }
}

extension MessageDecoder {
    func isControl(_ object: Int, among forms: [ControlForm], of bytes: [UInt8]) -> Bool {
        forms.contains { self.has(object, $0, of: bytes) }
    }

    /// Whether an object has a form. Avro's unions are looked into.
    func has(_ object: Int, _ form: ControlForm, of bytes: [UInt8]) -> Bool {
        guard self.document.kind(object) == .object else { return false }
        var required = form.members.count(where: \.isRequired)
        var name = object + 1
        for _ in 0..<self.document.childCount(object) {
            let value = name + 1
            let known = form.members.first { bytes.matches(self.document.range(name), $0.name) }
            guard let expected = known?.value ?? form.others, self.isValue(value, expected, of: bytes) else {
                return false
            }
            if known?.isRequired == true { required -= 1 }
            name = self.document.next(value)
        }
        return required == 0
    }

    private func isValue(_ node: Int, _ expected: ControlForm.Value, of bytes: [UInt8]) -> Bool {
        let value = self.document.avroUnion(node)?.value ?? node
        let kind = self.document.kind(value)
        switch expected {
        case .text: return kind == .string
        case .boolean: return kind == .true || kind == .false
        case .true: return kind == .true
        case .number: return self.document.integer(value, of: bytes) != nil
        case .scalar: return kind != .object && kind != .array
        case .object: return kind == .object
        case .list: return kind == .array
        case .nothing: return kind == .null || self.isEmpty(value)
        case .anything: return true
        case .word(let words):
            return kind == .string && words.contains { bytes.matches(self.document.range(value), $0) }
        case .nullable(let inner): return kind == .null || self.isValue(node, inner, of: bytes)
        case .record(let form): return self.has(value, form, of: bytes)
        case .records(let form):
            return kind == .array && self.document.children(of: value).allSatisfy { self.has($0, form, of: bytes) }
        case .map(let inner):
            return kind == .object
                && self.document.children(of: value).allSatisfy { self.isValue($0 + 1, inner, of: bytes) }
        }
    }

    private func isEmpty(_ node: Int) -> Bool {
        switch self.document.kind(node) {
        case .object, .array: self.document.childCount(node) == 0
        case .string: self.document.range(node).isEmpty
        default: false
        }
    }
}
