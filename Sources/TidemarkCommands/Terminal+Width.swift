/// The width of text on a terminal: an ideograph takes two columns, a combining mark none.
extension Terminal {
    /// How many columns a text takes. Swift's `count` counts characters, which is another number for CJK and emoji.
    static func width(_ text: some StringProtocol) -> Int {
        text.reduce(0) { $0 + Self.width($1) }
    }

    /// A text with blanks behind it up to `columns`, and whole where it is wider.
    static func padded(_ text: String, to columns: Int) -> String {
        text + String(repeating: " ", count: max(0, columns - Self.width(text)))
    }

    /// The longest beginning of a text that takes at most `columns`.
    static func prefix(_ text: Substring, columns: Int) -> Substring {
        var used = 0
        let end = text.indices.first { index in
            used += Self.width(text[index])
            return used > columns
        }
        return end.map { text[..<$0] } ?? text
    }

    /// The longest end of a text that takes at most `columns`.
    static func suffix(_ text: String, columns: Int) -> Substring {
        var used = 0
        let start = text.indices.reversed().first { index in
            used += Self.width(text[index])
            return used > columns
        }
        return start.map { text[text.index(after: $0)...] } ?? text[...]
    }

    /// A text of at most `columns`, its end cut off where it is wider.
    static func shortened(_ text: String, to columns: Int) -> String {
        Self.width(text) <= columns ? text : Self.prefix(text[...], columns: columns - 1) + "…"
    }

    private static func width(_ character: Character) -> Int {
        if character.isASCII { return 1 }
        return character.unicodeScalars.lazy.map { Self.width($0) }.max() ?? 0
    }

    private static func width(_ scalar: Unicode.Scalar) -> Int {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return scalar.value == 0xFE0F ? 2 : 0
        default: break
        }
        if scalar.properties.isEmojiPresentation { return 2 }
        return Self.wide.contains { $0.contains(scalar.value) } ? 2 : 1
    }

    /// The blocks whose East_Asian_Width is wide or fullwidth, apart from emoji, which Swift knows.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2329...0x232A, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF,
        0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F,
        0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x1F200...0x1F2FF, 0x20000...0x3FFFD,
    ]
}
