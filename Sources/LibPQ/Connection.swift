internal import CLibPQ
internal import PlatformC

/// One connection to a PostgreSQL server.
///
/// Commands run one at a time, each from start to end, on the connection's own executor, where they may block. They do
/// not heed the cancellation of the calling task, so that a commit is never torn off half known; ``interrupt()`` has the
/// server cancel one.
/// A command that throws leaves the connection usable, and an open transaction open (and failed), unless ``isBroken``.
package actor Connection {
    private let executor: ConnectionExecutor
    private let socket: ConnectionSocket
    let waker: Waker
    private let faults: FaultInjector?
    private let interrupter: CommandInterrupter
    private(set) var openHandle: ConnectionHandle?

    /// The process that serves this connection, as `pg_stat_activity` shows it.
    package nonisolated let backendPID: Int32

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    /// Connects, with UTF-8 as the encoding. Heeds cancellation of the task.
    /// Notices and warnings are dropped. What the server says during the log-in libpq prints to standard error.
    /// - Throws: `.invalidOptions`, `.connectionFailed` (its message names the host), `.cancelled`.
    package static func connect(_ options: ConnectionOptions) async throws(PostgresError) -> Connection {
        let executor = ConnectionExecutor()
        let waker = Waker()
        guard waker.isUsable else { throw PostgresError(.connectionFailed, "no pipe: errno \(errno)") }
        let opener = ConnectionOpener(options: options, waker: waker)
        let outcome = await withTaskCancellationHandler {
            await ConnectionOpening(executor).connection(by: opener)
        } onCancel: {
            waker.wake()
        }
        let connection = try outcome.get()
        try options.interruptions?.insert(connection.interrupter)
        if let settings = options.settings { try await connection.prepareSession(settings) }
        return connection
    }

    /// Takes the limit away that a role or a database may have set for a statement, and runs the settings. Both are tried
    /// again: a limit of a few milliseconds holds for the command that takes it away, and where it runs out between that
    /// command's end and the server's next one, PostgreSQL ends the next one (ProcessInterrupts reports a limit that ran
    /// out while it reads a command, where it ignores a request to cancel).
    private func prepareSession(_ settings: String) throws(PostgresError) {
        for attempt in 1... {
            do {
                try self.execute("set statement_timeout = 0")
                return try self.execute(settings)
            } catch {
                guard error.sqlState == "57014", attempt < 100 else { throw error }
            }
        }
    }

    init(
        _ executor: ConnectionExecutor,
        _ waker: Waker,
        _ handle: sending ConnectionHandle,
        _ faults: FaultInjector?
    ) {
        self.faults = faults
        self.executor = executor
        self.waker = waker
        self.socket = handle.socket
        self.interrupter = CommandInterrupter(handle.pointer)
        self.backendPID = PQbackendPID(handle.pointer)
        self.openHandle = handle
    }

    /// Closes the connection, which ends an open transaction without committing it. Closing twice is fine, and the last
    /// reference closes too.
    package func close() {
        self.openHandle = nil
    }

    /// Gives the connection up without its server, which may never answer: a command that waits throws
    /// `.connectionLost`. Callable from any thread.
    package nonisolated func abandon() {
        self.socket.shutDown()
    }

    /// Has the server cancel the command that runs, or the next one if none does: it throws `.cancelled` without a
    /// SQLSTATE, and what its transaction did is rolled back. Later commands run. Callable from any thread.
    package nonisolated func interrupt() { self.interrupter.interrupt() }

    /// Lets the next command run, where ``interrupt()`` met none.
    package nonisolated func forgetInterruption() { self.interrupter.forget() }

    /// The connection is closed, or a command has found it lost: all it can still do is to be replaced. A loss while
    /// nothing runs shows at the next command.
    package var isBroken: Bool { self.openHandle?.isBroken ?? true }

    /// The connection for a command.
    /// - Throws: `.connectionClosed`.
    func usablePointer() throws(PostgresError) -> OpaquePointer {
        guard let handle = self.openHandle else { throw PostgresError(.connectionClosed, "the connection was closed") }
        guard !handle.isBroken else { throw PostgresError(.connectionClosed, connection: handle.pointer) }
        return handle.pointer
    }

    /// Runs a command, which ``interrupt()`` can end.
    func performing<R>(_ command: () throws(PostgresError) -> R) throws(PostgresError) -> R {
        try self.interrupter.begin()
        do {
            let result = try self.withFaults(command)
            _ = self.interrupter.end(nil)
            return result
        } catch {
            throw self.interrupter.end(error) ?? error
        }
    }

    /// Runs a command, unless a test wants the connection to be lost around it.
    private func withFaults<R>(_ command: () throws(PostgresError) -> R) throws(PostgresError) -> R {
        guard let faults = self.faults else { return try command() }
        if faults.shouldFail(.before) { throw self.giveUp("withFaults before a command", .connectionLost) }
        let result = try command()
        if faults.shouldFail(.after) { throw self.giveUp("withFaults after a command", .connectionLost) }
        return result
    }

    /// Gives the connection up after an exchange that broke the protocol.
    func giveUp(_ message: String, _ code: PostgresError.Code = .protocolViolation) -> PostgresError {
        self.openHandle = nil
        return PostgresError(code, message)
    }
}
