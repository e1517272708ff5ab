/// Bytes of a message in a sentence for people: cut short, on one line, and without U+0000, which a database refuses.
package enum Excerpt {
    static let bytesMax = 80

    package static func quoted(_ bytes: some Collection<UInt8>) -> String { "\"\(Self.bare(bytes))\"" }

    package static func bare(_ bytes: some Collection<UInt8>) -> String {
        var end = bytes.endIndex
        if let cut = bytes.index(bytes.startIndex, offsetBy: Self.bytesMax, limitedBy: bytes.endIndex), cut < end {
            // Not within a character: its continuation bytes would show as replacement characters.
            end = cut
            while end > bytes.startIndex, bytes[end] & 0xC0 == 0x80 { bytes.formIndex(&end, offsetBy: -1) }
        }
        var text = ""
        for scalar in String(decoding: bytes[..<end], as: UTF8.self).unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        return end < bytes.endIndex ? text + "…" : text
    }
}
