/// A value's text in its message, as the fast path reads it: plain words, without retains or uniqueness checks.
struct FastPathText {
    let start: UnsafeRawPointer
    let count: Int
    /// How many bytes may be read from `start` on: the rest of the message.
    let readable: Int

    /// - Parameter bytes: of the message.
    /// - Returns: `nil` for a message without any bytes.
    @inline(__always)
    init?(_ source: ByteRange, of bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return nil }
        let range = source.range
        precondition(range.upperBound <= bytes.count)
        self.start = base + range.lowerBound
        self.count = range.count
        self.readable = bytes.count &- range.lowerBound
    }

    /// - Returns: `nil` for no bytes.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return nil }
        self.start = base
        self.count = bytes.count
        self.readable = bytes.count
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.start, count: self.count) }

    @inline(__always)
    func byte(_ index: Int) -> UInt8 { self.start.load(fromByteOffset: index, as: UInt8.self) }

    /// Eight bytes, the first one lowest.
    @inline(__always)
    func word(_ index: Int) -> UInt64 {
        UInt64(littleEndian: self.start.loadUnaligned(fromByteOffset: index, as: UInt64.self))
    }
}
