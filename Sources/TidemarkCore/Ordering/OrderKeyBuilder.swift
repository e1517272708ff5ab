/// Appends the parts of an order key and, beside them, the text in which people read the sequence.
package struct OrderKeyBuilder: ~Copyable {
    package private(set) var bytes = ByteBuffer()
    package private(set) var text = ByteBuffer()
    /// Where the sequence ends and the tie-breakers begin.
    package private(set) var sequenceCount = 0
    private let numbers: NumberLayout

    package init(numbers: NumberLayout = .current) { self.numbers = numbers }

    package mutating func reset() {
        self.bytes.truncate()
        self.text.truncate()
        self.sequenceCount = 0
    }

    private mutating func startPart() {
        if !self.bytes.isEmpty { self.text.append(", ") }
    }

    /// Takes over the parts that another order key begins with.
    package mutating func append(_ known: KnownSequence) {
        self.bytes.append(known.bytes)
        self.text.append(known.text)
    }

    /// All numbers are one line: 2^64-1 above -1, 1.0 equal to 1.00.
    package mutating func append(number: inout Decimal) {
        self.startPart()
        number.normalize()
        var (bytes, text): ([UInt8], [UInt8]) = ([], [])
        number.appendOrderBytes(self.numbers, to: &bytes)
        number.appendText(to: &text)
        self.bytes.append(bytes)
        self.text.append(text)
    }

    /// A whole number.
    /// - Parameter value: its text, in the shortest form.
    package mutating func append(_ number: FastPathNumber, _ value: Span<UInt8>) {
        value.withUnsafeBytes { self.append(number, $0) }
    }

    mutating func append(_ number: FastPathNumber, _ value: UnsafeRawBufferPointer) {
        self.startPart()
        number.appendOrderBytes(self.numbers, to: &self.bytes)
        self.text.append(value)
    }

    /// An infinity: beyond every number.
    mutating func append(infinity: SpecialNumber) {
        self.startPart()
        self.bytes.append(self.numbers.infinity(isNegative: infinity == .negativeInfinity))
        self.text.append(Array(infinity.name.utf8))
    }

    /// Microseconds since 2000-01-01, as PostgreSQL counts them.
    package mutating func append(postgresTimestamp microseconds: Int64) {
        self.append(microseconds) { CalendarText.appendTimestamp(postgres: microseconds, hasZone: true, to: &$0) }
    }

    private mutating func append(_ count: Int64, _ write: (inout [UInt8]) -> Void) {
        self.startPart()
        self.bytes.appendBigEndian(UInt64(bitPattern: count) ^ (1 << 63))
        var text: [UInt8] = []
        write(&text)
        self.text.append(text)
    }

    /// Days since 1970-01-01.
    package mutating func append(days: Int64) {
        self.append(days) { CalendarText.appendDate(days: days, to: &$0) }
    }

    /// A producer's clock, in microseconds since 1970.
    package mutating func append(timestamp microseconds: Int64) {
        self.append(microseconds) { CalendarText.appendTimestamp(microseconds: microseconds, hasZone: true, to: &$0) }
    }

    /// UTF-8 bytes, which must not contain NUL: it ends the part.
    package mutating func append(text value: Span<UInt8>) {
        self.startPart()
        self.bytes.append(value)
        self.bytes.append(0)
        self.text.append(value)
    }

    /// `nil` is the position of a snapshot row that carries none: the lowest there is.
    package mutating func append(position: Position?) {
        self.startPart()
        guard let position else {
            self.bytes.append(0)
            self.text.append("snapshot")
            return
        }
        self.bytes.append(1)
        self.bytes.appendBigEndian(position.epoch)
        let count = Int(position.count)
        let coordinateCount = min(position.kind.coordinateCount, count)
        for index in 0..<coordinateCount {
            // The tag before each number puts a shorter position before the longer ones that begin with it.
            if position.kind == .numbers { self.bytes.append(1) }
            self.bytes.appendBigEndian(position[index])
        }
        if position.kind == .numbers { self.bytes.append(0) }
        // Here, and not at the end: row and half of a snapshot row mean nothing, and must not lift it above a change.
        self.bytes.append(position.isSnapshot ? 0 : 1)
        for index in coordinateCount..<count { self.bytes.appendBigEndian(position[index]) }
        self.bytes.append(position.isFirstHalf ? 0 : 1)
        self.text.append(Array(position.description.utf8))
    }

    /// Where it was read: source, stream, offset. The minor number of an offset takes part where it is not zero: in a
    /// stream all are, or none.
    /// - Parameter source: the source's id, which the database gives it once.
    package mutating func append(received offset: StreamOffset, of stream: StreamID, source: Int64) {
        self.startPart()
        self.bytes.appendBigEndian(UInt64(source))
        self.bytes.appendBigEndian(UInt64(stream.rawValue))
        self.bytes.appendBigEndian(offset.major)
        if offset.minor != 0 { self.bytes.appendBigEndian(offset.minor) }
        self.bytes.appendBigEndian(offset.row)
        let minor = offset.minor == 0 ? "" : "/\(offset.minor)"
        self.text.append(Array("\(source):\(stream.rawValue):\(offset.major)\(minor):\(offset.row)".utf8))
    }

    /// A delete is above anything else at its sequence, and equal to any other delete there.
    package mutating func appendDeleteTag() {
        self.sequenceCount = self.bytes.count
        self.bytes.append(1)
    }

    package mutating func appendTieBreakers(stateRank: UInt16, digest: Span<UInt8>) {
        self.sequenceCount = self.bytes.count
        self.bytes.append(0)
        self.bytes.appendBigEndian(stateRank)
        self.bytes.append(digest.extracting(first: KnownSequence.digestCount))
    }

    package mutating func append(tieBreakers known: [UInt8]) {
        self.sequenceCount = self.bytes.count
        self.bytes.append(known)
    }
}

/// The first parts of an order key that was built before, as far as they are still parts of `sequence`.
package struct KnownSequence: Sendable, Hashable {
    /// How many parts they are.
    package var parts: Int
    package var bytes: [UInt8]
    /// As people read them.
    package var text: [UInt8]
    /// The bytes behind the sequence, of an event whose content was erased: they cannot be computed again.
    package var tieBreakers: [UInt8]?
    /// The digest of its content, where the columns that take part in it are what they were.
    package var digest: [UInt8]?

    package init(parts: Int, bytes: [UInt8], text: [UInt8]) {
        self.parts = parts
        self.bytes = bytes
        self.text = text
    }

    /// How many bytes of a digest an order key ends with.
    package static let digestCount = 16
    /// How many bytes follow the sequence in an order key that is no delete's: a tag, the state's rank and the
    /// digest.
    package static let tieBreakerCount = 1 + 2 + Self.digestCount

    /// How many bytes of an order key are its sequence: a delete's tag or the tie-breakers follow.
    package static func byteCount(ofOrderKey bytes: [UInt8], isDelete: Bool) -> Int {
        max(0, bytes.count - (isDelete ? 1 : Self.tieBreakerCount))
    }
}
