/// An event's position among those of its entity: bytes whose `memcmp` order is the order of the events.
///
/// The parts of `sequence`, each delimiting itself, then always the tie-breakers, so that two different events never
/// compare equal: the delete tag, the state's rank in the lifecycle, 128 bits of the content's digest. Only Swift builds
/// it; SQL stores and compares `bytea`. A change of what ``OrderKeyBuilder`` writes raises ``ReadingRules/version``.
///
/// Inline up to 56 bytes, as nearly all are: one is copied without allocating or retaining.
package struct OrderKey: Sendable, Hashable {
    private enum Storage: Sendable {
        case short(Inline)
        case long([UInt8])
    }

    private let storage: Storage

    package init(_ bytes: UnsafeRawBufferPointer) {
        self.storage = Inline(bytes).map { .short($0) } ?? .long(Array(bytes))
    }

    package init(_ bytes: [UInt8]) {
        self.storage = bytes.withUnsafeBytes { Inline($0) }.map { .short($0) } ?? .long(bytes)
    }

    package init(_ short: Inline) { self.storage = .short(short) }

    /// `nil` for a longer one.
    package var short: Inline? {
        if case .short(let short) = self.storage { short } else { nil }
    }

    /// Whether a snapshot row of PostgreSQL gives way to a streamed change with a lower LSN, in the same epoch.
    /// - Parameters:
    ///   - snapshot: an order key that begins with the row's position.
    ///   - greater: another order key of the projection, above it.
    static func isSnapshot(_ snapshot: UnsafeRawBufferPointer, ignoredFor greater: UnsafeRawBufferPointer) -> Bool {
        // A byte that says that there is a position, the epoch, an LSN; then 1 for a streamed change, 0 for a snapshot
        // row, behind which its own LSN stands.
        let (epoch, lsn, tag, ownLSN) = (0..<5, 5..<13, 13, 14..<22)
        guard snapshot.count >= ownLSN.upperBound, greater.count > tag, greater[tag] == 1 else { return false }
        guard snapshot[epoch].elementsEqual(greater[epoch]) else { return false }
        return greater[lsn].lexicographicallyPrecedes(snapshot[ownLSN])
    }

    package var array: [UInt8] { self.withBytes { Array($0) } }

    @inline(__always)
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self.storage {
        case .short(let short): short.withBytes(body)
        case .long(let bytes): bytes.withUnsafeBytes(body)
        }
    }

    package static func == (left: OrderKey, right: OrderKey) -> Bool {
        left.withBytes { left in right.withBytes { left.count == $0.count && left.isEqual(to: $0) } }
    }

    package func hash(into hasher: inout Hasher) {
        self.withBytes { hasher.combine(bytes: $0) }
    }
}

/// An order key of at most 56 bytes.
extension OrderKey {
    package struct Inline: BitwiseCopyable, Sendable {
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
}
