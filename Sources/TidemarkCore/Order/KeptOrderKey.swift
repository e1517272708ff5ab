/// An order key that is kept of an entity: in place where it is short, as nearly all are, so that knowing one allocates
/// nothing, and retains nothing.
package struct KeptOrderKey: Sendable, Hashable {
    private enum Storage: Sendable {
        case short(ShortOrderKey)
        case long([UInt8])
    }

    private let storage: Storage

    package init(_ bytes: UnsafeRawBufferPointer) {
        self.storage = ShortOrderKey(bytes).map { .short($0) } ?? .long(Array(bytes))
    }

    package init(_ bytes: [UInt8]) {
        self.storage = bytes.withUnsafeBytes { ShortOrderKey($0) }.map { .short($0) } ?? .long(bytes)
    }

    package init(_ short: ShortOrderKey) { self.storage = .short(short) }

    /// `nil` for a longer one.
    package var short: ShortOrderKey? {
        if case .short(let short) = self.storage { short } else { nil }
    }

    package var array: [UInt8] { self.withBytes { Array($0) } }

    @inline(__always)
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self.storage {
        case .short(let short): short.withBytes(body)
        case .long(let bytes): bytes.withUnsafeBytes(body)
        }
    }

    package static func == (left: KeptOrderKey, right: KeptOrderKey) -> Bool {
        left.withBytes { left in right.withBytes { left.count == $0.count && left.isEqual(to: $0) } }
    }

    package func hash(into hasher: inout Hasher) {
        self.withBytes { hasher.combine(bytes: $0) }
    }
}

/// An order key of at most 56 bytes, in place.
package struct ShortOrderKey: BitwiseCopyable, Sendable {
    package static let countMax = 56

    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
    private var byteCount: UInt8 = 0

    package var count: Int { Int(self.byteCount) }

    /// The key's bytes eight at a time, the first one lowest, and zeros behind the last.
    @inline(__always)
    package subscript(word index: Int) -> UInt64 {
        guard index < Self.countMax / 8 else { return 0 }
        return withUnsafeBytes(of: self.words) { bytes in
            precondition(index >= 0)
            return bytes.load(fromByteOffset: 8 * index, as: UInt64.self).littleEndian
        }
    }

    /// - Parameter word: what ``subscript(word:)`` gives; asked of those only that the key reaches into.
    @inline(__always)
    package init(count: Int, _ word: (Int) -> UInt64) {
        precondition(count >= 0 && count <= Self.countMax)
        self.byteCount = UInt8(count)
        withUnsafeMutableBytes(of: &self.words) { bytes in
            for index in 0..<(count + 7) / 8 {
                bytes.storeBytes(of: word(index).littleEndian, toByteOffset: 8 * index, as: UInt64.self)
            }
        }
    }

    @inline(__always)
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= Self.countMax else { return nil }
        self.byteCount = UInt8(truncatingIfNeeded: bytes.count)
        withUnsafeMutableBytes(of: &self.words) { $0.copyMemory(from: bytes) }
    }

    @inline(__always)
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: self.words) { body(UnsafeRawBufferPointer(rebasing: $0[..<self.count])) }
    }
}
