import Synchronization

extension Task where Failure == any Error {
    /// The result, for as long as the caller is not cancelled; the task goes on.
    /// - Throws: what the task throws; `CancellationError`.
    package var valueUnlessCancelled: Success {
        get async throws {
            let gate = Gate()
            Task<Void, Never> {
                _ = await self.result
                gate.open()
            }
            try await gate.wait()
            return try await self.value
        }
    }
}

/// Holds tasks until it is opened, once and for ever.
package final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    package var isOpen: Bool { self.state.withLock { $0.isOpen } }

    package func open() {
        let waiters = self.state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// - Throws: `CancellationError`.
    package func wait() async throws {
        let id = self.state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let goesOn = self.state.withLock { state in
                    guard !Task.isCancelled, !state.isOpen else { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            let waiter = self.state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.resume()
        }
        try Task.checkCancellation()
    }
}
