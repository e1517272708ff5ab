/// What a pass has counted, over all its runs.
package struct PassSummary: Sendable, Equatable {
    package var messages: Int64 = 0
    package var events: Int64 { self.applied + self.late + self.duplicate + self.filtered }
    package var applied: Int64 = 0
    package var late: Int64 = 0
    package var duplicate: Int64 = 0
    package var filtered: Int64 = 0
    package var control: Int64 = 0
    package var deadLetters: Int64 = 0
    package var conflicts: Int64 = 0
    package var entities: Int64 = 0
    package var bytes: Int64 = 0
    /// Newly reached, muted ones included, by name; every configured one is there.
    package var milestones: [String: Int64] = [:]
    package var elapsedSeconds: Double = 0
    package var isResumed = false

    package init() {}
}

/// How a run of a pass ended, and what it came to.
package struct PassOutcome: Sendable {
    package enum Ending: Sendable, Equatable {
        case finished
        /// A signal: the batch in hand was committed, the rest is read by the next run.
        case interrupted
        /// `--strict` met a dead letter.
        case strict
        case tooManyDeadLetters(limit: String)
        /// An input ended in the middle, or could not be read on.
        case badInput(String)
    }

    package var ending: Ending
    package var summary: PassSummary

    package init(ending: Ending, summary: PassSummary) {
        self.ending = ending
        self.summary = summary
    }
}
