import Synchronization

/// How far a replay is, for whoever shows it.
package final class PassProgress: Sendable {
    package struct Snapshot: Sendable {
        /// As stored, compressed files compressed; `nil` while the size of the input is unknown.
        package var bytesTotal: Int64?
        package var bytesRead: Int64 = 0
        /// Of those, what has been handed to lanes and is not committed yet.
        package var bytesInHand: Int64 = 0
        package var eventsCommitted: Int64 = 0
        /// In batches that lanes are committing.
        package var eventsInHand = 0
        package var messagesRead: Int64 = 0
        package var deadLetters: Int64 = 0
        package var lastCommit: ContinuousClock.Instant?

        package var bytesCommitted: Int64 { self.bytesRead - self.bytesInHand }
    }

    /// What waits now, while a pass runs.
    package struct Gauges: Sendable {
        /// In the lanes' queues, in bytes.
        package var queueBytes: Int
        /// Of the budget for all that waits between reading and its commit, in bytes.
        package var budgetUsed: Int
        package var budgetLimit: Int
        package var behind: [String: SourceBehind]
    }

    /// How far the streams of a source are behind.
    package struct SourceBehind: Sendable, Equatable {
        /// Between what is committed and the ends of the streams, as their offsets count; `nil` where that is not known.
        package var amount: Int64?
        /// All that is known of them is committed.
        package var isLevel = true

        package init() {}
    }

    private let state = Mutex(Snapshot())
    private let gauge = Mutex<(@Sendable () -> Gauges)?>(nil)
    package let start = ContinuousClock.now

    package init() {}

    var eventsInHand: Int { self.snapshot.eventsInHand }

    package var snapshot: Snapshot { self.state.withLock { $0 } }

    /// `nil` while no pass runs.
    package var gauges: Gauges? { self.gauge.withLock { $0 }?() }

    func watch(_ gauge: (@Sendable () -> Gauges)?) { self.gauge.withLock { $0 = gauge } }

    func update(_ change: (inout Snapshot) -> Void) {
        self.state.withLock { change(&$0) }
    }
}
