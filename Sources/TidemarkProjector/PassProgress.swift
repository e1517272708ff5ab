import Synchronization

/// How far a replay is, for whoever shows it.
package final class PassProgress: Sendable {
    package struct Snapshot: Sendable {
        /// As stored, compressed files compressed; `nil` while the size of the input is unknown.
        package var bytesTotal: Int64?
        package var bytesRead: Int64 = 0
        package var eventsCommitted: Int64 = 0
        /// In batches that lanes are committing.
        package var eventsInHand = 0
        package var messagesRead: Int64 = 0
        package var deadLetters: Int64 = 0
        package var lastCommit: ContinuousClock.Instant?
    }

    private let state = Mutex(Snapshot())
    package let start = ContinuousClock.now

    package init() {}

    var eventsInHand: Int { self.snapshot.eventsInHand }

    package var snapshot: Snapshot { self.state.withLock { $0 } }

    func update(_ change: (inout Snapshot) -> Void) {
        self.state.withLock { change(&$0) }
    }
}
