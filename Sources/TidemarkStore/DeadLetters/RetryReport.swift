import LibPQ
import Synchronization
package import TidemarkCore

/// The outcome of a retry of dead letters.
package struct RetryOutcome: Sendable {
    /// A letter that is still a dead letter.
    package struct Remaining: Sendable {
        package var id: Int64
        package var reason: String
        package var detail: String
    }

    /// Removed letters: their rows were committed, or no projection takes them.
    package var resolved = 0
    /// Letters that were refused again.
    package var refused: [Remaining] = []
    /// Letters that were not tried, because too little of the message is kept.
    package var skipped: [Remaining] = []
    /// The verdicts of the rows.
    package var summary = PassSummary()

    package var retried: Int { self.resolved + self.refused.count }
}

/// Collects the outcome of letters during a retry, and removes a letter in the transaction that writes its rows.
package final class RetryReport: Sendable {
    private struct State {
        var resolved: Set<Int64> = []
        var refused: [Int64: Rejection] = [:]
        var skipped: [RetryOutcome.Remaining] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// - Parameter why: why it cannot be retried, and what to do instead.
    package func skip(_ letter: StoredDeadLetter, because why: String) {
        let remaining = RetryOutcome.Remaining(id: letter.id, reason: letter.reason, detail: why)
        self.state.withLock { $0.skipped.append(remaining) }
    }

    /// Removes the letters of a batch that went through. A refused letter stays: the batch holds it as a dead letter
    /// again, with its new reason.
    func statements(closing batch: LaneBatch) -> [Statement] {
        let resolved = self.state.withLock { state in
            for item in batch.others where batch[item].kind == .deadLetter {
                let segment = batch.segments[Int(item.segment)]
                let letter = segment.deadLetters[batch[item].deadLetter]
                guard let retried = segment.retried, retried.isSame(as: letter) else { continue }
                state.refused[retried.id] = letter.rejection
            }
            let done = batch.finished.compactMap { batch.segments[$0].retried?.id }.filter { state.refused[$0] == nil }
            state.resolved.formUnion(done)
            return done
        }
        return resolved.isEmpty ? [] : [DeadLetterStore.resolve(resolved)]
    }

    package func outcome(_ summary: PassSummary) -> RetryOutcome {
        self.state.withLock { state in
            var outcome = RetryOutcome()
            outcome.resolved = state.resolved.count
            outcome.refused = state.refused.sorted { $0.key < $1.key }.map { id, rejection in
                .init(id: id, reason: rejection.reason.rawValue, detail: rejection.detail)
            }
            outcome.skipped = state.skipped
            outcome.summary = summary
            return outcome
        }
    }
}
