import Synchronization

/// Wakes one task that waits. A signal that comes while nothing waits ends the next wait at once.
package final class Wakeup: Sendable {
    private struct State {
        var isSignalled = false
        var waiter: CheckedContinuation<Void, Never>?
        var deadline: ContinuousClock.Instant?
    }

    private let state = Mutex(State())

    package init() {}

    package func signal() {
        let waiter = self.state.withLock { state in
            state.isSignalled = state.waiter == nil
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits for a signal, for the cancellation of the task, or for a tick after the deadline.
    package func wait(until deadline: ContinuousClock.Instant? = nil) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let ready = self.state.withLock { state -> [CheckedContinuation<Void, Never>] in
                    guard !state.isSignalled, !Task.isCancelled else {
                        state.isSignalled = false
                        return [continuation]
                    }
                    // One that waits already is woken for nothing.
                    let former = state.waiter
                    (state.waiter, state.deadline) = (continuation, deadline)
                    return former.map { [$0] } ?? []
                }
                for waiter in ready { waiter.resume() }
            }
        } onCancel: {
            self.signal()
        }
    }

    /// Waits like ``wait(until:)``, for so long at most.
    package func wait(atMost duration: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: duration) }
            group.addTask { await self.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    /// Wakes the waiter if its deadline has passed.
    package func tick(_ now: ContinuousClock.Instant) {
        let isDue = self.state.withLock { $0.waiter != nil && $0.deadline.map { $0 <= now } ?? false }
        if isDue { self.signal() }
    }
}
