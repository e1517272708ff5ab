/// Properties of a message: names and values, separated by 1 and 2.
package enum MessageProperties {
    package static let keys = "KEYS"
    package static let tags = "TAGS"
    package static let shardingKey = "__SHARDINGKEY"
    package static let uniqueKey = "UNIQ_KEY"
    package static let waitsForStore = "WAIT"

    private static let (nameEnd, valueEnd): (UInt8, UInt8) = (1, 2)

    private static let brokersOwn: [StaticString] = ["MSG_REGION", "TRACE_ON", "CLUSTER", "WAIT"]

    /// Whether a property is one that brokers add, without a meaning for a consumer.
    package static func isOfBroker(_ name: UnsafeRawBufferPointer) -> Bool {
        Self.brokersOwn.contains { own in
            own.utf8CodeUnitCount == name.count && own.withUTF8Buffer { $0.elementsEqual(name) }
        }
    }

    /// Calls `body` with the ranges of each name and value, in their order. 5.3.3 ends them with a 2, 5.0.0 does not. A part
    /// without a name's end is left out, as official clients do.
    package static func forEach(
        _ bytes: UnsafeRawBufferPointer,
        in range: Range<Int>,
        _ body: (_ name: Range<Int>, _ value: Range<Int>) -> Void
    ) {
        var start = range.lowerBound
        while start < range.upperBound {
            let end = bytes[start..<range.upperBound].firstIndex(of: Self.valueEnd) ?? range.upperBound
            if let middle = bytes[start..<end].firstIndex(of: Self.nameEnd) { body(start..<middle, (middle + 1)..<end) }
            start = end + 1
        }
    }

    /// - Returns: `nil` where there is none of that name; the last of several.
    package static func value(of name: StaticString, _ bytes: UnsafeRawBufferPointer, in range: Range<Int>) -> Range<
        Int
    >? {
        var found: Range<Int>?
        name.withUTF8Buffer { wanted in
            Self.forEach(bytes, in: range) { name, value in
                if name.count == wanted.count, bytes[name].elementsEqual(wanted) { found = value }
            }
        }
        return found
    }

    package static func read(_ bytes: [UInt8]) -> [(name: String, value: String)] {
        bytes.withUnsafeBytes { bytes in
            var properties: [(name: String, value: String)] = []
            Self.forEach(bytes, in: 0..<bytes.count) { name, value in
                properties.append(
                    (String(decoding: bytes[name], as: UTF8.self), String(decoding: bytes[value], as: UTF8.self))
                )
            }
            return properties
        }
    }

    /// - Returns: each property with its ends, as official clients send them. A name or value that has one of the separators
    ///   is left out: it would make other properties.
    package static func text(_ properties: [(name: String, value: String)]) -> String {
        var text = ""
        for (name, value) in properties where !Self.hasSeparator(name) && !Self.hasSeparator(value) {
            text += "\(name)\u{1}\(value)\u{2}"
        }
        return text
    }

    package static func hasSeparator(_ text: String) -> Bool { text.utf8.contains { $0 == 1 || $0 == 2 } }
}
