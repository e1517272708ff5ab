import TidemarkCore

/// The last bytes of what has been read.
struct ByteTail {
    static let bytesMax = 256

    private(set) var bytes: [UInt8] = []

    mutating func append(_ new: UnsafeRawBufferPointer) {
        if new.count >= Self.bytesMax {
            self.bytes.removeAll(keepingCapacity: true)
            self.bytes.append(contentsOf: new.suffix(Self.bytesMax))
        } else {
            let excess = self.bytes.count + new.count - Self.bytesMax
            if excess > 0 { self.bytes.removeFirst(excess) }
            self.bytes.append(contentsOf: new)
        }
    }
}

/// What is kept of the content before an offset, to know it again: its first and its last bytes.
struct ContentTrail {
    private(set) var tail = ByteTail()
    /// The first bytes, until there are as many as are digested; `nil` where they are not known.
    private var head: [UInt8]? = []
    /// Of all of them.
    private var beginning: ResumeToken.Beginning?

    init() {}

    /// The content before an offset at which reading is resumed.
    /// - Parameters:
    ///   - bytes: all of it, or the last bytes of it.
    ///   - token: has the digest of the first bytes where `bytes` has not.
    init(_ bytes: [UInt8], before offset: Int64, _ token: ResumeToken?) {
        bytes.withUnsafeBytes { self.tail.append($0) }
        if bytes.count == offset { self.head = bytes } else { (self.head, self.beginning) = (nil, token?.beginning) }
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        self.tail.append(bytes)
        guard let count = self.head?.count else { return }
        self.head?.append(contentsOf: bytes.prefix(FilePrefix.bytesMax - count))
        guard let head = self.head, head.count == FilePrefix.bytesMax else { return }
        (self.head, self.beginning) = (nil, ResumeToken.Beginning(of: head[...]))
    }

    func token(at offset: UInt64) -> ResumeToken {
        ResumeToken(
            of: self.tail.bytes,
            at: offset,
            self.beginning ?? self.head.flatMap { $0.isEmpty ? nil : ResumeToken.Beginning(of: $0[...]) }
        )
    }
}

/// What tells the content of a file before an offset from other content: a digest of its last bytes, at most 256, and one
/// of its first bytes, at most 64 KiB. It is stored with each level.
struct ResumeToken: Hashable, Sendable {
    struct Beginning: Hashable, Sendable {
        let count: Int
        fileprivate let digest: [UInt8]

        init(of bytes: ArraySlice<UInt8>) {
            self.count = bytes.count
            self.digest = Array(DigestContext.sha256(bytes).prefix(ResumeToken.digestBytes))
        }

        fileprivate init(count: Int, digest: [UInt8]) {
            self.count = count
            self.digest = digest
        }

        func fits(_ bytes: [UInt8]) -> Bool {
            self.count <= bytes.count && Self(of: bytes[..<self.count]) == self
        }
    }

    private static let version: UInt8 = 1
    private static let digestBytes = 16
    private static let byteCount = 1 + 8 + 2 + digestBytes + 4 + digestBytes

    let offset: UInt64
    let count: Int
    private let digest: [UInt8]
    /// `nil` where it is not known.
    let beginning: Beginning?

    /// - Parameter tail: the bytes before `offset`.
    init(of tail: [UInt8], at offset: UInt64, _ beginning: Beginning?) {
        self.offset = offset
        self.count = tail.count
        self.digest = Array(DigestContext.sha256(tail).prefix(Self.digestBytes))
        self.beginning = beginning
    }

    /// - Returns: `nil` for bytes that are no token.
    init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes[0] == Self.version else { return nil }
        func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        self.offset = number(bytes[1..<9])
        self.count = Int(number(bytes[9..<11]))
        self.digest = Array(bytes[11..<27])
        let beginning = Int(number(bytes[27..<31]))
        self.beginning = beginning > 0 ? Beginning(count: beginning, digest: Array(bytes[31...])) : nil
        guard self.count <= ByteTail.bytesMax, UInt64(self.count) <= self.offset else { return nil }
    }

    var bytes: [UInt8] {
        var bytes = [Self.version]
        bytes.reserveCapacity(Self.byteCount)
        bytes.appendBigEndian(self.offset)
        bytes.appendBigEndian(UInt16(self.count))
        bytes += self.digest
        bytes.appendBigEndian(UInt32(self.beginning?.count ?? 0))
        return bytes + (self.beginning?.digest ?? [UInt8](repeating: 0, count: Self.digestBytes))
    }

    /// Whether these are the bytes before the offset.
    func fits(tail: ArraySlice<UInt8>) -> Bool {
        Self(of: Array(tail.suffix(self.count)), at: self.offset, self.beginning) == self
    }
}
