/// An exact decimal number of any size, read from text into buffers that are used again and again.
/// Nothing here goes through a `Double`, so 2^53+1, 2^64-1 and every digit after the point survive.
package struct Decimal: Sendable {
    /// Largest power of ten accepted on either side of the point: PostgreSQL's own bound for `numeric`.
    package static let integerDigitsMax = 131_072
    package static let fractionDigitsMax = 16_383

    package private(set) var isNegative = false
    /// The digits, 0 to 9, most significant first, without leading zeros. Empty is zero.
    package private(set) var digits: [UInt8] = []
    /// How many of the digits stand after the point; never negative, may exceed `digits.count`.
    package private(set) var scale = 0

    /// How many zeros exponents may still add. ``parse(_:)`` takes off what it adds.
    private var zerosLeft = Int.max

    package init() {
        self.digits.reserveCapacity(40)
    }

    /// Bounds what exponents add to a text of so many bytes: `1e131071` is eight bytes and a number of 131,072 digits, so
    /// that a line of a few kilobytes would take gigabytes. What a `double` can hold, or a list of them, is within it.
    package mutating func boundZeros(forTextOf count: Int) {
        self.zerosLeft = min(
            Self.zerosAtLeast + Self.zerosPerByte * count,
            (16 << 20) + 4 * count
        )
    }

    private static let zerosAtLeast = 512
    private static let zerosPerByte = 128

    /// What a number has to keep to, for people.
    static let bounds =
        "of at most \(integerDigitsMax) digits before the decimal point and \(fractionDigitsMax) after it, whose exponent "
        + "adds at most \(zerosAtLeast) zeros and \(zerosPerByte) for each byte of its text"

    /// Reads a number that is a value of its own, whatever was read before: as ``parse(_:)``, with the bound for its text.
    package mutating func parse(alone text: Span<UInt8>) -> Bool {
        self.boundZeros(forTextOf: text.count)
        return self.parse(text)
    }

    /// Reads `[-+]digits[.digits][e[-+]digits]`.
    /// - Returns: `false` when the text is not a number, or is beyond what `numeric` can hold.
    package mutating func parse(_ text: Span<UInt8>) -> Bool {
        self.digits.removeAll(keepingCapacity: true)
        self.isNegative = false
        self.scale = 0
        var index = 0
        let end = text.count
        if index < end, text[index] == UInt8(ascii: "-") || text[index] == UInt8(ascii: "+") {
            self.isNegative = text[index] == UInt8(ascii: "-")
            index += 1
        }
        var digitCount = 0
        var seenPoint = false
        while index < end {
            let byte = text[index]
            if byte &- 0x30 < 10 {
                digitCount += 1
                if seenPoint { self.scale += 1 }
                if byte != 0x30 || !self.digits.isEmpty { self.digits.append(byte &- 0x30) }
            } else if byte == UInt8(ascii: "."), !seenPoint {
                seenPoint = true
            } else {
                break
            }
            index += 1
        }
        guard digitCount > 0 else { return false }
        if index < end {
            guard let exponent = Self.exponent(text, from: index) else { return false }
            self.scale -= exponent
            guard self.takeZeros() else { return false }
        }
        return self.normalizeScale()
    }

    /// Reads an unsigned number, most significant byte first, or a two's complement one.
    package mutating func parse(bigEndian bytes: [UInt8], isSigned: Bool, scale: Int) -> Bool {
        let scales = -Self.fractionDigitsMax...Self.fractionDigitsMax
        guard bytes.count <= 4096, scales.contains(scale) else { return false }
        var magnitude = bytes
        self.isNegative = isSigned && (bytes.first ?? 0) >= 0x80
        if self.isNegative {
            var carry = true
            for index in magnitude.indices.reversed() {
                magnitude[index] = ~magnitude[index]
                if carry { (magnitude[index], carry) = magnitude[index].addingReportingOverflow(1) }
            }
        }
        // Repeated division by ten, a byte at a time: values of this form are a few dozen bytes long.
        var reversed: [UInt8] = []
        var first = magnitude.firstIndex { $0 != 0 } ?? magnitude.count
        while first < magnitude.count {
            var remainder = 0
            for index in first..<magnitude.count {
                let value = remainder << 8 | Int(magnitude[index])
                magnitude[index] = UInt8(value / 10)
                remainder = value % 10
            }
            reversed.append(UInt8(remainder))
            while first < magnitude.count, magnitude[first] == 0 { first += 1 }
        }
        self.digits.removeAll(keepingCapacity: true)
        self.digits.append(contentsOf: reversed.reversed())
        self.scale = scale
        guard self.takeZeros() else { return false }
        return self.normalizeScale()
    }

    /// Takes the zeros off that the number has beside its digits: a zero has those behind its point, as `numeric` keeps
    /// them.
    private mutating func takeZeros() -> Bool {
        let zeros =
            self.digits.isEmpty
            ? max(0, min(self.scale, Self.fractionDigitsMax))
            : max(0, max(-self.scale, self.scale - self.digits.count))
        guard zeros <= self.zerosLeft else { return false }
        self.zerosLeft -= zeros
        return true
    }

    /// Adds 2^64, for an unsigned 64-bit number that a source wrote as a signed one.
    package mutating func addTwoToThe64() {
        guard self.isNegative, self.scale == 0 else { return }
        var value: UInt64 = 0
        for digit in self.digits {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowAgain) = product.addingReportingOverflow(UInt64(digit))
            guard !overflow, !overflowAgain else { return }
            value = sum
        }
        guard value <= 1 << 63 else { return }
        let unsigned = 0 &- value
        self.isNegative = false
        self.digits = String(unsigned).utf8.map { $0 - 0x30 }
    }

    private static func exponent(_ text: Span<UInt8>, from start: Int) -> Int? {
        var index = start
        guard text[index] | 0x20 == UInt8(ascii: "e") else { return nil }
        index += 1
        var isNegative = false
        if index < text.count, text[index] == UInt8(ascii: "-") || text[index] == UInt8(ascii: "+") {
            isNegative = text[index] == UInt8(ascii: "-")
            index += 1
        }
        guard index < text.count, text.count - index <= 9 else { return nil }
        var value = 0
        while index < text.count {
            guard text[index] &- 0x30 < 10 else { return nil }
            value = value * 10 + Int(text[index] &- 0x30)
            index += 1
        }
        return isNegative ? -value : value
    }

    /// Brings the scale to zero or more and refuses what `numeric` cannot hold.
    private mutating func normalizeScale() -> Bool {
        if self.digits.isEmpty {
            self.isNegative = false
            self.scale = max(0, min(self.scale, Self.fractionDigitsMax))
            return true
        }
        guard self.digits.count - self.scale <= Self.integerDigitsMax else { return false }
        if self.scale < 0 {
            self.digits.append(contentsOf: repeatElement(0, count: -self.scale))
            self.scale = 0
        }
        return self.scale <= Self.fractionDigitsMax
    }

    /// How many digits the number has between its first and its last that is not zero.
    package var significantDigits: Int {
        (self.digits.lastIndex { $0 != 0 } ?? -1) + 1
    }

    package var isZero: Bool { self.digits.isEmpty }

    /// The fraction's digits without trailing zeros.
    private var significantScale: Int {
        var scale = self.scale
        var index = self.digits.count
        while scale > 0, index > 0, self.digits[index - 1] == 0 {
            scale -= 1
            index -= 1
        }
        return index == 0 ? 0 : scale
    }

    /// The value as a 64-bit integer; `nil` when it has a fraction or does not fit.
    package var int64: Int64? {
        guard !self.isZero else { return 0 }
        guard self.significantScale == 0 else { return nil }
        let count = self.digits.count - self.scale
        guard count <= 19 else { return nil }
        var magnitude: UInt64 = 0
        for index in 0..<count {
            magnitude = magnitude &* 10 &+ UInt64(self.digits[index])
        }
        if self.isNegative {
            return magnitude <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
        }
        return Int64(exactly: magnitude)
    }

    /// Gives the number exactly `scale` digits after the point; with a negative one it has to be a multiple of that power
    /// of ten, as PostgreSQL would round it to.
    /// - Returns: `false` when that would round it, or when it then has more than `precision` digits.
    package mutating func fit(precision: Int, scale: Int) -> Bool {
        let shown = max(scale, 0)
        guard self.significantScale <= shown else { return false }
        if self.isZero {
            self.scale = shown
            return true
        }
        if self.scale > shown {
            self.digits.removeLast(self.scale - shown)
        } else {
            self.digits.append(contentsOf: repeatElement(0, count: shown - self.scale))
        }
        self.scale = shown
        guard scale < 0 else { return self.digits.count <= precision }
        return self.digits.suffix(-scale).allSatisfy { $0 == 0 } && self.digits.count + scale <= precision
    }

    /// Takes away zeros at the end of the fraction, so that equal numbers are written alike.
    package mutating func normalize() {
        let scale = self.significantScale
        if self.isZero {
            self.scale = 0
        } else {
            self.digits.removeLast(self.scale - scale)
            self.scale = scale
        }
    }
}

extension Decimal: Equatable {
    /// Whether both are written alike; equal numbers are, once they are normalized.
    package static func == (left: Decimal, right: Decimal) -> Bool {
        left.isNegative == right.isNegative && left.scale == right.scale && left.digits == right.digits
    }

    /// Takes every digit of a finite binary number, without zeros at the end of the fraction.
    package mutating func set(exactly number: Double) {
        self.digits.removeAll(keepingCapacity: true)
        self.isNegative = number < 0
        self.scale = 0
        // Base 10^9, the least significant limb first; 2^-n is 5^n with n digits after the point.
        let significand = number.significandBitPattern | (number.isNormal ? 1 << 52 : 0)
        let exponent = number.isNormal ? Int(number.exponent) - 52 : -1074
        let base: UInt64 = 1_000_000_000
        var limbs = [significand % base, significand / base]
        let factor: UInt64 = exponent < 0 ? 5 : 2
        for _ in 0..<abs(exponent) {
            var carry: UInt64 = 0
            for index in limbs.indices {
                let product = limbs[index] * factor + carry
                limbs[index] = product % base
                carry = product / base
            }
            if carry > 0 { limbs.append(carry) }
        }
        for limb in limbs.reversed() {
            var divisor = base / 10
            while divisor > 0 {
                let digit = UInt8(limb / divisor % 10)
                if digit > 0 || !self.digits.isEmpty { self.digits.append(digit) }
                divisor /= 10
            }
        }
        self.scale = self.isZero ? 0 : max(0, -exponent)
        self.normalize()
    }
}

// MARK: - What a number becomes

extension Decimal {
    /// Appends the plain form, `-12.50`, as PostgreSQL prints `numeric`.
    package func appendText(to output: inout [UInt8]) {
        if self.isNegative { output.append(UInt8(ascii: "-")) }
        let integerCount = self.digits.count - self.scale
        if integerCount <= 0 { output.append(UInt8(ascii: "0")) }
        for (index, digit) in self.digits.enumerated() where index < integerCount { output.append(digit &+ 0x30) }
        guard self.scale > 0 else { return }
        output.append(UInt8(ascii: "."))
        if integerCount < 0 { output.append(contentsOf: repeatElement(0x30, count: -integerCount)) }
        for index in max(0, integerCount)..<max(self.digits.count, max(0, integerCount)) {
            output.append(self.digits[index] &+ 0x30)
        }
    }

    /// Appends PostgreSQL's binary form: count, weight, sign, display scale, then digits to base 10,000.
    package func appendPostgresBinary(to output: inout [UInt8]) {
        let integerCount = self.digits.count - self.scale
        // Groups of four digits are counted from the point, to the left and to the right.
        let weight = integerCount > 0 ? (integerCount - 1) / 4 : -((-integerCount) / 4) - 1
        var groups: [UInt16] = []
        var position = integerCount - (weight + 1) * 4
        while position < self.digits.count {
            var group: UInt16 = 0
            for index in position..<(position + 4) {
                let digit = index >= 0 && index < self.digits.count ? self.digits[index] : 0
                group = group * 10 + UInt16(digit)
            }
            groups.append(group)
            position += 4
        }
        while groups.last == 0 { groups.removeLast() }
        output.appendBigEndian(UInt16(groups.count))
        output.appendBigEndian(UInt16(bitPattern: Int16(groups.isEmpty ? 0 : weight)))
        output.appendBigEndian(self.isNegative ? 0x4000 as UInt16 : 0)
        output.appendBigEndian(UInt16(self.scale))
        for group in groups { output.appendBigEndian(group) }
    }

    /// Appends the number as a part of an order key.
    package func appendOrderBytes(_ layout: NumberLayout, to output: inout [UInt8]) {
        guard !self.isZero else {
            output.append(layout.zero)
            return
        }
        let flip: UInt8 = self.isNegative ? 0xFF : 0x00
        let lead = layout.lead(isNegative: self.isNegative, exponent: self.digits.count - self.scale)
        for index in (0..<lead.count).reversed() {
            output.append(UInt8(truncatingIfNeeded: lead.bytes >> UInt32(8 * index)))
        }
        var end = self.digits.count
        while self.digits[end - 1] == 0 { end -= 1 }
        var index = 0
        while index < end {
            let low = index + 1 < end ? self.digits[index + 1] : 0
            output.append(layout.pair(self.digits[index] &* 10 &+ low, isLast: index + 2 >= end) ^ flip)
            index += 2
        }
        if layout == .wide { output.append(flip) }
    }
}

extension [UInt8] {
    package mutating func appendBigEndian<Integer: FixedWidthInteger>(_ value: Integer) {
        Swift.withUnsafeBytes(of: value.bigEndian) { self.append(contentsOf: $0) }
    }
}
