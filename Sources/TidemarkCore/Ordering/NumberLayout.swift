/// How the numbers of an order key are laid out: sign and power of ten first, then the digits in pairs. In both layouts the
/// order of the bytes (`memcmp`) is that of the numbers, and a number says where it ends. A projection keeps the layout that it
/// was created with: the order keys of what was forgotten or pruned cannot be computed anew.
package enum NumberLayout: String, Sendable, Hashable {
    /// A byte for the sign, three for the power of ten, a byte for each pair, and an end mark.
    case wide
    /// One byte for sign and power of ten where the number has 1 to 60 digits before the point, and four otherwise; a byte
    /// for each pair, twice its value, and one more where another pair follows. So does the key encoding of SQLite4
    /// (`www/key_encoding.wiki` of its sources) lay out digits.
    case short

    package static let current = NumberLayout.short

    /// Numbers with so many digits before the point have the short lead.
    private static let shortExponents = 1...60

    var zero: UInt8 { self == .wide ? 0x02 : 0x80 }

    func infinity(isNegative: Bool) -> UInt8 {
        if isNegative { return 0x00 }
        return self == .wide ? 0x04 : 0xFF
    }

    /// What stands before the digits of a number that is not zero.
    /// - Parameter exponent: its digits before the point; 0 and below for those that begin with so many zeros behind it.
    /// - Returns: the bytes, the last one lowest, and how many they are.
    @inline(__always)
    func lead(isNegative: Bool, exponent: Int) -> (bytes: UInt32, count: Int) {
        let biased = UInt32(truncatingIfNeeded: exponent + 0x40_0000)
        if self == .wide {
            return (isNegative ? 0x0100_0000 | ~biased & 0xFF_FFFF : 0x0300_0000 | biased, 4)
        }
        if Self.shortExponents.contains(exponent) {
            let byte = UInt32(truncatingIfNeeded: 0x81 + exponent)
            return (isNegative ? ~byte & 0xFF : byte, 1)
        }
        let lead = (exponent < Self.shortExponents.lowerBound ? 0x8100_0000 : 0xBE00_0000) | biased
        return (isNegative ? ~lead : lead, 4)
    }

    /// A pair of digits of a positive number; the complement stands in a negative one.
    @inline(__always)
    func pair(_ value: UInt8, isLast: Bool) -> UInt8 {
        self == .wide ? value &+ 1 : value &* 2 &+ (isLast ? 0 : 1)
    }
}
