/// A delivery under a relay's lease.
package struct ClaimedDelivery: Sendable, Hashable {
    /// Its rank in the outbox.
    package var seq: Int64
    /// The claim's token (fencing): a result is refused once another relay has claimed the delivery.
    package var token: String
    /// A UUID, the same for each attempt.
    package var id: String
    package var projection: String
    /// The key's values as a JSON array.
    package var keyJSON: String
    package var milestone: String
    package var notifier: String
    /// The number of ended attempts.
    package var attempts: Int
    /// The ended attempts before the last `retry` by hand, after which the schedule starts again.
    package var scheduleStart = 0
    package var body: [UInt8]
    /// Microseconds since 1970.
    package var createdAt: Int64
}

/// A relay's claim for one notifier.
package struct ClaimRequest: Sendable, Hashable {
    package var notifier: String
    /// The most deliveries to look at. Those that wait for another of their entity count too.
    package var limit: Int
    /// The length of the lease, after which another relay may claim deliveries without a result.
    package var lease: Duration
    /// Whether a dead delivery blocks later ones of its entity until an operator retries or cancels it.
    package var holdsBehindDead: Bool
    /// Which of its due deliveries to look at.
    package var scope = Scope.all

    package enum Scope: Sendable, Hashable {
        case all
        /// Those that have not been due for longer.
        case dueWithin(Duration)
        /// Those that have been due since then at the earliest: microseconds since 1970 by the server's clock.
        case dueSince(Int64)
    }

    package init(notifier: String, limit: Int, lease: Duration, holdsBehindDead: Bool = false) {
        self.notifier = notifier
        self.limit = limit
        self.lease = lease
        self.holdsBehindDead = holdsBehindDead
    }
}

package struct DeliveryClaim: Sendable {
    /// In the order in which their milestones were reached.
    package var deliveries: [ClaimedDelivery]
    /// Whether the next claim may find more: for one of the notifiers the limit was reached and a delivery changed.
    /// Those that wait for another of their entity count towards the limit.
    package var mayHaveMore: Bool
    /// The disabled ones among the requested notifiers.
    package var disabled: Set<String> = []
}

/// The result of one attempt.
package struct DeliveryRecord: Sendable, Hashable {
    package enum Outcome: Sendable, Hashable {
        case delivered
        /// Stays due; the next attempt is after that time.
        case failed(retryAfter: Duration)
        /// Given up, and kept.
        case dead
        /// Stays due, and its notifier is disabled until it is enabled by hand.
        case gone(retryAfter: Duration)
    }

    package var seq: Int64
    package var token: String
    package var outcome: Outcome
    /// Why it failed, without secrets; `nil` keeps what an earlier attempt left.
    package var error: String?
    /// The receiver's status: a webhook's HTTP status, a program's exit code.
    package var status: Int?
    /// The beginning of the receiver's answer.
    package var excerpt: String?
    /// How long the attempt took.
    package var duration: Duration

    package init(
        seq: Int64,
        token: String,
        outcome: Outcome,
        error: String? = nil,
        status: Int? = nil,
        excerpt: String? = nil,
        duration: Duration = .zero
    ) {
        self.seq = seq
        self.token = token
        self.outcome = outcome
        self.error = error
        self.status = status
        self.excerpt = excerpt
        self.duration = duration
    }
}

/// One row of the view `tidemark.deliveries`. Times are microseconds since 1970.
package struct DeliveryRow: Sendable, Hashable, Decodable {
    package var id: String
    package var projection: String
    /// The key's values as a JSON array.
    package var key: String
    package var milestone: String
    package var notifier: String
    package var status: String
    /// `dead`, by hand.
    package var isCancelled: Bool
    package var attempts: Int
    package var nextAttemptAt: Int64?
    /// May hold a receiver's answer: escape it before printing it to a terminal.
    package var lastError: String?
    package var createdAt: Int64
    package var deliveredAt: Int64?
}

/// One ended attempt. Times are microseconds since 1970.
package struct AttemptRow: Sendable, Hashable, Decodable {
    /// Counted from 1.
    package var attempt: Int
    package var startedAt: Int64
    private var microseconds: Int64
    package var duration: Duration { .microseconds(self.microseconds) }
    /// `delivered`, `failed`, `dead` or `gone`.
    package var outcome: String
    package var status: Int?
    package var error: String?
    /// The beginning of a receiver's answer: escape it before printing it to a terminal.
    package var excerpt: String?
}

/// Selects deliveries; `nil` means any.
package struct DeliveryFilter: Sendable {
    /// UUIDs. The deliveries of a milestone to several notifiers share one id.
    package var ids: [String]?
    package var status: String?
    package var projection: String?
    /// The key's values as text, in the key's order.
    package var key: [String]?
    package var milestone: String?
    package var notifier: String?
    package var limit: Int

    package init(
        ids: [String]? = nil,
        status: String? = nil,
        projection: String? = nil,
        key: [String]? = nil,
        milestone: String? = nil,
        notifier: String? = nil,
        limit: Int = 100
    ) {
        self.ids = ids
        self.status = status
        self.projection = projection
        self.key = key
        self.milestone = milestone
        self.notifier = notifier
        self.limit = limit
    }

    /// Whether it selects all.
    package var takesAll: Bool {
        self.ids == nil && self.status == nil && self.projection == nil && self.key == nil
            && self.milestone == nil && self.notifier == nil
    }
}
