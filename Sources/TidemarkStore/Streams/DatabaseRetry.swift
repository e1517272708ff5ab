package import LibPQ
package import Logging

/// Growing delays with jitter, so that lanes do not reconnect all at once.
package struct Backoff {
    private var attempt = 0
    private let deadline: ContinuousClock.Instant?

    package init(limit: Duration?) {
        self.deadline = limit.map { ContinuousClock.now + $0 }
    }

    /// The next delay; `nil` when the time limit is reached.
    package mutating func next() -> Duration? {
        if let deadline, ContinuousClock.now >= deadline { return nil }
        self.attempt += 1
        let ceiling = min(10_000, 50 << min(self.attempt, 8))
        return .milliseconds(Int.random(in: (ceiling / 2)...ceiling))
    }
}

/// Retries a step with growing delays while the database is not available. All waiting for the database goes through
/// it.
package struct DatabaseRetry: Sendable {
    /// How long a step is retried; `nil` for ever.
    private let wait: Duration?
    private let logger: Logger?
    private let level: Logger.Level
    private let metadata: Logger.Metadata
    private let isWorthIt: @Sendable (PostgresError) -> Bool

    /// - Parameters:
    ///   - logger: logs each failure that is retried; `nil` for none.
    ///   - level: how it is logged: one who says it elsewhere wants no line for each attempt.
    ///   - metadata: logged beside the delay and the error.
    ///   - isWorthIt: whether a failure is transient; by default a lost connection, a restart, a deadlock and the like.
    package init(
        wait: Duration?,
        logger: Logger? = nil,
        level: Logger.Level = .warning,
        metadata: Logger.Metadata = [:],
        isWorthIt: @escaping @Sendable (PostgresError) -> Bool = \.isRetriable
    ) {
        self.wait = wait
        self.logger = logger
        self.level = level
        self.metadata = metadata
        self.isWorthIt = isWorthIt
    }

    /// - Parameters:
    ///   - found: called after each delay for the result of a step whose answer was lost; `nil` to repeat the step.
    ///   - step: a step that can be repeated.
    /// - Throws: the step's last failure when it is not transient, or the time limit is reached; `CancellationError`.
    package func perform<R>(
        unless found: () async throws -> R? = { nil },
        _ step: () async throws -> R
    ) async throws -> R {
        var backoff = Backoff(limit: self.wait)
        while true {
            do {
                return try await step()
            } catch let error as PostgresError {
                // What libpq was doing ends with an error of its own.
                if error.code == .cancelled, Task.isCancelled { throw CancellationError() }
                guard self.isWorthIt(error), let delay = backoff.next() else { throw error }
                self.logger?.log(
                    level: self.level,
                    "database not available, trying again",
                    metadata: self.metadata.merging(["delay": "\(delay)", "error": "\(error)"]) { $1 }
                )
                try await Task.sleep(for: delay)
            }
            do {
                if let result = try await found() { return result }
            } catch is PostgresError {
                // The next attempt fails with it too.
            }
        }
    }
}
