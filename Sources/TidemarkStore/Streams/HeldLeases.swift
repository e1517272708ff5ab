import Synchronization
import TidemarkCore

/// The leases that a process holds in the service's pass, and the streams that it waits for.
final class HeldLeases: Sendable {
    private struct State {
        var held: [StreamID: StreamLease] = [:]
        var waiting: [StreamID: (number: UInt64, continuation: CheckedContinuation<StreamLease?, Never>)] = [:]
        var nextNumber: UInt64 = 0
    }

    private let state = Mutex(State())
    /// Has the task that shares streams look at once.
    let wakeup = Wakeup()

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
                self.wakeup.signal()
            }
        } onCancel: {
            let waiter = self.state.withLock { state in
                state.waiting[stream]?.number == number ? state.waiting.removeValue(forKey: stream) : nil
            }
            waiter?.continuation.resume(returning: nil)
        }
        if lease == nil { try Task.checkCancellation() }
        return lease
    }

    /// Nothing is left to read of a stream.
    func end(_ stream: StreamID) {
        let waiter = self.state.withLock { $0.waiting.removeValue(forKey: stream) }
        waiter?.continuation.resume(returning: nil)
    }

    /// A lease was taken.
    /// - Returns: `false` where no task waits for it any more.
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
}
