package import LibPQ
import Synchronization

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

/// Ends the retries of a process: once it is set, a step that fails because the database is away is not tried again. It is set
/// when a signal asks for the end.
package final class RetryStop: Sendable {
    private let isSet = Atomic<Bool>(false)

    package init() {}

    package func set() { self.isSet.store(true, ordering: .relaxed) }

    /// A transaction that gave way to another one is done again all the same, at once.
    func ends(_ error: PostgresError) -> Bool { self.isSet.load(ordering: .relaxed) && error.sqlStateClass != "40" }
}

/// Retries a step with growing delays while the database is not available. All waiting for the database goes through
/// it.
package struct DatabaseRetry: Sendable {
    /// How long a step is retried; `nil` for ever.
    private let wait: Duration?
    private let outage: OutageLog?
    private let stop: RetryStop?
    private let isWorthIt: @Sendable (PostgresError) -> Bool
    private let onRetry: (@Sendable (PostgresError) -> Void)?

    /// - Parameters:
    ///   - outage: logs failures that are retried, and the success after them.
    ///   - stop: once it is set, the next failure is the last one.
    ///   - isWorthIt: whether a failure is transient; by default a lost connection, a restart, a deadlock and the like.
    ///   - onRetry: called before each delay. It is last, so that a trailing closure without a label is `isWorthIt`.
    package init(
        wait: Duration?,
        outage: OutageLog? = nil,
        stop: RetryStop? = nil,
        isWorthIt: @escaping @Sendable (PostgresError) -> Bool = \.isRetriable,
        onRetry: (@Sendable (PostgresError) -> Void)? = nil
    ) {
        self.wait = wait
        self.outage = outage
        self.stop = stop
        self.isWorthIt = isWorthIt
        self.onRetry = onRetry
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
        var hasFailed = false
        while true {
            do {
                let result = try await step()
                if hasFailed { self.outage?.succeeded() }
                return result
            } catch let error as PostgresError {
                // What libpq was doing ends with an error of its own.
                if error.code == .cancelled, Task.isCancelled { throw CancellationError() }
                guard self.isWorthIt(error), self.stop?.ends(error) != true, let delay = backoff.next() else {
                    throw error
                }
                hasFailed = true
                self.outage?.failed(error)
                self.onRetry?(error)
                try await Task.sleep(for: delay)
            }
            do {
                if let result = try await found() {
                    self.outage?.succeeded()
                    return result
                }
            } catch is PostgresError {
                // The next attempt fails with it too.
            }
        }
    }
}
