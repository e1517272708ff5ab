internal import Synchronization
internal import TidemarkStore

/// The queue to the relay's loop: ended attempts, and requests. Each entry wakes the loop.
final class RelayMailbox: Sendable {
    struct Contents {
        var ended: [(delivery: ClaimedDelivery, result: DeliveryResult, took: Duration)] = []
        var isWoken = false
        var isStopping = false
        var isDraining = false

        /// Whether there are entries that the loop has not taken.
        var isEmpty: Bool { self.ended.isEmpty && !self.isWoken }
    }

    private struct State {
        var contents = Contents()
        var sleepers: [Int: CheckedContinuation<Void, Never>] = [:]
        var drains: [Int: CheckedContinuation<DrainOutcome, Never>] = [:]
        var nextID = 0
        var isClosed = false

        mutating func takeSleepers() -> [CheckedContinuation<Void, Never>] {
            defer { self.sleepers = [:] }
            return Array(self.sleepers.values)
        }

        mutating func takeID() -> Int {
            defer { self.nextID += 1 }
            return self.nextID
        }
    }

    private let state = Mutex(State())

    // MARK: For callers

    func put(_ delivery: ClaimedDelivery, _ result: DeliveryResult, took: Duration) {
        self.change { $0.contents.ended.append((delivery, result, took)) }
    }

    func wake() {
        self.change { $0.contents.isWoken = true }
    }

    func stop() {
        self.change { state in
            state.contents.isStopping = true
            state.contents.isWoken = true
        }
    }

    /// Waits until the loop reports that everything was tried; `.deadlineReached` when the task is cancelled first.
    func drained() async -> DrainOutcome {
        let id = self.state.withLock { $0.takeID() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                var outcome: DrainOutcome?
                self.change { state in
                    if state.isClosed { outcome = .stopped }
                    if Task.isCancelled { outcome = .deadlineReached }
                    guard outcome == nil else { return }
                    state.drains[id] = continuation
                    state.contents.isWoken = true
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            self.state.withLock { $0.drains.removeValue(forKey: id) }?.resume(returning: .deadlineReached)
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let sleepers = self.state.withLock { state in
            body(&state)
            return state.contents.isEmpty ? [] : state.takeSleepers()
        }
        for sleeper in sleepers { sleeper.resume() }
    }

    // MARK: For the loop

    /// Takes all entries.
    func take() -> Contents {
        self.state.withLock { state in
            var contents = state.contents
            contents.isDraining = !state.drains.isEmpty
            state.contents = Contents(isStopping: contents.isStopping)
            return contents
        }
    }

    /// Returns when there is an entry, or the task is cancelled.
    func wait() async {
        let id = self.state.withLock { $0.takeID() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = self.state.withLock { state in
                    guard state.contents.isEmpty, !Task.isCancelled else { return true }
                    state.sleepers[id] = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            self.state.withLock { $0.sleepers.removeValue(forKey: id) }?.resume()
        }
    }

    /// Resumes the callers of ``drained()``.
    func endDrains(_ outcome: DrainOutcome) {
        let drains = self.state.withLock { state in
            defer { state.drains = [:] }
            return Array(state.drains.values)
        }
        for drain in drains { drain.resume(returning: outcome) }
    }

    /// Closes the queue after the loop, and resumes all waiting callers.
    func close() {
        self.state.withLock { $0.isClosed = true }
        self.endDrains(.stopped)
    }
}
