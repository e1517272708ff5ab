import LibPQ
import Synchronization
package import TidemarkCore

/// What became of the dead letters that were tried again.
package struct RetryOutcome: Sendable {
    /// One that is a dead letter still.
    package struct Remaining: Sendable {
        package var id: Int64
        package var reason: String
        package var detail: String

        package init(id: Int64, reason: String, detail: String) {
            self.id = id
            self.reason = reason
            self.detail = detail
        }
    }

    /// Letters that are gone: their rows went through, or are none that a projection takes.
    package var resolved = 0
    /// Tried, and refused again.
    package var refused: [Remaining] = []
    /// Not tried: what is kept of them is not enough.
    package var skipped: [Remaining] = []
    /// What the rows came to.
    package var summary = PassSummary()

    package var retried: Int { self.resolved + self.refused.count }

    package init() {}
}

/// Keeps what becomes of letters while they are tried, and ends the transaction that writes a letter's rows with its
/// removal.
package final class RetryReport: Sendable {
    private struct State {
        var resolved: Set<Int64> = []
        var refused: [Int64: Rejection] = [:]
        var skipped: [RetryOutcome.Remaining] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// - Parameter why: why it cannot be tried, and what would help.
    package func skip(_ letter: StoredDeadLetter, because why: String) {
        let remaining = RetryOutcome.Remaining(id: letter.id, reason: letter.reason, detail: why)
        self.state.withLock { $0.skipped.append(remaining) }
    }

    /// The letters of a batch that went through are removed with it. A letter that was refused stays: the batch has it
    /// as a dead letter again, for its new reason.
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
