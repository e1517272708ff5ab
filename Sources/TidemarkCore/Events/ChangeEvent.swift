/// What a change event does to its row.
public enum Operation: UInt8, Sendable, Hashable, CaseIterable {
    case insert, update, delete, snapshot, truncate
}

/// One column of a row image, as the message wrote it. The bytes live in the ``DecodedMessage`` that holds the field.
///
/// A column has four states and they are never merged: *absent* (there is no field), *unavailable*, *null*, a value.
@frozen public struct Field: Sendable {
    @frozen public enum Kind: UInt8, Sendable {
        /// The source knows the value and did not send it (PostgreSQL's unchanged TOAST).
        case unavailable
        case null
        case `true`
        case `false`
        /// A JSON number: the bytes are its literal, every digit of it.
        case number
        /// A JSON string: the bytes are its unescaped UTF-8.
        case string
        /// A JSON object or array: the bytes are its text.
        case json
        /// Bytes, as Avro's JSON form writes them: a string each of whose characters, up to U+00FF, is one byte.
        case bytes
        /// A string of Avro's JSON form of which nothing says whether it is text or bytes.
        case textOrBytes
    }

    public var name: ByteRange
    public var value: ByteRange
    public var kind: Kind
    /// What the message's own schema says about the bytes; `.none` when it carries none.
    public var encoding: ValueEncoding
    /// ``scale``, moved out of the range of scales where the field is marked as ``isMeta``: a member of its own would make
    /// every field larger.
    @usableFromInline var markedScale: Int16

    /// Digits after the decimal point, for `.decimalBase64`, at most ``scaleMax`` either way; ``wallClock`` for a count of
    /// units of a zone-less type.
    public var scale: Int16 {
        get {
            guard self.isMeta else { return self.markedScale }
            return self.markedScale > 0 ? self.markedScale - Self.scaleMax - 1 : self.markedScale + Self.scaleMax + 1
        }
        set {
            let isMeta = self.isMeta
            self.markedScale = newValue
            if isMeta { self.markAsMeta() }
        }
    }

    /// The greatest scale of a number, as PostgreSQL has it.
    public static let scaleMax: Int16 = 16_383

    /// The schema says that a count of units is of wall-clock time, so it is read in the source's time zone. Such a field
    /// does not need its scale otherwise.
    public static let wallClock: Int16 = 1

    /// A count of units without a zone.
    package var isWallClock: Bool { self.encoding.isTimeUnit && self.scale == Self.wallClock }

    /// The producer added it to the row: it can be named as a column, and is no part of the row.
    package var isMeta: Bool { self.markedScale > Self.scaleMax || self.markedScale < -Self.scaleMax }

    package mutating func markAsMeta() {
        guard !self.isMeta else { return }
        self.markedScale += self.markedScale >= 0 ? Self.scaleMax + 1 : -Self.scaleMax - 1
    }

    @inlinable @inline(__always)
    public init(
        name: ByteRange,
        value: ByteRange,
        kind: Kind,
        encoding: ValueEncoding = .none,
        scale: Int16 = 0
    ) {
        self.name = name
        self.value = value
        self.kind = kind
        self.encoding = encoding
        self.markedScale = scale
    }
}

/// A range of bytes, by offset, in the buffer that its owner has. 32 bits: a message is at most 4 GiB.
@frozen public struct ByteRange: Sendable, Hashable {
    public var start: UInt32
    public var count: UInt32

    @inlinable @inline(__always)
    public init(start: UInt32, count: UInt32) {
        self.start = start
        self.count = count
    }

    @inlinable @inline(__always)
    public init(start: Int, end: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.count = UInt32(truncatingIfNeeded: end &- start)
    }

    @inlinable public static var empty: ByteRange { ByteRange(start: 0, count: 0) }

    @inlinable @inline(__always) public var isEmpty: Bool { self.count == 0 }
    @inlinable @inline(__always) public var range: Range<Int> { Int(self.start)..<(Int(self.start) + Int(self.count)) }
}

/// One row change of one table, decoded from one message. Its images are ranges of the message's fields.
package struct ChangeEvent: Sendable {
    /// `database.table` or `schema.table`, as bytes of the message.
    package var table: ByteRange
    /// The database, as the message writes it; empty where it names none. A line of Tidemark's own gives it only where it
    /// is wanted.
    package var database = ByteRange.empty
    package var operation: Operation
    package var before: Range<Int>?
    package var after: Range<Int>?
    package var position: Position?
    /// Why there is no position; `nil` where there is one, and for snapshot rows, which need none.
    package var positionGap: PositionGap?
    /// Other rows of its statement or transaction may have the same position; `nil` where a number tells them apart.
    package var rowNumberGap: RowNumberGap?
    /// The position as a person writes it (`mysql-bin.000042:1288`); empty without one.
    package var positionText = ByteRange.empty
    /// Microseconds since 1970-01-01 UTC, by the producer's clock.
    package var eventTime: Int64?
    package var tag: ByteRange?
    /// Index of the row in its message, from 0.
    package var row: Int
    /// The message's format writes JSON columns as text in a string (Debezium, Canal), rather than embedded (Maxwell).
    package var writesJSONAsText = false
    /// Which columns of `before` are the row's (Debezium for PostgreSQL).
    package var beforeTrust = BeforeTrust.whole
    /// `before` holds just the columns that changed; those it lacks are as in `after` (Maxwell's and Canal's `old`).
    package var beforeHoldsChangesOnly = false
    /// `table` is qualified by its schema: `database` is no part of it.
    package var isDatabaseApart = false
    /// Index of the columns that are the row's in ``ReplicaIdentities/columns``, for ``BeforeTrust/columns``.
    package var identity: Int32 = 0

    @inline(__always)
    package init(table: ByteRange, operation: Operation, row: Int = 0) {
        self.table = table
        self.operation = operation
        self.row = row
    }
}

/// What one message turned out to be: row changes, `control`, or a reason to set it aside. Reused from message to message.
package struct DecodedMessage: Sendable {
    /// The message, and behind it what decoding made of its strings.
    package var bytes: [UInt8] = []
    package var fields = ReusedArray<Field>()
    package var events = ReusedArray<ChangeEvent>()
    /// Its strings stand as JSON has them, without an escape: no quote, backslash or control character is in them.
    package var isVerbatim = false
    /// Heartbeats, DDL, transaction markers, tombstones: nothing to apply, nothing wrong.
    package var isControl = false
    /// Why the whole message is a dead letter.
    package var failure: Rejection?
    /// Rows that are dead letters by themselves; the others of their message are events.
    package var rowFailures: [RowFailure] = []
    /// The key columns that the message itself names; empty when it names none.
    package var primaryKey: [ByteRange] = []
    /// Of a delete that is said to carry the whole row: the fields that hold the default which the message's schema names.
    package var defaultFields: [Int] = []

    /// Of a delete that is one half of a change of its row's key: the fields of the new key.
    package var newKey: Range<Int>?

    package struct RowFailure: Sendable, Hashable {
        package var row: Int
        package var rejection: Rejection

        package init(row: Int, _ rejection: Rejection) {
            self.row = row
            self.rejection = rejection
        }
    }

    package init() {}

    package mutating func reset() {
        self.bytes.removeAll(keepingCapacity: true)
        self.resetAllButBytes()
    }

    /// For callers that replace the bytes: emptying them first takes as long.
    package mutating func resetAllButBytes() {
        self.fields.removeAll()
        self.events.removeAll()
        self.isVerbatim = false
        self.isControl = false
        self.newKey = nil
        // Boxed, and dearer to empty than to look at.
        if self.failure != nil { self.failure = nil }
        if !self.rowFailures.isEmpty { self.rowFailures.removeAll(keepingCapacity: true) }
        if !self.primaryKey.isEmpty { self.primaryKey.removeAll(keepingCapacity: true) }
        if !self.defaultFields.isEmpty { self.defaultFields.removeAll(keepingCapacity: true) }
    }

    /// Whether `bytes` stand at `range`.
    package func has(_ bytes: [UInt8], at range: ByteRange) -> Bool {
        guard Int(range.count) == bytes.count, range.range.upperBound <= self.bytes.count else { return false }
        return self.bytes.withUnsafeBytes { own in
            bytes.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: own[range.range]).isEqual(to: $0) }
        }
    }

    package func text(_ range: ByteRange) -> String {
        String(decoding: self.bytes[range.range], as: UTF8.self)
    }
}

/// Why an event or a message is a dead letter: a reason for machines and a sentence for people.
package struct Rejection: Error, Sendable, Hashable {
    package enum Reason: String, Sendable, CaseIterable {
        case malformedJSON = "malformed_json"
        case unknownFormat = "unknown_format"
        case keyMissing = "key_missing"
        case sequenceMissing = "sequence_missing"
        case valueInvalid = "value_invalid"
        case tooLarge = "too_large"
    }

    package var reason: Reason
    /// Names the column, the value and what was expected. Stored in the database only, never logged.
    package var detail: String

    package init(_ reason: Reason, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }
}
