internal import PlatformC
internal import TidemarkCore

/// What the formats read from, and write into, the bytes of a message.
extension [UInt8] {
    /// The whole number without sign in `range`; `nil` when there are other characters, or more than 64 bits.
    func unsigned(in range: ByteRange) -> UInt64? {
        self.unsigned(in: range.range)
    }

    func unsigned(in range: Range<Int>) -> UInt64? {
        precondition(range.lowerBound >= 0 && range.upperBound <= self.count)
        guard !range.isEmpty else { return nil }
        return self.withUnsafeBufferPointer { bytes in
            var value: UInt64 = 0
            // Nineteen digits cannot overflow.
            let unchecked = Swift.min(range.upperBound, range.lowerBound &+ 19)
            var index = range.lowerBound
            while index < unchecked {
                let digit = bytes[index] &- 0x30
                guard digit < 10 else { return nil }
                value = value &* 10 &+ UInt64(digit)
                index &+= 1
            }
            for index in unchecked..<range.upperBound {
                let digit = bytes[index] &- 0x30
                guard digit < 10 else { return nil }
                let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
                let (sum, isStillTooLarge) = product.addingReportingOverflow(UInt64(digit))
                guard !isTooLarge, !isStillTooLarge else { return nil }
                value = sum
            }
            return value
        }
    }

    func integer(in range: ByteRange) -> Int64? {
        guard !range.isEmpty else { return nil }
        let isNegative = self[Int(range.start)] == UInt8(ascii: "-")
        let digits = range.range.dropFirst(isNegative ? 1 : 0)
        guard let magnitude = self.unsigned(in: digits) else { return nil }
        if isNegative { return magnitude <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil }
        return Int64(exactly: magnitude)
    }

    @inline(__always)
    func matches(_ range: ByteRange, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard Int(range.count) == count else { return false }
        precondition(range.range.upperBound <= self.count)
        return self.withUnsafeBytes { bytes in
            guard count > 0, let start = bytes.baseAddress else { return true }
            return memcmp(start + Int(range.start), text.utf8Start, count) == 0
        }
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
        precondition(range.lowerBound >= 0 && range.upperBound <= self.count)
        return self.withUnsafeBufferPointer { bytes in
            var index = range.upperBound
            while index > range.lowerBound {
                index -= 1
                if bytes[index] == byte { return index }
            }
            return nil
        }
    }

    /// Appends the text of the table `first.second`, or of `second` alone when `first` is missing or empty, and returns
    /// where it stands: ``TableName`` says how.
    mutating func appendTable(_ first: ByteRange?, _ second: ByteRange) -> ByteRange {
        guard let first, !first.isEmpty else {
            return self.needsQuotes(second) ? self.appendQuotedTable([second]) : second
        }
        guard !self.needsQuotes(first), !self.needsQuotes(second) else {
            return self.appendQuotedTable([first, second])
        }
        let (start, dot) = (self.count, Int(first.count))
        precondition(first.range.upperBound <= start && second.range.upperBound <= start)
        self.append(dot + 1 + Int(second.count)) { target, own in
            target.copyMemory(from: own + Int(first.start), byteCount: dot)
            target.storeBytes(of: UInt8(ascii: "."), toByteOffset: dot, as: UInt8.self)
            (target + dot + 1).copyMemory(from: own + Int(second.start), byteCount: Int(second.count))
        }
        return ByteRange(start: start, end: self.count)
    }

    @inline(__always)
    private func needsQuotes(_ part: ByteRange) -> Bool {
        precondition(part.range.upperBound <= self.count)
        return self.withUnsafeBytes { TableName.needsQuotes(UnsafeRawBufferPointer(rebasing: $0[part.range])) }
    }

    @inline(never)
    private mutating func appendQuotedTable(_ parts: [ByteRange]) -> ByteRange {
        let start = self.count
        for (index, part) in parts.enumerated() {
            TableName.append(Array(self[part.range])[...], to: &self, isFirst: index == 0)
        }
        return ByteRange(start: start, end: self.count)
    }

    mutating func appendCopy(of range: ByteRange) {
        precondition(range.range.upperBound <= self.count)
        self.append(Int(range.count)) { target, own in
            target.copyMemory(from: own + Int(range.start), byteCount: Int(range.count))
        }
    }

    /// Appends `count` bytes, which `body` makes of the array's own: a slice of it, appended to it, would have it copied
    /// first.
    @inline(__always)
    private mutating func append(
        _ count: Int,
        _ body: (_ target: UnsafeMutableRawPointer, _ own: UnsafeRawPointer) -> Void
    ) {
        let start = self.count
        // One more: an empty buffer has no address.
        self.append(addingCapacity: count + 1) { output in
            output.withUnsafeMutableBufferPointer { added, written in
                guard let target = added.baseAddress else { preconditionFailure("bytes need room") }
                body(UnsafeMutableRawPointer(target), UnsafeRawPointer(target - start))
                written = count
            }
        }
    }

    /// Appends a number in digits of `radix`, at most 16.
    mutating func append(number: UInt64, radix: UInt64 = 10) {
        let digits: StaticString = "0123456789ABCDEF"
        var reversed = InlineArray<20, UInt8>(repeating: 0)
        var count = 0
        var rest = number
        repeat {
            reversed[count] = digits.utf8Start[Int(rest % radix)]
            count += 1
            rest /= radix
        } while rest > 0
        while count > 0 {
            count -= 1
            self.append(reversed[count])
        }
    }
}

/// A producer's clock in microseconds; `nil` where it leaves what a timestamp can hold.
enum WireTime {
    static func microseconds(seconds: Int64?) -> Int64? { Self.scaled(seconds, by: 1_000_000) }
    static func microseconds(milliseconds: Int64?) -> Int64? { Self.scaled(milliseconds, by: 1000) }
    static func microseconds(_ microseconds: Int64?) -> Int64? { Self.scaled(microseconds, by: 1) }
    static func microseconds(nanoseconds: Int64?) -> Int64? {
        Self.scaled(nanoseconds?.dividedRoundingDown(by: 1000), by: 1)
    }

    private static func scaled(_ value: Int64?, by factor: Int64) -> Int64? {
        guard let value else { return nil }
        let (microseconds, isTooLarge) = value.multipliedReportingOverflow(by: factor)
        guard !isTooLarge, CalendarText.timestampRange.contains(microseconds) else { return nil }
        return microseconds
    }
}
