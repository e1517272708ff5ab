/// A delivery that a relay has under a lease.
package struct ClaimedDelivery: Sendable, Hashable {
    /// Its rank in the outbox.
    package var seq: Int64
    /// The claim's token: a result that comes after another relay has taken the delivery over is refused by it.
    package var token: String
    /// A UUID, the same for each attempt.
    package var id: String
    package var projection: String
    /// The key's values as a JSON array.
    package var keyJSON: String
    package var milestone: String
    package var notifier: String
    /// Attempts that have come to an end.
    package var attempts: Int
    /// Of them, those made before somebody asked for it again: the schedule begins anew behind them.
    package var scheduleStart: Int
    package var body: [UInt8]
    /// Microseconds since 1970.
    package var createdAt: Int64

    package init(
        seq: Int64,
        token: String,
        id: String,
        projection: String,
        keyJSON: String,
        milestone: String,
        notifier: String,
        attempts: Int,
        scheduleStart: Int = 0,
        body: [UInt8],
        createdAt: Int64
    ) {
        self.seq = seq
        self.token = token
        self.id = id
        self.projection = projection
        self.keyJSON = keyJSON
        self.milestone = milestone
        self.notifier = notifier
        self.attempts = attempts
        self.scheduleStart = scheduleStart
        self.body = body
        self.createdAt = createdAt
    }
}

/// What a relay asks for on behalf of one notifier.
package struct ClaimRequest: Sendable, Hashable {
    package var notifier: String
    /// The most deliveries to look at. Those that wait behind another of their entity count too.
    package var limit: Int
    /// How long they stay with the relay. Then, if no result has come, another may take them.
    package var lease: Duration
    /// Whether a dead delivery holds up those behind it of its entity until somebody has seen to it.
    package var holdsBehindDead: Bool

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
    /// For one of the notifiers as many were looked at as were asked for, and something came of it, so that the next
    /// claim may find more. Deliveries that wait behind another of their entity count among those looked at.
    package var mayHaveMore: Bool
    /// Those among the notifiers asked for that nothing is delivered to until they are enabled by hand.
    package var disabled: Set<String>

    package init(deliveries: [ClaimedDelivery], mayHaveMore: Bool, disabled: Set<String> = []) {
        self.deliveries = deliveries
        self.mayHaveMore = mayHaveMore
        self.disabled = disabled
    }
}

/// How one attempt ended.
package struct DeliveryRecord: Sendable, Hashable {
    package enum Outcome: Sendable, Hashable {
        case delivered
        /// Stays due; next attempt after that time.
        case failed(retryAfter: Duration)
        /// Given up, and kept.
        case dead
        /// Stays due, and its notifier is disabled until somebody enables it.
        case gone(retryAfter: Duration)
    }

    package var seq: Int64
    package var token: String
    package var outcome: Outcome
    /// Why it failed, without secrets; `nil` keeps what an earlier attempt left.
    package var error: String?
    /// What the receiver said: a webhook's status, a program's exit code.
    package var status: Int?
    /// The beginning of what it said beside that.
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
package struct DeliveryRow: Sendable, Hashable {
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
    /// May hold what a receiver said: escape it before it goes to a terminal.
    package var lastError: String?
    package var createdAt: Int64
    package var deliveredAt: Int64?
}

/// One attempt that has come to an end. Times are microseconds since 1970.
package struct AttemptRow: Sendable, Hashable {
    /// Counted from 1.
    package var attempt: Int
    package var startedAt: Int64
    package var duration: Duration
    /// `delivered`, `failed`, `dead` or `gone`.
    package var outcome: String
    package var status: Int?
    package var error: String?
    /// What a receiver said: escape it before it goes to a terminal.
    package var excerpt: String?
}

/// Which deliveries; `nil` means any.
package struct DeliveryFilter: Sendable {
    /// UUIDs. A delivery to several notifiers has one id with all of them.
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

    /// Nothing narrows it down.
    package var takesAll: Bool {
        self.ids == nil && self.status == nil && self.projection == nil && self.key == nil
            && self.milestone == nil && self.notifier == nil
    }
}
