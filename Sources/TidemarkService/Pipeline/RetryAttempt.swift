import TidemarkCore
import TidemarkPostgres

/// One dead letter, routed again: what of its message is the letter's own.
struct RetryAttempt {
    let letter: StoredDeadLetter
    /// Why it is a dead letter still.
    private(set) var rejection: Rejection?
    private var run: LaneSegment
    private let items: [Int]

    /// - Parameter run: what the whole message comes to, for all projections.
    init(_ letter: StoredDeadLetter, _ run: LaneSegment, _ plans: [ProjectionPlan]) {
        self.letter = letter
        self.run = run
        var items: [Int] = []
        var tally = Tally()
        for (index, item) in run.items.enumerated() {
            tally += item.tally
            guard letter.isWhole || item.row == letter.row else { continue }
            switch item.kind {
            case .change, .truncate, .seen:
                guard letter.projection == nil || letter.projection == plans[Int(item.projection)].name else {
                    continue
                }
            case .deadLetter:
                let other = run.deadLetters[item.deadLetter]
                guard letter.projection == nil || letter.projection == other.projection else { continue }
                // The letter itself again, rather than one of a projection that its message now reaches.
                if other.projection == letter.projection, other.row == letter.row { self.rejection = other.rejection }
            case .mark, .end: continue
            }
            items.append(index)
        }
        // A message is counted with its first item; one whose rows nobody takes, with a mark.
        if items.isEmpty, let mark = run.items.indices.last { items.append(mark) }
        for index in self.run.items.indices { self.run.items[index].tally = Tally() }
        if !letter.isWhole { tally.filtered = 0 }
        if let first = items.first { self.run.items[first].tally = tally }
        // A place that is not known is not made up.
        if letter.reading == nil {
            for index in self.run.deadLetters.indices { self.run.deadLetters[index].reading = nil }
        }
        self.items = items
    }

    func append(to batch: inout LaneBatch) {
        let number = batch.runs.count
        batch.runs.append(self.run)
        for index in self.items { batch.append(ItemReference(run: number, index: index)) }
    }
}
