extension Span<UInt8> {
    /// Whether a byte is zero.
    package var hasZero: Bool { self.withUnsafeBytes { $0.hasZero } }

    /// Whether JSON has to escape a byte: a quote, a backslash, a control character.
    package var needsEscape: Bool { self.withUnsafeBytes { $0.needsEscape } }
}

/// Questions about text, eight bytes at a time.
extension UnsafeRawBufferPointer {
    /// Whether `other`, as long as this is, has the same bytes.
    func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index + 8 <= self.count {
            let word = self.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            guard word == other.loadUnaligned(fromByteOffset: index, as: UInt64.self) else { return false }
            index += 8
        }
        while index < self.count {
            guard self[index] == other[index] else { return false }
            index += 1
        }
        return true
    }

    /// As `starts(with:)`, eight bytes at a time.
    func begins(with other: UnsafeRawBufferPointer) -> Bool {
        self.count >= other.count && UnsafeRawBufferPointer(rebasing: self[..<other.count]).isEqual(to: other)
    }

    /// Whether a byte is zero.
    var hasZero: Bool {
        self.hasByte { word in Self.zeros(word) }
    }

    /// Whether JSON has to escape a byte: a quote, a backslash, a control character.
    var needsEscape: Bool {
        self.hasByte { word in
            let quotes = Self.zeros(word ^ Self.ones &* UInt64(UInt8(ascii: "\"")))
            let backslashes = Self.zeros(word ^ Self.ones &* UInt64(UInt8(ascii: "\\")))
            // S. E. Anderson, "Bit Twiddling Hacks": a byte below n, for n up to 128.
            let controls = (word &- Self.ones &* 0x20) & ~word & Self.highs
            return quotes | backslashes | controls
        }
    }

    /// Whether a byte has a meaning in the text of a table's name: a dot, a double quote, `*` or `?`.
    var hasTableSyntax: Bool {
        self.hasByte { word in
            let dots = Self.zeros(word ^ Self.ones &* UInt64(UInt8(ascii: ".")))
            let quotes = Self.zeros(word ^ Self.ones &* UInt64(UInt8(ascii: "\"")))
            let stars = Self.zeros(word ^ Self.ones &* UInt64(UInt8(ascii: "*")))
            let questionMarks = Self.zeros(word ^ Self.ones &* UInt64(UInt8(ascii: "?")))
            return dots | quotes | stars | questionMarks
        }
    }

    private static var ones: UInt64 { 0x0101_0101_0101_0101 }
    private static var highs: UInt64 { 0x8080_8080_8080_8080 }

    /// Not zero where the word has a zero byte.
    @inline(__always)
    private static func zeros(_ word: UInt64) -> UInt64 {
        (word &- Self.ones) & ~word & Self.highs
    }

    @inline(__always)
    private func hasByte(_ matches: (UInt64) -> UInt64) -> Bool {
        var index = 0
        while index + 8 <= self.count {
            guard matches(self.loadUnaligned(fromByteOffset: index, as: UInt64.self)) == 0 else { return true }
            index += 8
        }
        guard index < self.count else { return false }
        // Padding: no searched byte is a space.
        var last: UInt64 = 0x2020_2020_2020_2020
        while index < self.count {
            last = last << 8 | UInt64(self[index])
            index += 1
        }
        return matches(last) != 0
    }
}
