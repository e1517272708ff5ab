package import TidemarkCore

/// Values made for the limits of a column's type: each limit, one above, one below, zeros with many digits, signs,
/// exponents, and the longest texts. Some fit the type and some do not.
package struct LimitValues: Sendable {
    package var random: SplitMix64

    package init(seed: UInt64) {
        self.random = SplitMix64(seed: seed)
    }

    /// A value as a message writes it: the text of a JSON string or a number's literal.
    package struct Value: Sendable {
        package var text: String
        package var kind: Field.Kind

        /// The value as JSON.
        package var json: [UInt8] {
            guard self.kind == .string else { return Array(self.text.utf8) }
            var output: [UInt8] = []
            JSONText.appendString(Array(self.text.utf8).span, to: &output)
            return output
        }
    }

    /// A value for the column; in a tenth of all cases one that is made for another type.
    package mutating func value(for column: ProjectionDefinition.Column) -> Value {
        if self.random.chance(10) {
            let other = self.type()
            return self.value(other, .none, isUnsigned: false)
        }
        return self.value(column.type, column.encoding, isUnsigned: column.isUnsigned)
    }

    // MARK: Types

    /// Any type, with any precision, scale and length that PostgreSQL takes.
    package mutating func type() -> ColumnType {
        let simple: [ColumnType] = [
            .bigint, .integer, .smallint, .numeric(precision: nil, scale: 0), .text, .boolean, .timestamptz, .timestamp,
            .date, .time, .doublePrecision, .real, .uuid, .jsonb, .bytea,
        ]
        switch self.random.below(simple.count + 6) {
        case let index where index < simple.count: return simple[index]
        case let index where index < simple.count + 1:
            return .varchar(length: self.pick([1, 2, 3, 10, 255, 10_485_760]))
        default: return self.numericType()
        }
    }

    package mutating func numericType() -> ColumnType {
        let precision = self.pick([
            1, 2, 3, 4, 17, 18, 19, 20, 37, 38, 39, 65, 100, 999, 1000, 1 + self.random.below(1000),
        ])
        let scale = self.pick([
            0, 1, 2, 3, 4, 16, 17, 18, 19, 20, 38, precision, precision - 1, precision + 1, -1, -3, -20, 1000, -1000,
            self.random.below(2001) - 1000, self.random.below(precision + 1),
        ])
        return .numeric(precision: precision, scale: max(-1000, min(1000, scale)))
    }

    /// Encodings that the configuration takes for the type.
    package mutating func encoding(for type: ColumnType) -> ValueEncoding {
        let epochs: [ValueEncoding] = [
            .epochSeconds, .epochMilliseconds, .epochMicroseconds, .epochNanoseconds, .epochDays,
        ]
        guard self.random.chance(50) else { return .none }
        switch type {
        case .timestamptz, .timestamp, .date: return self.pick(epochs)
        case .time: return self.pick(epochs.dropLast())
        case .bytea: return self.pick([.base64, .base64URL, .hex, .latin1, .utf8])
        case .bigint, .integer, .smallint, .numeric: return self.pick([.base64, .decimalBase64, .bitsBase64])
        default: return .none
        }
    }

    // MARK: Values

    private mutating func value(_ type: ColumnType, _ encoding: ValueEncoding, isUnsigned: Bool) -> Value {
        switch type {
        case .bigint, .integer, .smallint, .numeric, .doublePrecision, .real:
            if encoding != .none, self.random.chance(80) { return Value(text: self.base64(), kind: .string) }
            let text = self.numberText(type, isUnsigned: isUnsigned)
            return Value(text: text, kind: Self.isNumber(text) && self.random.chance(60) ? .number : .string)
        case .text: return Value(text: self.characters(self.random.below(24)), kind: .string)
        case .varchar(let length):
            let count = max(0, min(length, 300) + self.random.below(3) - 1)
            return Value(text: self.characters(count), kind: .string)
        case .boolean:
            let text = self.pick(["true", "false", "0", "1", "t", "no", "YES", "2", "on"])
            let kind: Field.Kind = text == "true" ? .true : text == "false" ? .false : .string
            return Value(text: text, kind: self.random.chance(70) ? kind : .string)
        case .timestamptz, .timestamp, .date, .time:
            guard encoding == .none ? self.random.chance(20) : self.random.chance(80) else {
                return Value(text: type == .time ? self.timeText() : self.timestampText(type), kind: .string)
            }
            return Value(text: self.epochText(type, encoding), kind: self.random.chance(80) ? .number : .string)
        case .uuid: return Value(text: self.uuidText(), kind: .string)
        case .jsonb: return self.jsonValue()
        case .bytea:
            let text = encoding == .latin1 || encoding == .utf8 ? self.characters(self.random.below(9)) : self.base64()
            return Value(text: text, kind: .string)
        }
    }

    mutating func pick<Element>(_ choices: [Element]) -> Element { choices[self.random.below(choices.count)] }

    /// Whether JSON takes the text as a number.
    static func isNumber(_ text: String) -> Bool {
        var output: [UInt8] = []
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || first &- 0x30 < 10 else { return false }
        return (try? JSONText.appendCanonical(Array(text.utf8).span, to: &output)) != nil
    }

    mutating func digits(_ count: Int) -> String {
        switch self.random.below(4) {
        case 0: return String(repeating: "9", count: count)
        case 1: return count > 0 ? "1" + String(repeating: "0", count: count - 1) : ""
        case 2: return String(repeating: "0", count: max(0, count - 1)) + (count > 0 ? "1" : "")
        default: return String((0..<count).map { _ in Character(String(self.random.below(10))) })
        }
    }

    private mutating func characters(_ count: Int) -> String {
        let alphabet = Array("abcABC 0189\"\\/\n\t\u{1f}\u{7f}äß€😀\u{301}\u{0}")
        // Mostly without U+0000, which no text holds.
        let bound = self.random.chance(95) ? alphabet.count - 1 : alphabet.count
        return String(
            String.UnicodeScalarView((0..<count).flatMap { _ in alphabet[self.random.below(bound)].unicodeScalars })
        )
    }

    private mutating func base64() -> String {
        let bytes = self.pick(
            [
                [], [0], [1], [0x7F], [0x80], [0xFF], Array(repeating: 0xFF, count: 8),
                [0x7F] + Array(repeating: 0xFF, count: 7),
                [0x80] + Array(repeating: 0, count: 7), [0] + Array(repeating: 0xFF, count: 8),
                (0..<self.random.below(40)).map { _ in UInt8(truncatingIfNeeded: self.random.next()) },
                (0..<self.random.below(10)).map { _ in UInt8(truncatingIfNeeded: self.random.next()) },
            ] as [[UInt8]]
        )
        if self.random.chance(10) { return self.pick(["====", "A", "AA", "!", "NaN", "\\x0g", "\\x00ff", "0aF"]) }
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for index in 0...group.count { text.append(alphabet[bits >> (18 - 6 * index) & 63]) }
            text += String(repeating: "=", count: 3 - group.count)
        }
        return text
    }

    private mutating func uuidText() -> String {
        let hex = (0..<32).map { _ in String(self.random.below(16), radix: 16, uppercase: self.random.chance(50)) }
            .joined()
        switch self.random.below(4) {
        case 0: return hex
        case 1: return String(hex.dropLast(self.random.below(3)))
        default:
            let parts = [
                hex.prefix(8), hex.dropFirst(8).prefix(4), hex.dropFirst(12).prefix(4), hex.dropFirst(16).prefix(4),
            ]
            return (parts + [hex.dropFirst(20)]).joined(separator: "-")
        }
    }

    private mutating func jsonValue() -> Value {
        let text = self.pick([
            "{}", "[]", "{\"b\":1.50,\"a\":[true,null]}", "[-0,-0.0,1e2,1E-3]", "{\"a\":{\"a\":1,\"a\":2}}",
            "[\"\\u00e9\\n\"]",
            "[\"\\ud83d\\ude00\"]", "[1e131071]", "[1e131072]", "[0.\(String(repeating: "0", count: 20))1]",
        ])
        switch self.random.below(4) {
        case 0: return Value(text: text, kind: .string)
        case 1:
            return Value(text: self.numberText(.numeric(precision: nil, scale: 0), isUnsigned: false), kind: .string)
        case 2: return Value(text: self.characters(4), kind: .string)
        default: return Value(text: text, kind: .json)
        }
    }
}
