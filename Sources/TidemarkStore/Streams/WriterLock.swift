package import LibPQ
package import Logging

/// Holds the session locks that make a process the one writer of its projections. The locks end with their connection,
/// so after a reconnect they are taken again before the next write.
package actor WriterLock {
    private let options: ConnectionOptions
    private let projections: [String]
    private var connection: Connection
    private var renewal: Task<Connection, any Error>?

    /// - Parameter connection: one that holds the locks.
    package init(_ connection: Connection, options: ConnectionOptions, projections: [String]) {
        self.connection = connection
        self.options = options
        self.projections = projections
    }

    /// The connection that holds the locks, reconnected if it was lost.
    /// - Parameter wait: how long to wait for an unreachable database; `nil` for ever.
    /// - Throws: `StoreError` when another process has become the writer.
    package func held(wait: Duration?) async throws -> Connection {
        if let renewal { return try await renewal.value }
        do {
            _ = try await self.connection.query("select 1")
            return self.connection
        } catch {
            guard error.isConnectionLoss else { throw error }
        }
        if let renewal { return try await renewal.value }
        let (options, projections) = (self.options, self.projections)
        let renewal = Task { try await Self.take(projections, options, wait: wait) }
        self.renewal = renewal
        defer { self.renewal = nil }
        self.connection = try await renewal.value
        return self.connection
    }

    /// Runs a repeatable step on the connection that holds the locks. When the connection is lost, the locks are taken
    /// again and the step is retried, with growing delays.
    /// - Parameter wait: how long a failing step is retried, and how long to wait for an unreachable database before
    ///   each attempt; `nil` for ever.
    package nonisolated func perform<R: Sendable>(
        wait: Duration?,
        logger: Logger,
        _ step: (Connection) async throws -> R
    ) async throws -> R {
        try await DatabaseRetry(wait: wait, logger: logger).perform { try await step(try await self.held(wait: wait)) }
    }

    private static func take(
        _ projections: [String],
        _ options: ConnectionOptions,
        wait: Duration?
    ) async throws -> Connection {
        try await DatabaseRetry(wait: wait).perform {
            let connection = try await Connection.connect(options)
            for projection in projections { try await PassStore.lock(projection, on: connection) }
            return connection
        }
    }
}
