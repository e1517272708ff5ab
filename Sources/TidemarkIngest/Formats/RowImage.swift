internal import TidemarkCore

extension MessageDecoder {
    /// Appends the columns of a row as they stand.
    func appendRow(_ object: Int, to message: inout DecodedMessage) -> Range<Int> {
        let start = message.fields.count
        let count = self.document.childCount(object)
        message.fields.reserveCapacity(start + count)
        var name = object + 1
        for _ in 0..<count {
            let value = name + 1
            message.fields.append(
                Field(
                    name: self.document.range(name),
                    value: self.document.range(value),
                    kind: Field.Kind(self.document.kind(value))
                )
            )
            name = self.document.next(value)
        }
        return start..<message.fields.count
    }

    /// The row that a member holds: `nil` when the member is missing or null.
    func appendRow(
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
