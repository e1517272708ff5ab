/// The number that the database gives a stream once.
package struct StreamID: RawRepresentable, Hashable, Sendable {
    package let rawValue: Int64

    package init(rawValue: Int64) { self.rawValue = rawValue }
}

/// What a stream is known by: its source's name, its own, and what tells it from an earlier one of the same name.
package struct StreamName: Hashable, Sendable {
    package var source: String
    package var name: String
    package var incarnation: String

    package init(source: String, name: String, incarnation: String = "") {
        self.source = source
        self.name = name
        self.incarnation = incarnation
    }
}

/// A position in a stream, compared from left to right. What the numbers count depends on the source: `major` is a byte
/// of the decompressed input for files; `row` is the row within the message there.
@usableFromInline
package struct StreamOffset: Hashable, Comparable, Sendable {
    @usableFromInline package var major: UInt64
    @usableFromInline package var minor: UInt64
    @usableFromInline package var row: UInt32

    package static let start = StreamOffset(major: 0)
    /// The size of ``bytes``.
    package static let byteCount = 20

    @inline(__always)
    package init(major: UInt64, minor: UInt64 = 0, row: UInt32 = 0) {
        self.major = major
        self.minor = minor
        self.row = row
    }

    /// Big-endian, so that SQL compares what is stored as Swift compares offsets.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        bytes.appendBigEndian(self.major)
        bytes.appendBigEndian(self.minor)
        bytes.appendBigEndian(self.row)
        return bytes
    }

    /// - Returns: `nil` for what is not 20 bytes long.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        func number(_ part: some Sequence<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        self.major = number(bytes.prefix(8))
        self.minor = number(bytes.dropFirst(8).prefix(8))
        self.row = UInt32(number(bytes.dropFirst(16)))
    }

    @inlinable @inline(__always)
    package static func == (left: StreamOffset, right: StreamOffset) -> Bool {
        left.major == right.major && left.minor == right.minor && left.row == right.row
    }

    @inlinable @inline(__always)
    package static func < (left: StreamOffset, right: StreamOffset) -> Bool {
        if left.major != right.major { return left.major < right.major }
        if left.minor != right.minor { return left.minor < right.minor }
        return left.row < right.row
    }

    /// The offset of the row behind this one.
    package var next: StreamOffset {
        var next = self
        next.row += 1
        return next
    }
}

/// How far a stream has been read, or committed: everything before `offset`.
package struct StreamProgress: Hashable, Sendable {
    package var offset: StreamOffset
    /// The number of the message at `offset`, from 1; 0 where the source does not count.
    package var ordinal: Int64
    /// What the source resumes at: bytes that only it understands, of this offset or of one before it.
    package var resume: [UInt8]
    /// A bounded stream has nothing behind `offset`.
    package var isAtEnd: Bool

    package static let start = StreamProgress(offset: .start, ordinal: 1)

    package init(offset: StreamOffset, ordinal: Int64 = 0, resume: [UInt8] = [], isAtEnd: Bool = false) {
        self.offset = offset
        self.ordinal = ordinal
        self.resume = resume
        self.isAtEnd = isAtEnd
    }

    /// Whether what stands at `offset` is behind: read, or committed.
    @inline(__always)
    package func covers(_ offset: StreamOffset) -> Bool { offset < self.offset }

    /// The one that is further.
    package static func greater(_ left: StreamProgress, _ right: StreamProgress) -> StreamProgress {
        if left.offset == right.offset { return left.isAtEnd ? left : right }
        return left.offset < right.offset ? right : left
    }
}
