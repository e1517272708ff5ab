import Synchronization
package import TidemarkCore

/// One budget of bytes for all that waits between a source and its commit: blocks as they were read, and what they came
/// to, dead letters and images included. Readers wait for a permit before they read.
package final class MemoryBudget: Sendable {
    private struct State {
        var used = 0
        var waiters: [(id: UInt64, bytes: Int, continuation: CheckedContinuation<Void, Never>)] = []
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())
    package let limit: Int

    /// - Parameter limit: in bytes.
    package init(limit: Int) { self.limit = limit }

    /// Bytes that permits hold now.
    package var used: Int { self.state.withLock { $0.used } }

    /// Somebody waits for bytes: what lanes hold has to be committed, however little it is.
    package var hasWaiters: Bool { self.state.withLock { !$0.waiters.isEmpty } }

    /// Whether a permit would be given at once.
    package func hasRoom(for bytes: Int) -> Bool { self.state.withLock { self.fits(bytes, $0) } }

    /// One that is larger than the budget is given when nothing else is in use.
    private func fits(_ bytes: Int, _ state: State) -> Bool {
        state.used == 0 || state.used + bytes <= self.limit
    }

    /// A permit for so many bytes.
    /// - Parameter willWait: called once before the first wait.
    /// - Throws: `CancellationError`.
    package func acquire(_ bytes: Int, willWait: () -> Void = {}) async throws -> MemoryPermit {
        var hasWaited = false
        while true {
            try Task.checkCancellation()
            let isGiven = self.state.withLock { state in
                guard self.fits(bytes, state) else { return false }
                state.used += bytes
                return true
            }
            if isGiven { return MemoryPermit(bytes) { self.change(by: $0) } }
            if !hasWaited { willWait() }
            hasWaited = true
            await self.wait(for: bytes)
        }
    }

    private func wait(for bytes: Int) async {
        let id = self.state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let goesOn = self.state.withLock { state in
                    guard !Task.isCancelled, !self.fits(bytes, state) else { return true }
                    state.waiters.append((id, bytes, continuation))
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            let waiter = self.state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0).continuation }
            }
            waiter?.resume()
        }
    }

    private func change(by bytes: Int) {
        let woken = self.state.withLock { state in
            state.used += bytes
            guard bytes < 0, let first = state.waiters.first, self.fits(first.bytes, state) else {
                return [CheckedContinuation<Void, Never>]()
            }
            defer { state.waiters.removeAll() }
            return state.waiters.map(\.continuation)
        }
        for waiter in woken { waiter.resume() }
    }
}
