/// A row change that passed every check for one projection, encoded and waiting to be committed. Its bytes live in the
/// ``LaneSegment`` that holds it.
@usableFromInline
package struct EncodedChange: Sendable {
    @usableFromInline
    package enum Kind: UInt8, Sendable {
        case change
        /// `parts` begin at the index of the dead letter in the run.
        case deadLetter
        /// A truncate; `table` holds the table's name, `orderKey` what it is known by, `sequence` where it happened as
        /// people read it. Where truncates delete, every lane has it, and nothing of the table is left below `orderKey`.
        case truncate
        /// An event that `tags` dropped, where versions are contiguous: its `sequence` counts as seen.
        case seen
        /// No event: everything before its offset has been read. Ends every run.
        case mark
        /// A mark behind which the file has nothing.
        case end
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

    /// Byte offset of the message in its file; `row` is the row within it.
    package var offset: Int64
    /// Number of the message's line, from 1; of a mark, of the line that begins at its offset.
    package var line: Int64 = 0
    package var eventTime: Int64?
    package var remarks: Remarks = []
    package var sequenceCount: UInt16 = 0
    package var row: Int32
    package var projection: Int32 = 0
    package var source: Int32 = 0
    @usableFromInline package var parts = EventParts(at: 0)

    // Inlined where batches are gathered: nobody copies a whole event to ask.
    @inlinable
    package var isMark: Bool {
        switch self.kind {
        case .mark, .end: true
        case .change, .deadLetter, .truncate, .seen: false
        }
    }

    /// Items of one place cannot be parted: a checkpoint cannot stand between them.
    package func isAtPlace(of other: EncodedChange) -> Bool {
        self.offset == other.offset && self.row == other.row && !self.isMark && !other.isMark
    }

    package var carriesState: Bool { self.stateImage != .absent }

    package init(kind: Kind, offset: Int64, row: Int32) {
        self.kind = kind
        self.offset = offset
        self.row = row
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

    /// No bytes, at a place.
    package init(at start: UInt32) {
        self.start = start
        (self.key, self.keyFields, self.sequence) = (start, start, start)
        (self.orderKey, self.position, self.table) = (start, start, start)
        (self.valueFields, self.state, self.carried) = (start, start, start)
        (self.missing, self.image) = (start, start)
    }

    /// Nothing stands behind key and sequence.
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

    /// The content was erased: nobody can make an image of it.
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

/// A message, or one row of it, that was set aside.
package struct DeadLetter: Sendable {
    /// Where it was read: what a retry stands on, as the first reading did.
    package struct Reading: Sendable, Hashable {
        package var place: Place
        package var line: Int64

        package init(place: Place, line: Int64) {
            self.place = place
            self.line = line
        }
    }

    /// `nil` when the message belongs to no one projection.
    package var projection: String?
    package var source: String
    /// Where it stands for a person: file and line.
    package var position: String
    package var rejection: Rejection
    package var row: Int32
    /// The message as it came, to 1 MiB.
    package var raw: [UInt8]
    /// SHA-256 of the whole message.
    package var digest: [UInt8]
    package var reading: Reading?
    /// The whole message was set aside, not one row of it.
    package var isWhole: Bool

    package static let rawBytesMax = 1 << 20

    package init(
        projection: String?,
        source: String,
        position: String,
        rejection: Rejection,
        row: Int32,
        raw: [UInt8],
        digest: [UInt8],
        reading: Reading? = nil,
        isWhole: Bool = false
    ) {
        self.projection = projection
        self.source = source
        self.position = position
        self.rejection = rejection
        self.row = row
        self.raw = raw
        self.digest = digest
        self.reading = reading
        self.isWhole = isWhole
    }
}

/// What one stretch of one file means for one lane, in the order of arrival.
@usableFromInline
package struct LaneSegment: Sendable {
    package var file: Int64
    /// How a person calls the file.
    package var path = ""
    @usableFromInline package var bytes: [UInt8] = []
    @usableFromInline package var items: [EncodedChange] = []
    package var deadLetters: [DeadLetter] = []
    /// Accounted for, and not yet attached to an item.
    package var pendingTally = Tally()
    /// How many of `bytes` are images.
    private var imageBytes = 0

    package init(file: Int64) {
        self.file = file
    }

    /// Takes the room that a run of the same size needs, instead of growing into twice as much.
    package mutating func reserveRoom(like other: (bytes: Int, items: Int)) {
        self.bytes.reserveCapacity(other.bytes + other.bytes / 8)
        self.items.reserveCapacity(other.items + other.items / 8 + 2)
    }

    package var size: (bytes: Int, items: Int) { (self.bytes.count, self.items.count) }

    /// Bytes that the run takes in memory until it is committed, roughly: as long as it is here, and images twice more,
    /// since all of them are laid out for the server, and then stand in libpq's buffer, whichever event becomes the row.
    package var weight: Int {
        self.bytes.count + 2 * self.imageBytes + self.items.count * MemoryLayout<EncodedChange>.stride
    }

    /// Appends at most `count` bytes, those of one item.
    @inline(__always)
    mutating func write(atMost count: Int, _ body: (inout EventRecord) -> Void) {
        let start = self.bytes.count
        // One more: there is no place in no room.
        self.bytes.append(addingCapacity: count + 1) { output in
            output.withUnsafeMutableBufferPointer { memory, written in
                var record = EventRecord(memory, behind: start)
                body(&record)
                written = Int(record.end) - start
            }
        }
    }

    @inline(__always)
    package mutating func append(_ item: consuming EncodedChange) {
        self.imageBytes += Int(item.image.count)
        self.items.append(item)
        guard !self.pendingTally.isEmpty else { return }
        self.items[self.items.count - 1].tally += self.pendingTally
        self.pendingTally = Tally()
    }

    package mutating func appendDeadLetter(_ letter: DeadLetter, offset: Int64, line: Int64) {
        var item = EncodedChange(kind: .deadLetter, offset: offset, row: letter.row)
        item.line = line
        item.deadLetter = self.deadLetters.count
        self.deadLetters.append(letter)
        self.append(item)
    }

    /// Ends the run: all that stands before `offset` has been read.
    package mutating func close(at offset: Int64, line: Int64, isEnd: Bool = false) {
        var mark = EncodedChange(kind: isEnd ? .end : .mark, offset: offset, row: 0)
        mark.line = line
        self.append(mark)
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
