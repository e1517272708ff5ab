/// A message, or one row of it, that no projection could take.
package struct DeadLetter: Sendable {
    /// Where it was read first: `$received` compares that, also when the letter is tried again.
    package struct Reading: Sendable, Hashable {
        package var stream: StreamID
        package var offset: StreamOffset
        /// The number of its message in the stream, from 1.
        package var ordinal: Int64

        package init(stream: StreamID, offset: StreamOffset, ordinal: Int64) {
            self.stream = stream
            self.offset = offset
            self.ordinal = ordinal
        }
    }

    /// `nil` when the message belongs to no single projection.
    package var projection: String?
    package var source: String
    /// Where it stands for a person: the stream's name and the message's number.
    package var position: String
    package var rejection: Rejection
    package var row: Int32
    /// The message as it came, to 1 MiB.
    package var raw: [UInt8]
    /// SHA-256 of the whole message.
    package var digest: [UInt8]
    package var reading: Reading?
    /// It is the whole message, not one row of it.
    package var isWhole: Bool
    /// What its broker kept beside its value; `nil` for a message of no broker.
    package var record: StoredRecord?

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
