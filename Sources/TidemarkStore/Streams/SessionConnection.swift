import LibPQ
import TidemarkCore

/// A connection of a process that is replaced when it is lost.
actor SessionConnection {
    private(set) var current: Connection
    private let options: ConnectionOptions
    private let stop: RetryStop
    private let prepare: @Sendable (_ connection: Connection, _ former: Int32) async throws -> Void
    private var renewal: Task<Connection, any Error>?

    /// - Parameter prepare: makes a new connection one of the process's sessions, in the place of the one that the server
    ///   process `former` serves.
    init(
        _ connection: Connection,
        _ options: ConnectionOptions,
        stop: RetryStop,
        _ prepare: @escaping @Sendable (_ connection: Connection, _ former: Int32) async throws -> Void
    ) {
        self.current = connection
        self.options = options
        self.stop = stop
        self.prepare = prepare
    }

    /// The connection, replaced if it was lost. Several callers wait for one attempt.
    /// - Parameter wait: how long to wait for an unreachable database; `nil` for ever.
    func held(wait: Duration?) async throws -> Connection {
        if let renewal { return try await renewal.valueUnlessCancelled }
        do {
            _ = try await self.current.query("select 1")
            return self.current
        } catch {
            guard error.isConnectionLoss else { throw error }
        }
        if let renewal { return try await renewal.valueUnlessCancelled }
        let (options, stop, prepare, former) = (self.options, self.stop, self.prepare, self.current.backendPID)
        let renewal = Task {
            try await DatabaseRetry(wait: wait, stop: stop).perform {
                let connection = try await Connection.connect(options)
                do {
                    try await prepare(connection, former)
                } catch {
                    await connection.close()
                    throw error
                }
                return connection
            }
        }
        self.renewal = renewal
        // A caller that is cancelled leaves the attempt to the next one.
        Task { self.settle(await renewal.result) }
        return try await renewal.valueUnlessCancelled
    }

    private func settle(_ result: Result<Connection, any Error>) {
        self.renewal = nil
        if case .success(let connection) = result { self.current = connection }
    }
}
