package import Logging

/// A notifier with its limits.
package struct RelayedNotifier: Sendable {
    package var notifier: any Notifier
    package var schedule: RetrySchedule
    /// The most attempts under way at once.
    package var concurrency: Int
    package var rate: RateLimit?
    package var circuit: CircuitBreaker.Settings
    package var onFailure: FailureRule

    package init(
        _ notifier: any Notifier,
        schedule: RetrySchedule = RetrySchedule(),
        concurrency: Int = 16,
        rate: RateLimit? = nil,
        circuit: CircuitBreaker.Settings = .init(),
        onFailure: FailureRule = .hold
    ) {
        precondition(concurrency > 0, "a notifier delivers one at a time at least")
        self.notifier = notifier
        self.schedule = schedule
        self.concurrency = concurrency
        self.rate = rate
        self.circuit = circuit
        self.onFailure = onFailure
    }
}

/// The effect of a `dead` delivery on later ones of its entity. While a delivery is retried they wait in any case.
package enum FailureRule: String, Sendable, Hashable, CaseIterable {
    /// Later ones wait until an operator has delivered or cancelled it, which keeps the order.
    case hold
    /// Later ones are sent without it.
    case skip
}

/// What an attempt came to.
package struct RelayAttempt: Sendable {
    package var notifier: String
    package var result: DeliveryResult
    /// It failed, and is not tried again.
    package var isLast: Bool
    package var took: Duration
}

package struct RelaySettings: Sendable {
    /// The projections that ``DeliveryRelay/drain(until:)`` waits for. The relay also delivers those of others to its
    /// notifiers.
    package var projections: [String]
    /// The longest time between two looks at the outbox, for deliveries without a notification.
    package var pollInterval: Duration = .seconds(1)
    /// The shortest time between two looks at an outbox without claimable deliveries.
    package var pause: Duration = .milliseconds(20)
    /// The shortest lease; leases for notifiers with longer attempts are longer.
    package var leaseMin: Duration = .seconds(15)
    /// How long to wait for an unreachable database; `nil` for ever.
    package var databaseWait: Duration?
    /// How each failure of the database is logged: one who says it elsewhere wants no line for each attempt.
    package var retryLevel = Logger.Level.warning
    /// Called after each attempt, from any thread.
    package var onAttempt: (@Sendable (RelayAttempt) -> Void)?

    package init(projections: [String], databaseWait: Duration? = nil) {
        self.projections = projections
        self.databaseWait = databaseWait
    }
}

/// The result of waiting for the first attempts.
package enum DrainOutcome: Sendable, Hashable {
    /// All deliveries were tried once.
    case drained
    /// Some were not tried. They stay due.
    case deadlineReached
    /// The relay stopped first.
    case stopped
}
