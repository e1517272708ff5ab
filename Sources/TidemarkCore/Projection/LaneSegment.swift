/// A row change that passed every check for one projection, encoded and waiting to be committed. Its bytes live in the
/// ``LaneSegment`` that holds it.
@usableFromInline
package struct EncodedChange: Sendable {
    @usableFromInline
    package enum Kind: UInt8, Sendable {
        case change
        /// `parts` begin at the index of the dead letter in the segment.
        case deadLetter
        /// A truncate; `table` holds the table's name, `orderKey` what it is known by, `sequence` where it happened as
        /// people read it. Where truncates delete, every lane has it, and nothing of the table is left below `orderKey`.
        case truncate
        /// An event that `tags` dropped, where versions are contiguous: its `sequence` counts as seen.
        case seen
    }

    // What a lane asks of every event comes first, in the room of one line of the processor's cache: a batch is tens of
    // thousands of these, looked at out of order.

    package var keyHash = KeyHash(high: 0, low: 0)
    package var orderPrefix = OrderKeyPrefix()
    /// Milestones that the state implies, a bit each.
    package var milestones: UInt64 = 0
    /// What else this lane has to account for up to and including this item.
    package var tally = Tally()
    @usableFromInline package var kind: Kind
    package var operation: Operation = .insert
    /// The image lacks columns: `carried` tells which it has, `missing` names those that it lacks.
    package var isPartial = false
    @usableFromInline package var stateImage: StateImage = .null
    /// Of a partial image without declared columns: what it neither holds nor names in `missing` is null, and not as it
    /// was.
    package var nullsOthers = false
    /// A snapshot row of PostgreSQL whose order key begins with its position.
    package var isSnapshotOfLSN = false
    package var projection: Int16 = 0
    package var source: Int32 = 0

    /// Of the message in its stream, with the row within the message.
    @usableFromInline package var offset: StreamOffset
    /// How many messages of the segment's block are before this one, counted as the stream counts them.
    package var ordinal: UInt32 = 0
    package var eventTime: Int64?
    package var remarks: Remarks = []
    package var sequenceCount: UInt16 = 0
    @usableFromInline package var parts = EventParts(at: 0)

    /// The row within the message, from 0.
    package var row: Int32 { Int32(clamping: self.offset.row) }

    /// Items of one offset cannot be parted: progress cannot stand between them.
    @inlinable
    package func isAtOffset(of other: EncodedChange) -> Bool { self.offset == other.offset }

    package var carriesState: Bool { self.stateImage != .absent }

    package init(kind: Kind, offset: StreamOffset) {
        self.kind = kind
        self.offset = offset
    }
}

/// Where the parts of an event's bytes lie in its run: behind one another, so that it takes where the first begins and
/// where each ends.
@usableFromInline
package struct EventParts: BitwiseCopyable, Sendable {
    @usableFromInline var start: UInt32
    @usableFromInline var key: UInt32
    @usableFromInline var keyFields: UInt32
    @usableFromInline var sequence: UInt32
    @usableFromInline var orderKey: UInt32
    @usableFromInline var position: UInt32
    @usableFromInline var table: UInt32
    @usableFromInline var valueFields: UInt32
    @usableFromInline var state: UInt32
    @usableFromInline var carried: UInt32
    @usableFromInline var missing: UInt32
    /// The last one: an image that is taken out leaves the others where they are.
    @usableFromInline var image: UInt32

    /// No bytes, at an address.
    package init(at start: UInt32) {
        self.start = start
        (self.key, self.keyFields, self.sequence) = (start, start, start)
        (self.orderKey, self.position, self.table) = (start, start, start)
        (self.valueFields, self.state, self.carried) = (start, start, start)
        (self.missing, self.image) = (start, start)
    }

    /// Nothing follows key and sequence.
    mutating func endBehindSequence() {
        (self.orderKey, self.position, self.table) = (self.sequence, self.sequence, self.sequence)
        self.endBehindTable()
    }

    /// There is no row.
    mutating func endBehindTable() {
        (self.valueFields, self.state, self.carried) = (self.table, self.table, self.table)
        (self.missing, self.image) = (self.table, self.table)
    }
}

extension EncodedChange {
    @inlinable package var key: ByteRange { Self.range(self.parts.start, self.parts.key) }
    /// The key columns in PostgreSQL's binary form, each behind its length.
    @inlinable package var keyFields: ByteRange { Self.range(self.parts.key, self.parts.keyFields) }
    @inlinable package var sequence: ByteRange { Self.range(self.parts.keyFields, self.parts.sequence) }
    @inlinable package var orderKey: ByteRange { Self.range(self.parts.sequence, self.parts.orderKey) }
    @inlinable package var position: ByteRange { Self.range(self.parts.orderKey, self.parts.position) }
    /// The source table, where truncates are deletes.
    @inlinable package var table: ByteRange { Self.range(self.parts.position, self.parts.table) }
    /// The other columns, as those of the key; empty for a delete.
    @inlinable package var valueFields: ByteRange { Self.range(self.parts.table, self.parts.valueFields) }
    @inlinable package var state: ByteRange? {
        self.stateImage == .value ? Self.range(self.parts.valueFields, self.parts.state) : nil
    }
    /// Of a partial image: for declared columns a byte each, 0 for one that it lacks; otherwise the columns' names and
    /// values in JSON by turns, each behind its length.
    @inlinable package var carried: ByteRange { Self.range(self.parts.state, self.parts.carried) }
    /// Of a partial image: the names of the columns that it lacks, or, without declared columns, of those that it
    /// names and does not hold, each behind its length.
    @inlinable package var missing: ByteRange { Self.range(self.parts.carried, self.parts.missing) }
    /// The kept columns as canonical JSON; empty for a delete, and without a timeline.
    @inlinable package var image: ByteRange { Self.range(self.parts.missing, self.parts.image) }

    @inlinable @inline(__always)
    static func range(_ start: UInt32, _ end: UInt32) -> ByteRange { ByteRange(start: start, count: end &- start) }

    /// Where the run has the dead letter.
    package var deadLetter: Int {
        get { Int(self.parts.start) }
        set { self.parts = EventParts(at: UInt32(newValue)) }
    }

    /// The content was erased: there is no image of it.
    package mutating func removeImage() { self.parts.image = self.parts.missing }
}

/// What is counted by message rather than by event.
package struct Tally: Sendable, Hashable {
    package var messages: Int32 = 0
    package var control: Int32 = 0
    package var filtered: Int32 = 0

    package init() {}

    package var isEmpty: Bool { self == Tally() }

    package static func += (left: inout Tally, right: Tally) {
        left.messages += right.messages
        left.control += right.control
        left.filtered += right.filtered
    }
}

/// What one block of one stream means for one lane, in the order of arrival.
@usableFromInline
package struct LaneSegment: Sendable {
    package var stream: StreamID
    /// As in ``ProgressKey``.
    package var projection = ProgressKey.together
    /// Where the block begins, and where the next one does.
    package var start: StreamProgress
    package var end: StreamProgress
    /// How a person calls the stream.
    package var name = ""
    @usableFromInline package var bytes: [UInt8] = []
    @usableFromInline package var items: [EncodedChange] = []
    package var deadLetters: [DeadLetter] = []
    /// Of messages that have no item behind them here: counted with the next item, or with the end of the segment.
    package var pendingTally = Tally()
    /// What finds the stream's level, and the block's number there.
    package var level: (tracker: LevelTracker, block: Int)?
    /// Its share of the bytes of input that its block was read from, for the progress line.
    package var inputBytes: Int64 = 0
    /// Where its block's verdicts and commit are reported.
    package var receipt: CarriedReceipt?
    /// The dead letter that the block is, when it is one that is tried again.
    package var retried: RetriedLetter?
    /// The bytes of the budget that the block's segments hold together.
    package var permit: MemoryPermit?
    /// How many of `bytes` belong to events of a timeline, or to large ones.
    private var copiedBytes = 0
    /// How many bytes the dead letters keep of their messages.
    private var letterBytes = 0
    private var lastDigest: [UInt8]?

    package init(stream: StreamID, start: StreamProgress, end: StreamProgress) {
        self.stream = stream
        self.start = start
        self.end = end
    }

    /// There is nothing to commit.
    package var isEmpty: Bool { self.items.isEmpty && self.pendingTally.isEmpty }

    /// Reserves what a segment of the same size needs, instead of growing into twice as much.
    package mutating func reserveRoom(like other: (bytes: Int, items: Int)) {
        self.bytes.reserveCapacity(other.bytes + other.bytes / 8)
        self.items.reserveCapacity(other.items + other.items / 8 + 2)
    }

    package var size: (bytes: Int, items: Int) { (self.bytes.count, self.items.count) }

    /// From so many bytes on all of an event counts three times, since few others of its key are folded with it.
    private static let largeEventBytes: UInt32 = 64 << 10

    /// Bytes that the segment takes in memory until it is committed, roughly. An event that goes into a timeline counts
    /// three times: during a commit it exists in the segment, in the rows that are sent and in libpq's send buffer. So does
    /// what is kept of a dead letter's message, and a large event.
    package var weight: Int {
        self.bytes.count + 2 * self.copiedBytes + 3 * self.letterBytes
            + self.items.count * MemoryLayout<EncodedChange>.stride
    }

    /// Appends at most `count` bytes, those of one item.
    @inline(__always)
    mutating func write(atMost count: Int, _ body: (inout EventRecord) -> Void) {
        let start = self.bytes.count
        // One more: an empty buffer has no address.
        self.bytes.append(addingCapacity: count + 1) { output in
            output.withUnsafeMutableBufferPointer { memory, written in
                var record = EventRecord(memory, behind: start)
                body(&record)
                written = Int(record.end) - start
            }
        }
    }

    /// - Parameter isStored: the event goes into a timeline.
    @inline(__always)
    package mutating func append(_ item: consuming EncodedChange, isStored: Bool = false) {
        let size = item.parts.image &- item.parts.start
        if isStored || size >= Self.largeEventBytes { self.copiedBytes += Int(size) }
        self.items.append(item)
        guard !self.pendingTally.isEmpty else { return }
        self.items[self.items.count - 1].tally += self.pendingTally
        self.pendingTally = Tally()
    }

    /// Drops items, and what was counted with them.
    package mutating func removeItems(where isDropped: (EncodedChange) -> Bool) {
        self.items.removeAll(where: isDropped)
    }

    /// - Parameter ordinal: as in ``EncodedChange/ordinal``.
    package mutating func append(deadLetter letter: DeadLetter, at offset: StreamOffset, ordinal: UInt32) {
        var item = EncodedChange(kind: .deadLetter, offset: offset)
        item.ordinal = ordinal
        item.deadLetter = self.deadLetters.count
        self.deadLetters.append(letter)
        // Letters of one message share its bytes.
        if self.lastDigest != letter.digest { self.letterBytes += letter.raw.count }
        self.lastDigest = letter.digest
        self.append(item)
    }

    /// Appends a truncate of a table.
    package mutating func append(
        truncate item: EncodedChange,
        of table: ArraySlice<UInt8>,
        order: (key: [UInt8], text: [UInt8])
    ) {
        var item = item
        item.parts = EventParts(at: UInt32(self.bytes.count))
        item.parts.sequence = self.end(behind: order.text[...])
        item.parts.orderKey = self.end(behind: order.key[...])
        item.parts.position = item.parts.orderKey
        item.parts.table = self.end(behind: table)
        item.parts.endBehindTable()
        self.append(item)
    }

    private mutating func end(behind part: ArraySlice<UInt8>) -> UInt32 {
        self.bytes.append(contentsOf: part)
        return UInt32(self.bytes.count)
    }
}
