/// When a delivery that failed is tried again. Pure: chance comes from the caller.
package struct RetrySchedule: Sendable, Hashable {
    /// Before each attempt, from the first. Attempts beyond the last use that one again.
    package var delays: [Duration]
    /// The last attempt that fails leaves the delivery dead.
    package var attemptsMax: Int
    /// By how much of itself a delay is longer or shorter, at most.
    package var jitter: Double

    /// What Standard Webhooks 1.0 proposes: ten attempts in something over three days.
    package static let standardDelays: [Duration] = [
        .zero, .seconds(5), .seconds(5 * 60), .seconds(30 * 60), .seconds(2 * 3600), .seconds(5 * 3600),
        .seconds(10 * 3600), .seconds(14 * 3600), .seconds(20 * 3600), .seconds(24 * 3600),
    ]

    package init(
        delays: [Duration] = RetrySchedule.standardDelays,
        attemptsMax: Int? = nil,
        jitter: Double = 0.2
    ) {
        precondition(!delays.isEmpty, "a schedule has one attempt at least")
        self.delays = delays
        self.attemptsMax = attemptsMax ?? delays.count
        self.jitter = jitter
    }

    /// - Parameters:
    ///   - attempt: the one that failed, from 1.
    ///   - wish: what the receiver asked for. It only puts the attempt off, up to a day: a receiver that says "in one
    ///     second" each time would have used all attempts up within seconds.
    ///   - chance: from 0 up to 1, evenly.
    /// - Returns: how long to wait; `nil` when that was the last attempt.
    package func delay(afterAttempt attempt: Int, wish: Duration? = nil, chance: Double) -> Duration? {
        guard attempt < self.attemptsMax else { return nil }
        return self.delay(beforeAttempt: attempt + 1, wish: wish, chance: chance)
    }

    /// The same without an end.
    package func delay(beforeAttempt attempt: Int, wish: Duration? = nil, chance: Double) -> Duration {
        let delay = self.delays[min(max(attempt, 1), self.delays.count) - 1]
        let jittered = delay * (1 + self.jitter * (2 * chance - 1))
        return max(jittered, min(wish ?? .zero, Self.wishMax))
    }

    private static let wishMax: Duration = .seconds(24 * 3600)
}
