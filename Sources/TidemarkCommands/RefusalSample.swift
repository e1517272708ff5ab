import TidemarkCore

/// The dead letters that a sample would make: of messages that no projection could read, and of each projection's
/// events.
struct RefusalSample {
    private struct Reason {
        var count = 0
        /// The sentence of the first letter, and where it stands.
        var example: String
        var position: String
    }

    private var messages = 0
    /// The events that each projection would keep, by its index.
    private var kept: [Int: Int] = [:]
    /// By the projection's name; `nil` for whole messages.
    private var reasons: [String?: [Rejection.Reason: Reason]] = [:]

    mutating func count(_ batch: LaneBatch) {
        self.messages += Int(batch.tally.messages)
        for item in batch.changes { self.kept[Int(batch[item].projection), default: 0] += 1 }
        for item in batch.others where batch[item].kind == .deadLetter {
            let letter = batch.segments[Int(item.segment)].deadLetters[batch[item].deadLetter]
            let rejection = letter.rejection
            let first = Reason(example: rejection.detail, position: letter.position)
            self.reasons[letter.projection, default: [:]][rejection.reason, default: first].count += 1
        }
    }

    /// A warning for whole messages and for each projection, with how many of how many are refused and why.
    /// - Parameter projections: the names in the order of their indices.
    func warnings(_ projections: [String]) -> [String] {
        var warnings: [String] = []
        if self.messages > 0, self.kept.isEmpty {
            warnings.append("none of the \(self.messages) messages of the sample would be applied")
        }
        if let reasons = self.reasons[nil] {
            warnings.append(Self.warning(reasons, of: self.messages, "messages of the sample"))
        }
        for (index, name) in projections.enumerated() {
            guard let reasons = self.reasons[name] else { continue }
            let all = self.kept[index, default: 0] + reasons.values.reduce(0) { $0 + $1.count }
            warnings.append(
                "projection \(name): " + Self.warning(reasons, of: all, "events that it takes of the sample")
            )
        }
        return warnings
    }

    private static func warning(_ reasons: [Rejection.Reason: Reason], of all: Int, _ what: String) -> String {
        let count = reasons.values.reduce(0) { $0 + $1.count }
        let sorted = reasons.sorted { ($1.value.count, $0.key.rawValue) < ($0.value.count, $1.key.rawValue) }
        let parts = sorted.map { reason, found in
            "\(found.count) \(reason.rawValue) (first \(found.position)"
                + (Self.showsValues(reason) ? ")" : ": \(found.example))")
        }
        return (count == all ? "all" : "\(count) of") + " \(all) \(what) would be dead letters: "
            + parts.joined(separator: ", ")
    }

    /// Its sentence quotes what the message holds: that stands in the database only.
    private static func showsValues(_ reason: Rejection.Reason) -> Bool {
        reason == .valueInvalid || reason == .malformedJSON
    }
}
