/// A limit on attempts per time.
package struct RateLimit: Sendable, Hashable {
    package var attempts: Int
    package var period: Duration

    package init(_ attempts: Int, per period: Duration) {
        precondition(attempts > 0 && period > .zero, "a rate is above zero")
        self.attempts = attempts
        self.period = period
    }

    /// The mean time between two attempts.
    var interval: Duration { self.period / self.attempts }

    /// The largest burst: a second's attempts, at least one, and not a whole period's.
    var burst: Int { max(1, Int(.seconds(1) / self.interval)) }
}

/// The token bucket of a rate. Pure: the caller provides the time.
struct TokenBucket: Sendable {
    private let limit: RateLimit
    private var tokens: Double
    private var updated: Duration?

    init(_ limit: RateLimit) {
        self.limit = limit
        self.tokens = Double(limit.burst)
    }

    mutating func refill(at now: Duration) {
        let passed = max(.zero, now - (self.updated ?? now))
        self.tokens = min(Double(self.limit.burst), self.tokens + passed / self.limit.interval)
        self.updated = now
    }

    mutating func take() -> Bool {
        // A token that is short of one by a rounding error counts.
        guard self.tokens >= 1 - 1e-9 else { return false }
        self.tokens = max(0, self.tokens - 1)
        return true
    }

    /// The time until the next token, from the last refill.
    var wait: Duration { self.tokens >= 1 - 1e-9 ? .zero : self.limit.interval * (1 - self.tokens) }

    /// The number of tokens after a time.
    func count(within duration: Duration) -> Int { Int(self.tokens + duration / self.limit.interval) }
}
