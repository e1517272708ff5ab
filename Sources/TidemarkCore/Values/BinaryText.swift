/// Bytes that JSON carries as text: base64, hex, or one character a byte.
package enum BinaryText {
    package static func decode(_ text: Span<UInt8>, as encoding: ValueEncoding) -> [UInt8]? {
        switch encoding {
        case .base64URL: Self.base64(text, isURLSafe: true)
        case .hex: Self.hex(text)
        case .latin1: Self.latin1(text)
        case .utf8: [UInt8](text)
        default: Self.base64(text, isURLSafe: false)
        }
    }

    /// Base64 with or without its padding (RFC 4648). Padding that does not fill up the last group of four is refused: the
    /// text was cut, and `=` alone would be the decimal zero.
    package static func base64(_ text: Span<UInt8>, isURLSafe: Bool) -> [UInt8]? {
        var end = text.count
        while end > 0, text.count - end < 2, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
        guard end == text.count || text.count.isMultiple(of: 4) else { return nil }
        var output: [UInt8] = []
        output.reserveCapacity(end / 4 * 3 + 2)
        var bits: UInt32 = 0
        var bitCount = 0
        for index in 0..<end {
            let digit: UInt8
            switch text[index] {
            case 0x41...0x5A: digit = text[index] - 0x41
            case 0x61...0x7A: digit = text[index] - 0x61 + 26
            case 0x30...0x39: digit = text[index] - 0x30 + 52
            case UInt8(ascii: "+") where !isURLSafe, UInt8(ascii: "-") where isURLSafe: digit = 62
            case UInt8(ascii: "/") where !isURLSafe, UInt8(ascii: "_") where isURLSafe: digit = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(digit)
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                output.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
            }
        }
        guard end % 4 != 1, bits & (1 << UInt32(bitCount) - 1) == 0 else { return nil }
        return output
    }

    private static func hex(_ text: Span<UInt8>) -> [UInt8]? {
        let hasPrefix = text.count >= 2 && text[0] == UInt8(ascii: "\\") && text[1] == UInt8(ascii: "x")
        let start = hasPrefix ? 2 : 0
        guard (text.count - start).isMultiple(of: 2) else { return nil }
        var output: [UInt8] = []
        for index in stride(from: start, to: text.count, by: 2) {
            guard let high = JSONText.hexDigit(text[index]), let low = JSONText.hexDigit(text[index + 1]) else {
                return nil
            }
            output.append(high << 4 | low)
        }
        return output
    }

    private static func latin1(_ text: Span<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        for scalar in String(decoding: text).unicodeScalars {
            guard scalar.value < 256 else { return nil }
            output.append(UInt8(scalar.value))
        }
        return output
    }

    /// Appends base64 with its padding.
    package static func appendBase64(_ bytes: [UInt8], to output: inout [UInt8]) {
        let digits: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits = group.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
            bits <<= 8 * UInt32(3 - group.count)
            for index in 0..<4 {
                let digit = Int(bits >> (18 - 6 * UInt32(index)) & 63)
                output.append(index <= group.count ? digits.utf8Start[digit] : UInt8(ascii: "="))
            }
        }
    }

    package static func base64(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        Self.appendBase64(bytes, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    package static func hex(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        Self.appendHex(bytes, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    package static func appendHex(_ bytes: [UInt8], to output: inout [UInt8]) {
        let digits: StaticString = "0123456789abcdef"
        for byte in bytes {
            output.append(digits.utf8Start[Int(byte >> 4)])
            output.append(digits.utf8Start[Int(byte & 15)])
        }
    }
}

extension [UInt8] {
    package init(_ span: Span<UInt8>) {
        self = span.withUnsafeBufferPointer { Array($0) }
    }
}

/// Debezium's `{"scale":3,"value":"Bdw="}` for a PostgreSQL `numeric` without a declared scale.
enum VariableScaleDecimal {
    static func parse(_ text: Span<UInt8>) -> (scale: Int, unscaled: [UInt8])? {
        var canonical: [UInt8] = []
        guard (try? JSONText.appendCanonical(text, to: &canonical)) != nil else { return nil }
        // Canonical members are ordered by length, and "scale" and "value" are equally long.
        let json = String(decoding: canonical, as: UTF8.self)
        guard json.hasPrefix("{\"scale\":"), json.hasSuffix("\"}"),
            let comma = json.firstIndex(of: ","), let scale = Int(json.dropFirst(9)[..<comma])
        else { return nil }
        let rest = json[json.index(after: comma)...]
        guard rest.hasPrefix("\"value\":\"") else { return nil }
        let encoded = Array(rest.dropFirst(9).dropLast(2).utf8)
        guard let unscaled = BinaryText.base64(encoded.span, isURLSafe: false) else { return nil }
        return (scale, unscaled)
    }
}

/// What wall-clock time means at a source.
package enum ZoneRule: Sendable {
    case utc
    case fixed(seconds: Int64)
    /// Gives the offset from UTC, in seconds, of a local time in seconds since 1970.
    case named(@Sendable (_ localSeconds: Int64) -> Int64)

    /// Both in microseconds since 1970. An instant that 64 bits do not hold is the greatest or the least number, which no
    /// range of instants contains.
    package func instant(ofLocal microseconds: Int64) -> Int64 {
        let offset = self.offset(ofLocal: microseconds.dividedRoundingDown(by: CalendarText.microsecondsPerSecond))
        let (instant, isTooLarge) = microseconds.subtractingReportingOverflow(
            offset * CalendarText.microsecondsPerSecond
        )
        return isTooLarge ? (offset < 0 ? .max : .min) : instant
    }

    /// Both in PostgreSQL's count, microseconds since 2000-01-01.
    /// - Returns: `nil` where PostgreSQL holds no such instant.
    package func postgresInstant(ofLocal microseconds: Int64) -> Int64? {
        let seconds = microseconds.dividedRoundingDown(by: CalendarText.microsecondsPerSecond)
        let offset = self.offset(ofLocal: seconds + CalendarText.postgresEpochDays * 86_400)
        let (instant, isTooLarge) = microseconds.subtractingReportingOverflow(
            offset * CalendarText.microsecondsPerSecond
        )
        return !isTooLarge && CalendarText.postgresRange.contains(instant) ? instant : nil
    }

    private func offset(ofLocal seconds: Int64) -> Int64 {
        switch self {
        case .utc: 0
        case .fixed(let offset): offset
        case .named(let offset): offset(seconds)
        }
    }
}
