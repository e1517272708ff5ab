#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Bytes that are written again and again, in memory of their own. Unlike an array it has one owner, so appending asks
/// nobody's leave: a byte costs a comparison and a store.
package struct ByteSink: ~Copyable {
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    package private(set) var count = 0

    package init(capacity: Int = 256) {
        self.base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit {
        self.base.deallocate()
    }

    package var isEmpty: Bool { self.count == 0 }

    package subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < self.count)
        return self.base[index]
    }

    package var array: [UInt8] { Array(UnsafeBufferPointer(start: self.base, count: self.count)) }

    /// Lends the bytes, or a range of them.
    @inline(__always)
    package func withSpan<Result>(_ range: Range<Int>? = nil, _ body: (Span<UInt8>) -> Result) -> Result {
        let range = range ?? 0..<self.count
        precondition(range.lowerBound >= 0 && range.upperBound <= self.count)
        let bytes = UnsafeBufferPointer(start: self.base + range.lowerBound, count: range.count)
        return body(bytes.span)
    }

    // MARK: Writing

    /// Drops what stands behind the first `count` bytes; their memory stays.
    @inline(__always)
    package mutating func truncate(to count: Int = 0) {
        precondition(count >= 0 && count <= self.count)
        self.count = count
    }

    @inline(__always)
    package mutating func reserve(_ more: Int) {
        if self.count &+ more > self.capacity { self.grow(by: more) }
    }

    @inline(never)
    private mutating func grow(by more: Int) {
        let capacity = max(2 * self.capacity, self.count + more)
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        base.update(from: self.base, count: self.count)
        self.base.deallocate()
        self.base = base
        self.capacity = capacity
    }

    @inline(__always)
    package mutating func append(_ byte: UInt8) {
        self.reserve(1)
        self.base[self.count] = byte
        self.count &+= 1
    }

    @inline(__always)
    package mutating func append(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { self.append($0) }
    }

    /// Short ones are most: they are moved in two overlapping words, without a call.
    @inline(__always)
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        let count = bytes.count
        self.reserve(count)
        let target = UnsafeMutableRawPointer(self.base + self.count)
        if count >= 8, count <= 16 {
            let first = source.loadUnaligned(as: UInt64.self)
            let last = source.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            target.storeBytes(of: first, as: UInt64.self)
            target.storeBytes(of: last, toByteOffset: count &- 8, as: UInt64.self)
        } else if count >= 4, count < 8 {
            let first = source.loadUnaligned(as: UInt32.self)
            let last = source.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
            target.storeBytes(of: first, as: UInt32.self)
            target.storeBytes(of: last, toByteOffset: count &- 4, as: UInt32.self)
        } else if count > 16, count <= 32 {
            let first = source.loadUnaligned(as: SIMD16<UInt8>.self)
            let last = source.loadUnaligned(fromByteOffset: count &- 16, as: SIMD16<UInt8>.self)
            target.storeBytes(of: first, as: SIMD16<UInt8>.self)
            target.storeBytes(of: last, toByteOffset: count &- 16, as: SIMD16<UInt8>.self)
        } else if count < 4 {
            for index in 0..<count {
                target.storeBytes(
                    of: source.load(fromByteOffset: index, as: UInt8.self),
                    toByteOffset: index,
                    as: UInt8.self
                )
            }
        } else {
            target.copyMemory(from: source, byteCount: count)
        }
        self.count &+= count
    }

    @inline(__always)
    package mutating func append(_ bytes: [UInt8]) {
        self.append(bytes.span)
    }

    package mutating func append(_ text: StaticString) {
        self.append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount).span)
    }

    @inline(__always)
    package mutating func append(_ other: borrowing ByteSink, _ range: Range<Int>? = nil) {
        other.withSpan(range) { self.append($0) }
    }

    @inline(__always)
    package mutating func appendBigEndian<Integer: FixedWidthInteger>(_ value: Integer) {
        let size = MemoryLayout<Integer>.size
        self.reserve(size)
        UnsafeMutableRawPointer(self.base + self.count).storeBytes(of: value.bigEndian, as: Integer.self)
        self.count &+= size
    }

    /// Fills in the four bytes at `offset` with how many follow them.
    @inline(__always)
    package mutating func storeLength(at offset: Int) {
        precondition(offset >= 0 && offset + 4 <= self.count)
        let length = UInt32(truncatingIfNeeded: self.count - offset - 4)
        UnsafeMutableRawPointer(self.base + offset).storeBytes(of: length.bigEndian, as: UInt32.self)
    }

    /// Puts in front of the bytes behind `offset` how many they are, and so where they end: in the byte at `offset`, as
    /// `base` and the count, or, where that is too large for a byte, as 255 and the count in four bytes.
    /// - Returns: where the bytes are now.
    @inline(__always)
    package mutating func storeCount(at offset: Int, base: UInt8) -> Range<Int> {
        precondition(offset >= 0 && offset < self.count)
        let count = self.count - offset - 1
        guard count < Int(UInt8.max - base) else { return self.storeLargeCount(count, at: offset) }
        self.base[offset] = base + UInt8(truncatingIfNeeded: count)
        return offset + 1..<self.count
    }

    private mutating func storeLargeCount(_ count: Int, at offset: Int) -> Range<Int> {
        let size = MemoryLayout<UInt32>.size
        self.reserve(size)
        let start = UnsafeMutableRawPointer(self.base + offset + 1)
        memmove(start + size, start, count)
        self.base[offset] = .max
        start.storeBytes(of: UInt32(truncatingIfNeeded: count).bigEndian, as: UInt32.self)
        self.count += size
        return offset + 1 + size..<self.count
    }

    /// Appends a JSON string that stands for the bytes, which are UTF-8.
    package mutating func appendJSONString(_ bytes: Span<UInt8>) {
        guard bytes.needsEscape else {
            self.append(UInt8(ascii: "\""))
            self.append(bytes)
            return self.append(UInt8(ascii: "\""))
        }
        var text: [UInt8] = []
        JSONText.appendString(bytes, to: &text)
        self.append(text)
    }
}
