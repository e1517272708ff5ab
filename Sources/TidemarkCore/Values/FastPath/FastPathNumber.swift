/// A number as it nearly always comes: up to 18 digits in their shortest form, perhaps with a decimal point. What it
/// becomes is what ``Decimal`` makes of the same text, without its buffers; all other numbers are left to that.
package struct FastPathNumber: Sendable {
    package let isNegative: Bool
    /// All digits, as if there were no point.
    package let magnitude: UInt64
    /// How many of the digits stand after the point.
    package let scale: Int

    private static let digitsMax = 18

    /// - Returns: `nil` for what is no number, too long, or not in its shortest form (`007`, `-0`, `.5`, `1e3`).
    @inline(never)
    init?(_ text: FastPathText) {
        let end = text.count
        guard end > 0 else { return nil }
        @inline(__always)
        func digit(_ index: Int) -> UInt64 { UInt64(text.byte(index) &- 0x30) }
        let first = text.byte(0) == UInt8(ascii: "-") ? 1 : 0
        // All that can be digits, and one byte more to see that they end.
        let limit = min(end, first &+ Self.digitsMax)
        var index = first
        var magnitude: UInt64 = 0
        while index < limit, digit(index) < 10 {
            magnitude = magnitude &* 10 &+ digit(index)
            index &+= 1
        }
        let wholeCount = index &- first
        guard wholeCount > 0, wholeCount == 1 || digit(first) != 0 else { return nil }
        var scale = 0
        if index < end {
            guard text.byte(index) == UInt8(ascii: ".") else { return nil }
            index &+= 1
            scale = end &- index
            guard scale > 0, scale <= Self.digitsMax &- wholeCount else { return nil }
            while index < end {
                guard digit(index) < 10 else { return nil }
                magnitude = magnitude &* 10 &+ digit(index)
                index &+= 1
            }
        }
        guard magnitude > 0 || first == 0 else { return nil }
        self.init(isNegative: first == 1, magnitude: magnitude, scale: scale)
    }

    package init?(_ text: Span<UInt8>) {
        guard let number = text.withUnsafeBytes({ FastPathText($0).flatMap { FastPathNumber($0) } }) else { return nil }
        self = number
    }

    @inline(__always)
    private init(isNegative: Bool, magnitude: UInt64, scale: Int) {
        self.isNegative = isNegative
        self.magnitude = magnitude
        self.scale = scale
    }

    /// How many digits there are without leading zeros; none for zero.
    @inline(__always)
    private var digitCount: Int {
        // 1233/4096 is a little more than the decimal digits in a binary one: at most one too few.
        let bits = 64 &- self.magnitude.leadingZeroBitCount
        let least = (bits &* 1233) >> 12
        return self.magnitude >= Self.powers[least] ? least &+ 1 : least
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
    package func fitting(precision: Int, scale: Int) -> FastPathNumber? {
        // Zero has no digits, so that these alone do not bound the scale.
        guard scale >= self.scale, scale <= Self.digitsMax,
            self.digitCount + scale - self.scale <= min(precision, Self.digitsMax)
        else { return nil }
        let magnitude = self.magnitude &* Self.powers[scale - self.scale]
        return FastPathNumber(isNegative: self.isNegative, magnitude: magnitude, scale: scale)
    }

    /// Appends PostgreSQL's binary form: count, weight, sign, display scale, then digits to base 10,000.
    @inline(__always)
    func appendPostgresBinary(to output: inout ByteWriter) {
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
        for index in (0..<fractionCount).reversed() {
            let divisor = Self.powers[last]
            groups[5 + index] = UInt16(truncatingIfNeeded: fraction % divisor &* Self.powers[4 - last])
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
        for index in start..<end { output.appendBigEndian(groups[index]) }
    }

    /// Appends what ``Decimal/appendOrderBytes(_:to:)`` does.
    package func appendOrderBytes(_ layout: NumberLayout, to output: inout ByteBuffer) {
        guard self.magnitude > 0 else {
            output.append(layout.zero)
            return
        }
        let flip: UInt8 = self.isNegative ? 0xFF : 0x00
        let digitCount = self.digitCount
        let lead = layout.lead(isNegative: self.isNegative, exponent: digitCount - self.scale)
        for index in (0..<lead.count).reversed() {
            output.append(UInt8(truncatingIfNeeded: lead.bytes >> UInt32(8 * index)))
        }
        var rest = self.magnitude
        var position = digitCount
        while rest > 0 {
            // An odd number of digits ends with half a pair.
            let pair: UInt64
            if position > 1 {
                pair = rest / Self.powers[position - 2]
                rest -= pair &* Self.powers[position - 2]
            } else {
                pair = rest &* 10
                rest = 0
            }
            position -= 2
            output.append(layout.pair(UInt8(truncatingIfNeeded: pair), isLast: rest == 0) ^ flip)
        }
        if layout == .wide { output.append(flip) }
    }
}
