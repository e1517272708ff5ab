/// A dead letter that is tried again: what of its message is the letter's own, and where it was read first.
package final class RetriedLetter: Sendable {
    package let id: Int64
    /// `nil` when the message belonged to no single projection.
    package let projection: String?
    package let row: Int32
    /// The whole message is the letter, not one row of it.
    package let isWhole: Bool
    package let position: String
    /// `nil` for what was stored before readings were.
    package let reading: DeadLetter.Reading?
    package let raw: [UInt8]
    package let digest: [UInt8]
    package let record: StoredRecord?

    package init(
        id: Int64,
        projection: String?,
        row: Int32,
        isWhole: Bool,
        position: String,
        reading: DeadLetter.Reading?,
        raw: [UInt8],
        digest: [UInt8],
        record: StoredRecord? = nil
    ) {
        self.record = record
        self.id = id
        self.projection = projection
        self.row = row
        self.isWhole = isWhole
        self.position = position
        self.reading = reading
        self.raw = raw
        self.digest = digest
    }

    /// Whether another dead letter of the message is this one, and not that of a projection which the message reaches
    /// only now.
    package func isSame(as other: DeadLetter) -> Bool {
        other.projection == self.projection && other.row == self.row
    }

    /// Whether an item of the letter's message is the letter's own.
    /// - Parameters:
    ///   - segment: which has the item.
    ///   - plans: by which the message was encoded.
    package func owns(_ item: EncodedChange, of segment: LaneSegment, _ plans: (Int) -> String) -> Bool {
        guard self.isWhole || item.row == self.row else { return false }
        guard let projection else { return true }
        switch item.kind {
        case .change, .truncate, .seen: return projection == plans(Int(item.projection))
        case .deadLetter: return projection == segment.deadLetters[item.deadLetter].projection
        }
    }

    /// Why the letter stays one; `nil` when its items go through.
    package func refusal(in segment: LaneSegment) -> Rejection? {
        for item in segment.items where item.kind == .deadLetter {
            let other = segment.deadLetters[item.deadLetter]
            if self.isSame(as: other) { return other.rejection }
        }
        return nil
    }
}
