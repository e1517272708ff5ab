/// At most so many attempts in so long.
package struct RateLimit: Sendable, Hashable {
    package var attempts: Int
    package var period: Duration

    package init(_ attempts: Int, per period: Duration) {
        precondition(attempts > 0 && period > .zero, "a rate is above zero")
        self.attempts = attempts
        self.period = period
    }

    /// Between two attempts, in the long run.
    var interval: Duration { self.period / self.attempts }

    /// As many may go at once as come in a second, one at least: an even flow, not a period's worth in a burst.
    var burst: Int { max(1, Int(.seconds(1) / self.interval)) }
}

/// What a rate allows at a moment. Pure: time is given.
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
        // What rounding leaves short of a whole one counts as one.
        guard self.tokens >= 1 - 1e-9 else { return false }
        self.tokens = max(0, self.tokens - 1)
        return true
    }

    /// Until the next is there; since the last refill.
    var wait: Duration { self.tokens >= 1 - 1e-9 ? .zero : self.limit.interval * (1 - self.tokens) }

    /// How many will have been there after a while.
    func count(within duration: Duration) -> Int { Int(self.tokens + duration / self.limit.interval) }
}
