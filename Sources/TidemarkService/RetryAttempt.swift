import TidemarkCore
import TidemarkStore

/// One dead letter, routed again: what of its message is the letter's own.
struct RetryAttempt {
    let letter: StoredDeadLetter
    /// Why it is a dead letter still.
    private(set) var rejection: Rejection?
    private var segment: LaneSegment
    private let items: [Int]

    /// - Parameter segment: what the whole message comes to, for all projections.
    init(_ letter: StoredDeadLetter, _ segment: LaneSegment, _ plans: [ProjectionPlan]) {
        self.letter = letter
        self.segment = segment
        var items: [Int] = []
        var tally = Tally()
        for (index, item) in segment.items.enumerated() {
            tally += item.tally
            guard letter.isWhole || item.row == letter.row else { continue }
            switch item.kind {
            case .change, .truncate, .seen:
                guard letter.projection == nil || letter.projection == plans[Int(item.projection)].name else {
                    continue
                }
            case .deadLetter:
                let other = segment.deadLetters[item.deadLetter]
                guard letter.projection == nil || letter.projection == other.projection else { continue }
                // The letter itself again, rather than one of a projection that its message now reaches.
                if other.projection == letter.projection, other.row == letter.row { self.rejection = other.rejection }
            }
            items.append(index)
        }
        // A message is counted with its first item; one whose rows nobody takes, with a mark.
        if items.isEmpty, let mark = segment.items.indices.last { items.append(mark) }
        for index in self.segment.items.indices { self.segment.items[index].tally = Tally() }
        if !letter.isWhole { tally.filtered = 0 }
        // A message is counted with its first item; one whose rows no projection takes, with its segment.
        self.segment.pendingTally = Tally()
        if let first = items.first {
            self.segment.items[first].tally = tally
        } else {
            self.segment.pendingTally = tally
        }
        // A place that is not known is not made up.
        if letter.reading == nil {
            for index in self.segment.deadLetters.indices { self.segment.deadLetters[index].reading = nil }
        }
        self.items = items
    }

    func append(to batch: inout LaneBatch) {
        batch.beginSegment(self.segment)
        for index in self.items { batch.append(ItemReference(segment: batch.segments.count - 1, index: index)) }
        batch.endSegment()
    }
}
