/// Digits of a decimal number, eight at a time and branch-free, because digit counts are unpredictable.
@usableFromInline
package enum EightDigits {
    /// - Parameters:
    ///   - word: digits as they stand in memory, read little-endian; the last is in the uppermost byte.
    ///   - empty: how many of the lower bits hold none, whatever is in them; a multiple of 8 below 64.
    /// - Returns: each digit's value in its byte, and zeros in the others; `nil` where something is no digit.
    @inlinable
    @inline(__always)
    package static func values(_ word: UInt64, empty: UInt64) -> UInt64? {
        let digits = ((word ^ 0x3030_3030_3030_3030) &>> empty) &<< empty
        guard ((digits &+ 0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 == 0 else { return nil }
        return digits
    }

    /// The number that such values make: pairs, fours, all eight (D. Lemire, "Quickly parsing eight digits").
    @inlinable
    @inline(__always)
    package static func number(_ digits: UInt64) -> UInt64 {
        let pairs = digits &* 10 &+ (digits &>> 8)
        let fours: UInt64 = 0x0000_00FF_0000_00FF
        return ((pairs & fours) &* 0x000F_4240_0000_0064 &+ ((pairs &>> 16) & fours) &* 0x0000_2710_0000_0001) &>> 32
    }
}
