/// A notifier as the relay runs it.
package struct RelayedNotifier: Sendable {
    package var notifier: any Notifier
    package var schedule: RetrySchedule
    /// Deliveries under way at once.
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

/// What a delivery that ended `dead` means for those behind it of its entity. While it is tried again they wait either
/// way.
package enum FailureRule: String, Sendable, Hashable, CaseIterable {
    /// They wait until somebody has seen to it: delivered it, or cancelled it. No order is ever broken.
    case hold
    /// They go on without it.
    case skip
}

package struct RelaySettings: Sendable {
    /// Whose deliveries ``DeliveryRelay/drain(until:)`` waits for. The relay delivers those of others too, if they are
    /// for its notifiers.
    package var projections: [String]
    /// The longest that a delivery which nobody announced goes unnoticed.
    package var pollInterval: Duration = .seconds(1)
    /// The shortest time between two looks at an outbox that has nothing to take.
    package var pause: Duration = .milliseconds(20)
    /// The least that a delivery stays with the relay without a result; it is longer for notifiers whose attempts are.
    package var leaseMin: Duration = .seconds(15)
    /// How long a database that is not there is waited for; `nil` for ever.
    package var databaseWait: Duration?

    package init(projections: [String], databaseWait: Duration? = nil) {
        self.projections = projections
        self.databaseWait = databaseWait
    }
}

/// How waiting for the first attempts ended.
package enum DrainOutcome: Sendable, Hashable {
    /// Everything that could be tried has been.
    case drained
    /// Something has not. It stays due.
    case deadlineReached
    /// The relay stopped first.
    case stopped
}
