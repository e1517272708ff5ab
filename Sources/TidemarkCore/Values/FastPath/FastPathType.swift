/// What the quick path has to know of a column. Trivial, so that going over a row needs no retain and release.
struct FastPathType: Sendable {
    enum Kind: UInt8 {
        /// Of a type, or in an encoding, that takes more than a look.
        case other
        case integer, numeric, text, timestamp
    }

    /// Nothing that the quick path knows.
    static let other = FastPathType(.jsonb, encoding: .none, isUnsigned: false)

    private(set) var kind = Kind.other
    /// Bytes of an integer's binary form.
    private(set) var width: UInt8 = 8
    /// A timestamp with a zone.
    private(set) var hasZone = false
    /// The column says nothing of how its strings are encoded.
    private(set) var takesStrings: Bool
    /// Of a numeric with a declared scale; else negative.
    private(set) var scale: Int16 = -1
    private(set) var precision: Int16 = 0

    init(_ type: ColumnType, encoding: ValueEncoding, isUnsigned: Bool) {
        self.takesStrings = encoding == .none
        switch type {
        case .bigint: self.kind = .integer
        case .integer: (self.kind, self.width) = (.integer, 4)
        case .smallint: (self.kind, self.width) = (.integer, 2)
        case .numeric(nil, _): self.kind = .numeric
        // A negative scale takes more than a look.
        case .numeric(let precision?, let scale) where scale >= 0:
            (self.kind, self.precision, self.scale) = (.numeric, Int16(clamping: precision), Int16(clamping: scale))
        case .text: self.kind = .text
        case .timestamptz: (self.kind, self.hasZone) = (.timestamp, true)
        case .timestamp: self.kind = .timestamp
        default: break
        }
        if isUnsigned, self.kind == .integer || self.kind == .numeric { self.kind = .other }
    }
}

/// A name in the form in which it is recognised: two words for nearly all of them.
struct NameKey: Sendable {
    let count: Int
    /// The first eight bytes, or as many as there are.
    private let first: UInt64
    private let mask: UInt64
    /// The last eight bytes of a longer name.
    private let last: UInt64

    init(_ name: [UInt8]) {
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 {
            bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        self.count = name.count
        self.mask = name.count < 8 ? (1 << UInt64(8 * name.count)) - 1 : .max
        self.first = word(name.prefix(8))
        self.last = name.count > 8 ? word(name.suffix(8)) : 0
    }

    /// - Returns: `false` also for what this cannot tell: a name of more than sixteen bytes, or at the very end of `bytes`.
    @inline(__always)
    func matches(_ range: ByteRange, of bytes: UnsafeRawBufferPointer) -> Bool {
        guard Int(range.count) == self.count, self.count <= 16, let base = bytes.baseAddress else { return false }
        let start = Int(range.start)
        guard start + max(8, self.count) <= bytes.count else { return false }
        let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: start, as: UInt64.self))
        guard (word ^ self.first) & self.mask == 0 else { return false }
        guard self.count > 8 else { return true }
        return UInt64(littleEndian: base.loadUnaligned(fromByteOffset: start + self.count - 8, as: UInt64.self))
            == self.last
    }
}
