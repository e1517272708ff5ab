/// An order key's first bytes as numbers, with zeros behind a shorter one: where two differ they tell which key is the
/// greater; where they are equal, only the keys themselves do.
package struct OrderKeyPrefix: Sendable, Comparable {
    /// Reaches into a position: its tag and epoch take nine bytes.
    private static let byteCount = 24

    private var first: UInt64 = 0
    private var second: UInt64 = 0
    private var third: UInt64 = 0

    /// Of no bytes.
    package init() {}

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        if bytes.count >= Self.byteCount, let base = bytes.baseAddress {
            self.first = base.loadUnaligned(as: UInt64.self).bigEndian
            self.second = base.loadUnaligned(fromByteOffset: 8, as: UInt64.self).bigEndian
            self.third = base.loadUnaligned(fromByteOffset: 16, as: UInt64.self).bigEndian
        } else {
            self.first = Self.word(bytes.prefix(8))
            self.second = Self.word(bytes.dropFirst(8).prefix(8))
            self.third = Self.word(bytes.dropFirst(16))
        }
    }

    @inline(never)
    private static func word(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt64 {
        var word: UInt64 = 0
        for byte in bytes { word = word << 8 | UInt64(byte) }
        return bytes.isEmpty ? 0 : word << UInt64(8 * (8 - bytes.count))
    }

    package static func < (left: OrderKeyPrefix, right: OrderKeyPrefix) -> Bool {
        if left.first != right.first { return left.first < right.first }
        if left.second != right.second { return left.second < right.second }
        return left.third < right.third
    }
}
