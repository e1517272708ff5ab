internal import TidemarkCore

extension MessageDecoder {
    /// Appends the columns of a row as they stand.
    mutating func appendRow(_ object: Int, to message: inout DecodedMessage) -> Range<Int> {
        let start = message.fields.count
        let count = self.document.childCount(object)
        message.fields.append(count: count, blank: Field(name: .empty, value: .empty, kind: .null)) { fields in
            var name = object + 1
            for index in 0..<count {
                let member = self.document.member(name)
                name = member.next
                fields[index] = Field(
                    name: member.name,
                    value: member.value,
                    kind: Field.Kind(member.kind),
                    encoding: .none,
                    scale: 0
                )
            }
        }
        return start..<message.fields.count
    }

    /// The row that a member holds: `nil` when the member is missing or null.
    mutating func appendRow(
        _ node: Int?,
        named member: String,
        to message: inout DecodedMessage
    ) throws(Rejection) -> Range<Int>? {
        guard let node = self.document.present(node) else { return nil }
        guard self.document.kind(node) == .object else {
            throw self.invalid(member, node, in: message, expected: "an object of columns")
        }
        return self.appendRow(node, to: &message)
    }
}

extension Field.Kind {
    @inline(__always)
    init(_ kind: JSONDocument.Kind) {
        switch kind {
        case .object, .array: self = .json
        case .string: self = .string
        case .number: self = .number
        case .true: self = .true
        case .false: self = .false
        case .null: self = .null
        }
    }
}
