internal import TidemarkCore

/// What the formats read from, and write into, the bytes of a message.
extension [UInt8] {
    /// The whole number without sign in `range`; `nil` when there are other characters, or more than 64 bits.
    func unsigned(in range: ByteRange) -> UInt64? {
        self.unsigned(in: range.range)
    }

    func unsigned(in range: Range<Int>) -> UInt64? {
        guard !range.isEmpty else { return nil }
        var value: UInt64 = 0
        for index in range {
            let digit = self[index] &- 0x30
            guard digit < 10 else { return nil }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isStillTooLarge) = product.addingReportingOverflow(UInt64(digit))
            guard !isTooLarge, !isStillTooLarge else { return nil }
            value = sum
        }
        return value
    }

    func integer(in range: ByteRange) -> Int64? {
        guard !range.isEmpty else { return nil }
        let isNegative = self[Int(range.start)] == UInt8(ascii: "-")
        let digits = range.range.dropFirst(isNegative ? 1 : 0)
        guard let magnitude = self.unsigned(in: digits) else { return nil }
        if isNegative { return magnitude <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil }
        return Int64(exactly: magnitude)
    }

    func matches(_ range: ByteRange, _ text: StaticString) -> Bool {
        guard Int(range.count) == text.utf8CodeUnitCount else { return false }
        let start = Int(range.start)
        for index in 0..<text.utf8CodeUnitCount where self[start + index] != text.utf8Start[index] { return false }
        return true
    }

    /// Whether `range` holds exactly `other`, eight bytes at a time: schemas are long, and compared in each message.
    func equals(_ range: ByteRange, _ other: [UInt8]) -> Bool {
        guard Int(range.count) == other.count else { return false }
        let left = self.span.bytes.extracting(range.range)
        let right = other.span.bytes
        var offset = 0
        while offset + 8 <= right.byteCount {
            guard
                left.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    == right.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            else { return false }
            offset += 8
        }
        while offset < right.byteCount {
            guard self[Int(range.start) + offset] == other[offset] else { return false }
            offset += 1
        }
        return true
    }

    func last(_ byte: UInt8, in range: Range<Int>) -> Int? {
        self[range].lastIndex(of: byte)
    }

    /// Appends `first.second`, or `second` alone when `first` is missing or empty, and returns where it stands.
    mutating func appendTable(_ first: ByteRange?, _ second: ByteRange) -> ByteRange {
        guard let first, !first.isEmpty else { return second }
        let start = self.count
        self.appendCopy(of: first)
        self.append(UInt8(ascii: "."))
        self.appendCopy(of: second)
        return ByteRange(start: start, end: self.count)
    }

    /// Byte by byte: a slice of the array, appended to the array, would have it copied first.
    mutating func appendCopy(of range: ByteRange) {
        self.reserveCapacity(self.count + Int(range.count))
        for index in range.range { self.append(self[index]) }
    }

    mutating func appendText(_ text: String) {
        self.append(contentsOf: text.utf8)
    }
}

/// A producer's clock in microseconds; `nil` where it leaves what a timestamp can hold.
enum WireTime {
    static func microseconds(seconds: Int64?) -> Int64? { Self.scaled(seconds, by: 1_000_000) }
    static func microseconds(milliseconds: Int64?) -> Int64? { Self.scaled(milliseconds, by: 1000) }
    static func microseconds(_ microseconds: Int64?) -> Int64? { Self.scaled(microseconds, by: 1) }

    private static func scaled(_ value: Int64?, by factor: Int64) -> Int64? {
        guard let value else { return nil }
        let (microseconds, isTooLarge) = value.multipliedReportingOverflow(by: factor)
        guard !isTooLarge, CalendarText.timestampRange.contains(microseconds) else { return nil }
        return microseconds
    }
}
