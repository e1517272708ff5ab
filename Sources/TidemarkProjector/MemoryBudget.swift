import Synchronization
package import TidemarkCore

/// One budget of bytes for all that waits between a source and its commit: blocks as they were read, and what they came
/// to, dead letters and images included. Readers wait for a permit before they read.
///
/// A live pass whose database was lost may use a small part of it (``caution()``), so that memory stays as it was while
/// the database is away and while a short outage is caught up with. Once the backlog is gone, or `patience` bytes of it
/// have been committed, it is the whole again: large batches cost less an event.
package final class MemoryBudget: Sendable {
    private struct State {
        var used = 0
        /// The database was lost, and the backlog since then is not committed.
        var isCautious = false
        /// Nothing has been committed since.
        var isAway = false
        /// Bytes that have come back since something was.
        var returned = 0
        var waiters: [(id: UInt64, bytes: Int, continuation: CheckedContinuation<Void, Never>)] = []
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())
    package let limit: Int
    private let cautious: Int
    private let patience: Int

    /// - Parameters:
    ///   - limit: in bytes.
    ///   - cautious: how many of them may be in use after ``caution()``; all where it is `nil`.
    ///   - patience: how many bytes have to come back before it is more.
    package init(limit: Int, cautious: Int? = nil, patience: Int = 0) {
        self.limit = limit
        self.cautious = min(limit, cautious ?? limit)
        self.patience = patience
    }

    /// The database was lost, and what waits cannot be committed for now.
    package func caution() {
        self.state.withLock { state in
            (state.isCautious, state.isAway, state.returned) = (true, true, 0)
        }
    }

    /// Something was committed: the database is there.
    package func relax() { self.state.withLock { $0.isAway = false } }

    /// Bytes that permits hold now.
    package var used: Int { self.state.withLock { $0.used } }

    /// Somebody waits for bytes: what lanes hold has to be committed, however little it is.
    package var hasWaiters: Bool { self.state.withLock { !$0.waiters.isEmpty } }

    /// Whether a permit would be given at once.
    package func hasRoom(for bytes: Int) -> Bool { self.state.withLock { self.fits(bytes, $0) } }

    /// One that is larger than the budget is given when nothing else is in use.
    private func fits(_ bytes: Int, _ state: State) -> Bool {
        state.used == 0 || state.used + bytes <= self.allowance(state)
    }

    /// How many bytes may be in use now.
    private func allowance(_ state: State) -> Int {
        guard state.isCautious else { return self.limit }
        return min(self.limit, self.cautious + 16 * max(0, state.returned - self.patience))
    }

    /// A permit for so many bytes.
    /// - Parameters:
    ///   - bytes: 0 of a reader that is at the end of its stream for now.
    ///   - willWait: called once before the first wait.
    /// - Throws: `CancellationError`.
    package func acquire(_ bytes: Int, willWait: () -> Void = {}) async throws -> MemoryPermit {
        var hasWaited = false
        while true {
            try Task.checkCancellation()
            let isGiven = self.state.withLock { state in
                guard self.fits(bytes, state) else { return false }
                if bytes == 0, !state.isAway, state.used < self.cautious / 2 { state.isCautious = false }
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
            if !state.isAway { state.returned += max(0, -bytes) }
            guard bytes < 0, let first = state.waiters.first, self.fits(first.bytes, state) else {
                return [CheckedContinuation<Void, Never>]()
            }
            defer { state.waiters.removeAll() }
            return state.waiters.map(\.continuation)
        }
        for waiter in woken { waiter.resume() }
    }
}
