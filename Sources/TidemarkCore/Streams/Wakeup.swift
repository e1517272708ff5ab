import Synchronization

/// Wakes tasks that wait. A signal that comes while nothing waits ends the next wait at once.
package final class Wakeup: Sendable {
    private struct State {
        var count = 0
        /// How many of the signals have ended a wait that names no count.
        var seen = 0
        var waiters: [(continuation: CheckedContinuation<Void, Never>, deadline: ContinuousClock.Instant?)] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// How many signals there were.
    package var count: Int { self.state.withLock { $0.count } }

    package func signal() {
        let waiters = self.state.withLock { state in
            state.count += 1
            guard !state.waiters.isEmpty else { return state.waiters }
            state.seen = state.count
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    /// Waits for a signal, for the cancellation of a task that waits, or for a tick after the deadline.
    /// - Parameter count: of the signals that are known: one that has come since ends the wait at once. Tasks that wait
    ///   beside each other name it, so that none takes the other's signal.
    package func wait(until deadline: ContinuousClock.Instant? = nil, since count: Int? = nil) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let isReady = self.state.withLock { state in
                    guard !Task.isCancelled, state.count == count ?? state.seen else {
                        if count == nil { state.seen = state.count }
                        return true
                    }
                    state.waiters.append((continuation, deadline))
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            self.signal()
        }
    }

    /// Waits like ``wait(until:since:)``, for so long at most.
    package func wait(atMost duration: Duration, since count: Int? = nil) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: duration) }
            group.addTask { await self.wait(since: count) }
            await group.next()
            group.cancelAll()
        }
    }

    /// Wakes the waiters if the deadline of one has passed.
    package func tick(_ now: ContinuousClock.Instant) {
        let isDue = self.state.withLock { $0.waiters.contains { $0.deadline.map { $0 <= now } ?? false } }
        if isDue { self.signal() }
    }
}
