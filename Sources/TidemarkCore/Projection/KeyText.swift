/// An entity's key in the forms that leave the read model: as JSON, and as the identifier of a milestone's delivery.
package struct KeyText: Sendable {
    /// Canonical text of each part.
    package let parts: [String]
    private let types: [ColumnType]

    /// - Parameter bytes: the parts' canonical texts, separated by NUL.
    package init(_ plan: ProjectionPlan, _ bytes: ArraySlice<UInt8>) {
        self.parts = bytes.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        self.types = plan.keyColumns.map(\.type)
    }

    /// `[1001]`, `["de", 7]`: numbers where the key column is one.
    package var json: String {
        let elements = zip(self.parts, self.types).map { part, type in
            type.isBareInJSON(Array(part.utf8).span) ? part : JSONOutput.string(part)
        }
        return "[" + elements.joined(separator: ",") + "]"
    }

    /// The namespace of Tidemark's delivery identifiers, itself a UUIDv5: `tidemark.delivery` in the DNS namespace.
    package static let namespace: [UInt8] = Self.uuidV5(
        namespace: [
            0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
        ],
        name: "tidemark.delivery"
    )

    /// A UUIDv5 over the JSON array `[projection, [key…], milestone]` without white space, every part of the key a
    /// string: the same for ever, also when the key's column gets another type.
    package func deliveryID(projection: String, milestone: String) -> [UInt8] {
        let key = JSONOutput.array(self.parts)
        let name = "[\(JSONOutput.string(projection)),\(key),\(JSONOutput.string(milestone))]"
        return Self.uuidV5(namespace: Self.namespace, name: name)
    }

    /// RFC 9562, section 5.5.
    package static func uuidV5(namespace: [UInt8], name: String) -> [UInt8] {
        var bytes = Array(DigestContext.sha1(namespace + name.utf8).prefix(16))
        bytes[6] = bytes[6] & 0x0F | 0x50
        bytes[8] = bytes[8] & 0x3F | 0x80
        return bytes
    }
}

/// Writes JSON by hand where the order of members and the bytes matter.
package enum JSONOutput {
    package static func string(_ text: String) -> String {
        var output: [UInt8] = []
        JSONText.appendString(Array(text.utf8).span, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    package static func array(_ strings: [String]) -> String {
        "[" + strings.map(Self.string).joined(separator: ",") + "]"
    }

    /// An object of members whose values are JSON already.
    package static func object(_ members: [(name: String, json: String)]) -> String {
        "{" + members.map { Self.string($0.name) + ":" + $0.json }.joined(separator: ",") + "}"
    }

    /// The same JSON with escapes for what a terminal would obey or hide (``Unicode/Scalar/isUnsafeOnTerminals``): U+009B
    /// begins a control sequence, U+202E turns the order of what follows.
    package static func shown(_ json: String) -> String {
        // Below 0x80 JSON has its own escapes, and DEL is no control of terminals' output.
        guard json.unicodeScalars.contains(where: { $0.value >= 0x7F && $0.isUnsafeOnTerminals }) else { return json }
        var output = ""
        for scalar in json.unicodeScalars {
            guard scalar.value >= 0x7F, scalar.isUnsafeOnTerminals else {
                output.unicodeScalars.append(scalar)
                continue
            }
            for unit in UTF16.encode(scalar) ?? .init() {
                let digits = String(unit, radix: 16)
                output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return output
    }
}
