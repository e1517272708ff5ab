import Synchronization

/// Which readers of a pass have something at hand, or on its way. While one has, what the others have brought is let
/// grow for a moment: of many partitions one is about to wait at any time, and a transaction for each such moment costs
/// a tenth of all processor time.
package final class ReaderActivity: Sendable {
    private let active = Atomic<Int>(0)
    private let queues: [LaneQueue]
    /// What has arrived may wait so long for readers that have more.
    private let arrived: DelayedFlush
    /// What belongs to a backlog may wait so long for the rest of it.
    private let backlog: DelayedFlush

    package init(_ queues: [LaneQueue]) {
        self.queues = queues
        self.arrived = DelayedFlush(queues, after: .milliseconds(20))
        self.backlog = DelayedFlush(queues, after: .milliseconds(100))
    }

    /// A reader begins.
    package func begin() { self.active.add(1, ordering: .sequentiallyConsistent) }

    /// A reader ends.
    package func end() { self.rest() }

    /// Waits as a reader that has nothing at hand. What is there is a batch at once where no reader has more.
    /// - Parameter isBehind: more is on its way to it.
    package func wait<R>(isBehind: Bool, for step: () async throws -> R) async rethrows -> R {
        guard !isBehind else {
            self.backlog.start()
            return try await step()
        }
        self.rest()
        defer { self.begin() }
        return try await step()
    }

    private func rest() {
        if self.active.subtract(1, ordering: .sequentiallyConsistent).newValue > 0 {
            self.arrived.start()
        } else {
            self.queues.flush()
        }
    }
}

/// Flushes queues once in a while, however often it is asked to.
private final class DelayedFlush: Sendable {
    private let isDue = Atomic<Bool>(false)
    private let queues: [LaneQueue]
    private let delay: Duration

    init(_ queues: [LaneQueue], after delay: Duration) {
        self.queues = queues
        self.delay = delay
    }

    func start() {
        guard !self.isDue.exchange(true, ordering: .sequentiallyConsistent) else { return }
        Task {
            try? await Task.sleep(for: self.delay)
            self.isDue.store(false, ordering: .sequentiallyConsistent)
            self.queues.flush()
        }
    }
}
