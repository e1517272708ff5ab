/// A number as it nearly always comes: up to 18 digits in their shortest form, perhaps with a decimal point. What it
/// becomes is what ``Decimal`` makes of the same text, without its buffers; all other numbers are left to that.
package struct PlainNumber: Sendable {
    package let isNegative: Bool
    /// All digits, as if there were no point.
    package let magnitude: UInt64
    /// How many of the digits stand after the point.
    package let scale: Int
    /// How many digits there are without leading zeros; none for zero.
    private let digitCount: Int

    private static let digitsMax = 18

    /// - Returns: `nil` for what is no number, too long, or not in its shortest form (`007`, `-0`, `.5`, `1e3`).
    package init?(_ text: Span<UInt8>) {
        let end = text.count
        let isNegative = end > 0 && text[0] == UInt8(ascii: "-")
        var index = isNegative ? 1 : 0
        let first = index
        var magnitude: UInt64 = 0
        while index < end, text[index] &- 0x30 < 10, index - first < Self.digitsMax {
            magnitude = magnitude &* 10 &+ UInt64(text[index] &- 0x30)
            index += 1
        }
        let wholeCount = index - first
        guard wholeCount > 0, wholeCount == 1 || text[first] != 0x30 else { return nil }
        var scale = 0
        if index < end {
            guard text[index] == UInt8(ascii: "."), end - index - 1 <= Self.digitsMax - wholeCount else { return nil }
            index += 1
            scale = end - index
            guard scale > 0 else { return nil }
            while index < end {
                guard text[index] &- 0x30 < 10 else { return nil }
                magnitude = magnitude &* 10 &+ UInt64(text[index] &- 0x30)
                index += 1
            }
        }
        guard magnitude > 0 || !isNegative else { return nil }
        self.init(isNegative: isNegative, magnitude: magnitude, scale: scale)
    }

    private init(isNegative: Bool, magnitude: UInt64, scale: Int) {
        self.isNegative = isNegative
        self.magnitude = magnitude
        self.scale = scale
        var digitCount = 0
        while digitCount < Self.powers.count, magnitude >= Self.powers[digitCount] { digitCount += 1 }
        self.digitCount = digitCount
    }

    /// The powers of ten that 64 bits hold.
    private static let powers: InlineArray<19, UInt64> = [
        1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000,
        100_000_000_000, 1_000_000_000_000, 10_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000_000,
        10_000_000_000_000_000, 100_000_000_000_000_000, 1_000_000_000_000_000_000,
    ]

    /// The value where it has no fraction.
    package var integer: Int64? {
        guard self.scale == 0 else { return nil }
        return self.isNegative ? -Int64(self.magnitude) : Int64(self.magnitude)
    }

    /// The same number with `scale` digits after the point.
    /// - Returns: `nil` where that takes digits away, has more than `precision` digits, or is too long for this type.
    package func fitting(precision: Int, scale: Int) -> PlainNumber? {
        guard scale >= self.scale, self.digitCount + scale - self.scale <= min(precision, Self.digitsMax) else {
            return nil
        }
        let magnitude = self.magnitude &* Self.powers[scale - self.scale]
        return PlainNumber(isNegative: self.isNegative, magnitude: magnitude, scale: scale)
    }

    /// Appends `-12.50`.
    package func appendText(to output: inout ByteSink) {
        let wholeCount = max(1, self.digitCount - self.scale)
        if self.isNegative { output.append(UInt8(ascii: "-")) }
        var place = wholeCount + self.scale
        var rest = self.magnitude
        while place > 0 {
            if place == self.scale { output.append(UInt8(ascii: ".")) }
            place -= 1
            let power = Self.powers[place]
            let digit = rest / power
            rest -= digit &* power
            output.append(UInt8(truncatingIfNeeded: digit) &+ 0x30)
        }
    }

    /// Appends PostgreSQL's binary form: count, weight, sign, display scale, then digits to base 10,000.
    package func appendPostgresBinary(to output: inout ByteSink) {
        let power = Self.powers[self.scale]
        var whole = self.magnitude / power
        var fraction = self.magnitude % power
        // Groups of four digits are counted from the point, to the left and to the right; at most five and five.
        var groups = InlineArray<10, UInt16>(repeating: 0)
        var wholeCount = 0
        while whole > 0 {
            groups[4 - wholeCount] = UInt16(truncatingIfNeeded: whole % 10_000)
            whole /= 10_000
            wholeCount += 1
        }
        let fractionCount = (self.scale + 3) / 4
        // What the last group lacks may not fit beside the others.
        var last = self.scale - 4 * (fractionCount - 1)
        for place in (0..<fractionCount).reversed() {
            let divisor = Self.powers[last]
            groups[5 + place] = UInt16(truncatingIfNeeded: fraction % divisor &* Self.powers[4 - last])
            fraction /= divisor
            last = 4
        }
        var start = 5 - wholeCount
        var end = 5 + fractionCount
        while start < end, groups[start] == 0 { start += 1 }
        while end > start, groups[end - 1] == 0 { end -= 1 }
        let count = end - start
        output.appendBigEndian(UInt16(truncatingIfNeeded: count))
        output.appendBigEndian(Int16(truncatingIfNeeded: count == 0 ? 0 : 4 - start))
        output.appendBigEndian(self.isNegative ? 0x4000 as UInt16 : 0)
        output.appendBigEndian(UInt16(truncatingIfNeeded: self.scale))
        for place in start..<end { output.appendBigEndian(groups[place]) }
    }

    /// Appends what ``Decimal/appendOrderBytes(to:)`` does.
    package func appendOrderBytes(to output: inout ByteSink) {
        guard self.magnitude > 0 else {
            output.append(0x02)
            return
        }
        let flip: UInt8 = self.isNegative ? 0xFF : 0x00
        let exponent = self.digitCount - self.scale + 0x40_0000
        output.append(self.isNegative ? 0x01 : 0x03)
        output.append(UInt8(truncatingIfNeeded: exponent >> 16) ^ flip)
        output.append(UInt8(truncatingIfNeeded: exponent >> 8) ^ flip)
        output.append(UInt8(truncatingIfNeeded: exponent) ^ flip)
        var rest = self.magnitude
        var place = self.digitCount
        while rest > 0 {
            // An odd number of digits ends with half a pair.
            let pair: UInt64
            if place > 1 {
                pair = rest / Self.powers[place - 2]
                rest -= pair &* Self.powers[place - 2]
            } else {
                pair = rest &* 10
                rest = 0
            }
            place -= 2
            output.append((UInt8(truncatingIfNeeded: pair) &+ 1) ^ flip)
        }
        output.append(flip)
    }
}
