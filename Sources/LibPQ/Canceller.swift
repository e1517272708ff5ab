internal import CLibPQ
internal import Dispatch
internal import Synchronization

/// Asks the server to stop the command that is running, from any thread.
///
/// The server does not know which command a request is about: it stops whatever runs when the request arrives. So the
/// next command waits until requests on their way have arrived, and a request is sent only while a command runs.
///
/// Unchecked because of the pointer. It is safe because libpq only reads a `PGcancel` (which holds an address and a key,
/// and is no part of the connection), and frees it here, with the last reference, which a request on its way holds too.
final class Canceller: @unchecked Sendable {
    private let pointer: OpaquePointer
    private let isRunning = Mutex(false)
    private let onTheirWay = DispatchGroup()
    private static let queue = DispatchQueue(label: "tidemark.libpq.cancel", attributes: .concurrent)

    /// - Returns: `nil` when the connection is down.
    init?(connection: OpaquePointer) {
        guard let pointer = PQgetCancel(connection) else { return nil }
        self.pointer = pointer
    }

    deinit {
        PQfreeCancel(self.pointer)
    }

    func commandBegins() {
        self.onTheirWay.wait()
        self.isRunning.withLock { $0 = true }
    }

    func commandEnds() {
        self.isRunning.withLock { $0 = false }
    }

    /// Does not wait: sending a request opens a connection of its own, which can block.
    /// - Returns: whether a command was running.
    func cancel() -> Bool {
        let isRunning = self.isRunning.withLock { isRunning in
            // Inside the lock, so that the end of the command and the start of the next cannot come in between.
            if isRunning { self.onTheirWay.enter() }
            return isRunning
        }
        guard isRunning else { return false }
        Self.queue.async {
            var complaint = [CChar](repeating: 0, count: 256)
            // A request that fails leaves the command running, which is what its caller sees.
            _ = PQcancel(self.pointer, &complaint, Int32(complaint.count))
            self.onTheirWay.leave()
        }
        return true
    }
}
