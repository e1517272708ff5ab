package import LibPQ
package import Logging

/// Growing delays with some chance in them, so that lanes do not come back all at once.
package struct Backoff {
    private var attempt = 0
    private let deadline: ContinuousClock.Instant?

    package init(limit: Duration?) {
        self.deadline = limit.map { ContinuousClock.now + $0 }
    }

    /// The next delay; `nil` when the time is up.
    package mutating func next() -> Duration? {
        if let deadline, ContinuousClock.now >= deadline { return nil }
        self.attempt += 1
        let ceiling = min(10_000, 50 << min(self.attempt, 8))
        return .milliseconds(Int.random(in: (ceiling / 2)...ceiling))
    }
}

/// Does a step again while the database is not available, with growing delays: the one way to wait for it.
package struct DatabaseRetry: Sendable {
    /// How long a step is done again; `nil` for ever.
    private let wait: Duration?
    private let logger: Logger?
    private let metadata: Logger.Metadata
    private let isWorthIt: @Sendable (PostgresError) -> Bool

    /// - Parameters:
    ///   - logger: told of each failure that is waited out; `nil` for none.
    ///   - metadata: what a line says beside the delay and the error.
    ///   - isWorthIt: whether a failure may pass; by default a lost connection, a restart, a deadlock and the like.
    package init(
        wait: Duration?,
        logger: Logger? = nil,
        metadata: Logger.Metadata = [:],
        isWorthIt: @escaping @Sendable (PostgresError) -> Bool = \.isRetriable
    ) {
        self.wait = wait
        self.logger = logger
        self.metadata = metadata
        self.isWorthIt = isWorthIt
    }

    /// - Parameters:
    ///   - found: asked behind each delay for the result of a step whose answer was lost; `nil` to do it again.
    ///   - step: may be done again.
    /// - Throws: the step's last failure when it is not worth it, or the time is up; `CancellationError`.
    package func perform<R>(
        unless found: () async throws -> R? = { nil },
        _ step: () async throws -> R
    ) async throws -> R {
        var backoff = Backoff(limit: self.wait)
        while true {
            do {
                return try await step()
            } catch let error as PostgresError {
                guard self.isWorthIt(error), let delay = backoff.next() else { throw error }
                self.logger?.warning(
                    "database not available, trying again",
                    metadata: self.metadata.merging(["delay": "\(delay)", "error": "\(error)"]) { $1 }
                )
                try await Task.sleep(for: delay)
            }
            do {
                if let result = try await found() { return result }
            } catch is PostgresError {
                // The next attempt meets it too.
            }
        }
    }
}
