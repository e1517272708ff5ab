/// Schedules the retries of a failed delivery. Pure: the caller provides randomness.
package struct RetrySchedule: Sendable, Hashable {
    /// The delay before each attempt, from the first. Later attempts use the last delay.
    package var delays: [Duration]
    /// After so many failed attempts the delivery is dead.
    package var attemptsMax: Int
    /// The jitter: the largest fraction by which a delay is longer or shorter.
    package var jitter: Double

    /// The schedule that Standard Webhooks 1.0 proposes: ten attempts in a little over three days.
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
    ///   - attempt: the number of the failed attempt, from 1.
    ///   - wish: the receiver's `Retry-After`. It only lengthens the delay, up to a day: otherwise "one second" each
    /// time
    ///     would use up all attempts within seconds.
    ///   - chance: uniform in 0..<1.
    /// - Returns: the delay; `nil` after the last attempt.
    package func delay(afterAttempt attempt: Int, wish: Duration? = nil, chance: Double) -> Duration? {
        guard attempt < self.attemptsMax else { return nil }
        return self.delay(beforeAttempt: attempt + 1, wish: wish, chance: chance)
    }

    /// The delay without a limit on attempts.
    package func delay(beforeAttempt attempt: Int, wish: Duration? = nil, chance: Double) -> Duration {
        let delay = self.delays[min(max(attempt, 1), self.delays.count) - 1]
        let jittered = delay * (1 + self.jitter * (2 * chance - 1))
        return max(jittered, min(wish ?? .zero, Self.wishMax))
    }

    private static let wishMax: Duration = .seconds(24 * 3600)
}
