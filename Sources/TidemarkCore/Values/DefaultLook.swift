/// Tells values that a producer may have put where it knew none: null, and the default of a type (zero, false, an empty
/// text or list, 1970-01-01, midnight, a UUID of zeros). Judged by the look of the message, whatever the column's type.
package enum DefaultLook {
    /// - Parameter index: of a field of the message.
    package static func has(_ index: Int, of message: DecodedMessage) -> Bool {
        message.defaultFields.contains(index) || Self.has(message.fields[index], message.bytes)
    }

    static func has(_ field: Field, _ bytes: [UInt8]) -> Bool {
        let value = bytes[field.value.range]
        switch field.kind {
        case .unavailable, .null, .false: return true
        case .true: return false
        case .number: return Self.isZero(value)
        case .json: return Self.isEmptyJSON(value)
        case .bytes: return value.allSatisfy { $0 == 0 }
        case .textOrBytes: return value.allSatisfy { $0 == 0 } || Self.isDefaultText(value)
        case .string:
            switch field.encoding {
            case .base64, .base64URL, .decimalBase64, .bitsBase64: return Self.isBase64OfZeros(value)
            default: return Self.isDefaultText(value)
            }
        }
    }

    /// No digit but zeros before an exponent: `0`, `-0.00`, `0E-9`.
    private static func isZero(_ value: ArraySlice<UInt8>) -> Bool {
        let mantissa = value.prefix { $0 != UInt8(ascii: "e") && $0 != UInt8(ascii: "E") }
        return mantissa.allSatisfy { $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }

    private static func isBase64OfZeros(_ value: ArraySlice<UInt8>) -> Bool {
        value.allSatisfy { $0 == UInt8(ascii: "A") || $0 == UInt8(ascii: "=") }
    }

    /// A number, a date, a time or an interval written with no digit but zeros (behind the epoch's date), a UUID of zeros,
    /// an empty text, list or object, and the base64 of a decimal zero.
    private static func isDefaultText(_ value: ArraySlice<UInt8>) -> Bool {
        for text in ["AA==", "{}", "[]", "<unknown>"] as [StaticString] where Self.equals(value, text) { return true }
        var rest = value
        let date: StaticString = "1970-01-01"
        if Self.equals(rest.prefix(date.utf8CodeUnitCount), date) { rest = rest.dropFirst(date.utf8CodeUnitCount) }
        let isInterval = rest.first == UInt8(ascii: "P")
        return rest.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0"), UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "+"),
                UInt8(ascii: "T"), UInt8(ascii: "Z"), UInt8(ascii: " "):
                true
            case UInt8(ascii: "P"), UInt8(ascii: "Y"), UInt8(ascii: "M"), UInt8(ascii: "D"), UInt8(ascii: "H"),
                UInt8(ascii: "S"):
                isInterval
            default: false
            }
        }
    }

    /// An empty list or object, and a decimal of variable scale that is zero.
    private static func isEmptyJSON(_ value: ArraySlice<UInt8>) -> Bool {
        let text = value.filter { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        let empty: [StaticString] = [
            "{}", "[]", #"{"scale":0,"value":"AA=="}"#, #"{"value":"AA==","scale":0}"#,
        ]
        return empty.contains { Self.equals(text[...], $0) }
    }

    private static func equals(_ value: ArraySlice<UInt8>, _ text: StaticString) -> Bool {
        value.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
