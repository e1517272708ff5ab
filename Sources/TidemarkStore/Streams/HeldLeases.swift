import Synchronization
import TidemarkCore

/// The leases that a process holds in the service's pass, and the streams that it waits for.
final class HeldLeases: Sendable {
    private struct State {
        var held: [StreamID: StreamLease] = [:]
        var waiting: [StreamID: (number: UInt64, continuation: CheckedContinuation<StreamLease?, Never>)] = [:]
        var nextNumber: UInt64 = 0
        /// Who shares streams is to look at once.
        var isWoken = false
        var sharer: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    var held: Set<StreamID> { self.state.withLock { Set($0.held.keys) } }
    var waiting: Set<StreamID> { self.state.withLock { Set($0.waiting.keys) } }

    /// Waits for a stream's lease.
    /// - Returns: `nil` where there is nothing left to read of it, or another task of this process waits for it.
    /// - Throws: `CancellationError`.
    func wait(for stream: StreamID) async throws -> StreamLease? {
        let number = self.state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        let lease = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<StreamLease?, Never>) in
                let isCancelled = self.state.withLock { state in
                    // A file under two names is one stream.
                    guard !Task.isCancelled, state.waiting[stream] == nil, state.held[stream] == nil else {
                        return true
                    }
                    state.waiting[stream] = (number, continuation)
                    return false
                }
                if isCancelled { continuation.resume(returning: nil) }
                self.wake()
            }
        } onCancel: {
            let waiter = self.state.withLock { state in
                state.waiting[stream]?.number == number ? state.waiting.removeValue(forKey: stream) : nil
            }
            waiter?.continuation.resume(returning: nil)
        }
        try lease == nil ? Task.checkCancellation() : ()
        return lease
    }

    /// Nothing is left to read of a stream.
    func end(_ stream: StreamID) {
        let waiter = self.state.withLock { $0.waiting.removeValue(forKey: stream) }
        waiter?.continuation.resume(returning: nil)
    }

    /// A lease was taken.
    /// - Returns: `false` where nobody waits for it any more.
    func grant(_ stream: StreamID) -> Bool {
        let lease = StreamLease(stream)
        let waiter = self.state.withLock { state in
            guard let waiter = state.waiting.removeValue(forKey: stream) else {
                return CheckedContinuation<StreamLease?, Never>?.none
            }
            state.held[stream] = lease
            return waiter.continuation
        }
        waiter?.resume(returning: lease)
        return waiter != nil
    }

    func revoke(_ stream: StreamID) { self.state.withLock { $0.held[stream] }?.revocation.open() }

    func drop(_ stream: StreamID) { _ = self.state.withLock { $0.held.removeValue(forKey: stream) } }

    // MARK: Sharing

    /// Has ``sleep(for:)`` end.
    func wake() {
        let sharer = self.state.withLock { state in
            state.isWoken = true
            defer { state.sharer = nil }
            return state.sharer
        }
        sharer?.resume()
    }

    /// Waits until it is woken, or the time is up.
    /// - Throws: `CancellationError`.
    func sleep(for duration: Duration) async throws {
        let timer = Task {
            try await Task.sleep(for: duration)
            self.wake()
        }
        defer { timer.cancel() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let goesOn = self.state.withLock { state in
                    guard !Task.isCancelled, !state.isWoken else { return true }
                    state.sharer = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            self.wake()
        }
        self.state.withLock { $0.isWoken = false }
        try Task.checkCancellation()
    }
}
