internal import CLibPQ
internal import Synchronization

/// Has the server cancel a connection's command, from any thread.
final class CommandInterrupter: Sendable {
    /// libpq allows its use from any thread.
    private struct Handle: @unchecked Sendable {
        let pointer: OpaquePointer?
    }

    private struct State {
        var isWanted = false
        var isRunning = false
    }

    private let handle: Handle
    private let state = Mutex(State())

    init(_ connection: OpaquePointer) { self.handle = Handle(pointer: PQgetCancel(connection)) }

    deinit { PQfreeCancel(self.handle.pointer) }

    /// Called before a command is sent.
    /// - Throws: `.cancelled` where an interruption waits for a command.
    func begin() throws(PostgresError) {
        let isWanted = self.state.withLock { state in
            state.isRunning = !state.isWanted
            defer { state.isWanted = false }
            return state.isWanted
        }
        if isWanted { throw Self.interrupted }
    }

    /// Called after a command.
    /// - Returns: the error to throw: one without a SQLSTATE where the interruption caused it, so that nothing is retried.
    func end(_ error: PostgresError?) -> PostgresError? {
        self.state.withLock { state in
            state.isRunning = false
            guard let error, error.code == .cancelled, state.isWanted else { return error }
            state.isWanted = false
            return Self.interrupted
        }
    }

    static let interrupted = PostgresError(.cancelled, "interrupted")

    func forget() { self.state.withLock { $0.isWanted = false } }

    func interrupt() {
        self.state.withLock { $0.isWanted = true }
        // Again and again, because the server ignores a request that comes before the command.
        Task.detached {
            while self.requestCancel() { try? await Task.sleep(for: .milliseconds(50)) }
        }
    }

    /// - Returns: whether the command still runs. The lock is held meanwhile, so that a request meets no later command.
    private func requestCancel() -> Bool {
        self.state.withLock { state in
            guard state.isWanted, state.isRunning else { return false }
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { message in
                _ = PQcancel(self.handle.pointer, message.baseAddress, Int32(message.count))
            }
            return true
        }
    }
}

/// The connections of all options that it was given to, to interrupt them together and for good.
package final class ConnectionInterruptions: Sendable {
    private struct Member {
        weak var interrupter: CommandInterrupter?
    }

    private struct State {
        var isOver = false
        var members: [Member] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// - Throws: `.cancelled` once they are interrupted.
    func insert(_ interrupter: CommandInterrupter) throws(PostgresError) {
        let isOver = self.state.withLock { state in
            state.members.removeAll { $0.interrupter == nil }
            state.members.append(Member(interrupter: interrupter))
            return state.isOver
        }
        if isOver { throw CommandInterrupter.interrupted }
    }

    /// As ``Connection/interrupt()``, of each; and no other one is opened.
    package func interrupt() {
        let members = self.state.withLock { state in
            state.isOver = true
            return state.members
        }
        for member in members { member.interrupter?.interrupt() }
    }
}
