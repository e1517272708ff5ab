package import TidemarkPostgres

/// What the relay has in hand, and what it means to do next. Pure: time is given, chance too, and nothing is sent.
///
/// A claimed delivery is in one place at any moment: queued here, under way, recorded as a result that the database does
/// not have yet, or to be given back. Only ``recorded(_:)`` and ``released(_:)``, after the database has confirmed, take
/// one out; until then it is written again.
package struct RelayState: Sendable {
    /// A point in time, counted from any moment.
    package typealias Time = Duration

    private struct Queued {
        var delivery: ClaimedDelivery
        /// Started after this, an attempt could outlast the lease.
        var startBefore: Time
    }

    private struct Endpoint {
        var schedule: RetrySchedule
        var concurrency: Int
        var attemptTimeout: Duration
        var lease: Duration
        var queued: [Queued] = []
        var underWay: [Int64: ClaimedDelivery] = [:]
        var isDisabled = false
    }

    private var endpoints: [String: Endpoint]
    package private(set) var isStopping = false
    /// Results that the database does not have yet.
    package private(set) var results: [DeliveryRecord] = []
    /// Deliveries that nobody is going to try, and that the database still takes for claimed.
    package private(set) var returns: [ClaimedDelivery] = []
    /// Whether the last claim saw everything that could be taken.
    package private(set) var sawAll = false

    package init(_ notifiers: [String: RelayedNotifier], leaseMin: Duration) {
        self.endpoints = notifiers.mapValues { relayed in
            let timeout = relayed.notifier.attemptTimeout
            return Endpoint(
                schedule: relayed.schedule,
                concurrency: relayed.concurrency,
                attemptTimeout: timeout,
                // Two attempts one behind the other, and time to write the result.
                lease: max(leaseMin, timeout * 2 + .seconds(10))
            )
        }
    }

    // MARK: Claiming

    /// Room for deliveries, by notifier. As many wait here as are under way, so that a place that becomes free is taken
    /// without a question to the database; no more, so that other instances have work and leases do not run down.
    package var requests: [ClaimRequest] {
        guard !self.isStopping else { return [] }
        return self.endpoints.compactMap { name, endpoint in
            let room = 2 * endpoint.concurrency - endpoint.queued.count - endpoint.underWay.count
            // Not for one place at a time, unless that is all there is.
            guard !endpoint.isDisabled, room > 0, endpoint.queued.count <= endpoint.concurrency / 2 else { return nil }
            return ClaimRequest(notifier: name, limit: room, lease: endpoint.lease)
        }.sorted { $0.notifier < $1.notifier }
    }

    /// Takes what was claimed.
    /// - Parameter asked: when the claim was sent; leases are counted from then, to be on the safe side.
    package mutating func admit(_ claim: DeliveryClaim, asked: Time) {
        self.sawAll = !claim.mayHaveMore
        for delivery in claim.deliveries where !self.renew(delivery) {
            guard let endpoint = self.endpoints[delivery.notifier], !endpoint.isDisabled, !self.isStopping else {
                self.returns.append(delivery)
                continue
            }
            self.endpoints[delivery.notifier]?.queued.append(
                Queued(delivery: delivery, startBefore: asked + endpoint.lease - endpoint.attemptTimeout)
            )
        }
    }

    /// A process that was suspended may claim what it has had all along: the lease is renewed then.
    private mutating func renew(_ delivery: ClaimedDelivery) -> Bool {
        if self.endpoints[delivery.notifier]?.underWay[delivery.seq] != nil {
            self.endpoints[delivery.notifier]?.underWay[delivery.seq] = delivery
            return true
        }
        if let index = self.results.firstIndex(where: { $0.seq == delivery.seq }) {
            self.results[index].token = delivery.token
            return true
        }
        self.endpoints[delivery.notifier]?.queued.removeAll { $0.delivery.seq == delivery.seq }
        return false
    }

    /// A request that got no claim leaves unknown what there is.
    package mutating func claimFailed() {
        self.sawAll = false
    }

    // MARK: Delivering

    /// The deliveries to begin now; they count as under way. Those whose lease is too short by now are given back.
    package mutating func start(at now: Time) -> [ClaimedDelivery] {
        var started: [ClaimedDelivery] = []
        for name in self.endpoints.keys.sorted() {
            guard var endpoint = self.endpoints[name], !endpoint.queued.isEmpty else { continue }
            var taken = 0
            while taken < endpoint.queued.count, endpoint.underWay.count < endpoint.concurrency {
                let next = endpoint.queued[taken]
                taken += 1
                guard now <= next.startBefore else {
                    self.returns.append(next.delivery)
                    continue
                }
                endpoint.underWay[next.delivery.seq] = next.delivery
                started.append(next.delivery)
            }
            endpoint.queued.removeFirst(taken)
            self.endpoints[name] = endpoint
        }
        return started
    }

    /// Takes the outcome of an attempt.
    /// - Parameter chance: from 0 up to 1, evenly.
    /// - Returns: whether the notifier has been disabled by it.
    package mutating func finish(_ delivery: ClaimedDelivery, _ result: DeliveryResult, chance: Double) -> Bool {
        guard var endpoint = self.endpoints[delivery.notifier],
            let delivery = endpoint.underWay.removeValue(forKey: delivery.seq)
        else { preconditionFailure("a delivery ended that was not under way") }
        self.endpoints[delivery.notifier] = endpoint
        let attempt = delivery.attempts + 1
        let outcome: DeliveryRecord.Outcome
        var error: String?
        var isDisabled = false
        switch result {
        case .delivered:
            outcome = .delivered
        case .retry(let wish, let reason):
            let delay = endpoint.schedule.delay(afterAttempt: attempt, wish: wish, chance: chance)
            outcome = delay.map { .failed(retryAfter: $0) } ?? .dead
            error = reason
        case .dead(let reason):
            outcome = .dead
            error = reason
        case .gone(let reason):
            // It stays due however often that happened: it is to go out once the endpoint is enabled again.
            outcome = .failed(retryAfter: endpoint.schedule.delay(beforeAttempt: attempt + 1, chance: chance))
            error = reason
            isDisabled = self.disable(delivery.notifier)
        }
        self.results.append(
            DeliveryRecord(
                seq: delivery.seq,
                token: delivery.token,
                outcome: outcome,
                error: error.map(Self.plain)
            )
        )
        return isDisabled
    }

    /// Delivers nothing more to a notifier.
    /// - Returns: whether anything had been, until now.
    package mutating func disable(_ notifier: String) -> Bool {
        guard var endpoint = self.endpoints[notifier], !endpoint.isDisabled else { return false }
        endpoint.isDisabled = true
        self.returns += endpoint.queued.map(\.delivery)
        endpoint.queued = []
        self.endpoints[notifier] = endpoint
        return true
    }

    /// Begins nothing more. What is under way comes to its end.
    package mutating func stop() {
        guard !self.isStopping else { return }
        self.isStopping = true
        for name in self.endpoints.keys {
            self.returns += self.endpoints[name]?.queued.map(\.delivery) ?? []
            self.endpoints[name]?.queued = []
        }
    }

    // MARK: Writing

    /// The database has these results.
    package mutating func recorded(_ records: [DeliveryRecord]) {
        let written = Set(records)
        self.results.removeAll { written.contains($0) }
    }

    /// The database has these back.
    package mutating func released(_ deliveries: [ClaimedDelivery]) {
        let given = Set(deliveries)
        self.returns.removeAll { given.contains($0) }
    }

    // MARK: Questions

    /// The notifiers that deliver.
    package var active: [String] { self.endpoints.filter { !$0.value.isDisabled }.keys.sorted() }

    package var underWayCount: Int { self.endpoints.values.reduce(0) { $0 + $1.underWay.count } }

    /// Nothing is in hand: stopping loses nothing.
    package var isEmpty: Bool {
        self.results.isEmpty && self.returns.isEmpty
            && self.endpoints.values.allSatisfy { $0.queued.isEmpty && $0.underWay.isEmpty }
    }

    /// Nothing that this relay knows of has yet to be tried for the first time: the database may be asked.
    package var mayBeDrained: Bool {
        guard self.sawAll || self.active.isEmpty, self.results.isEmpty, self.returns.isEmpty else { return false }
        return self.endpoints.values.allSatisfy { endpoint in
            endpoint.queued.allSatisfy { $0.delivery.attempts > 0 }
                && endpoint.underWay.values.allSatisfy { $0.attempts > 0 }
        }
    }

    /// Errors go to terminals and into a database that stores no NUL.
    private static func plain(_ reason: String) -> String {
        var text = String.UnicodeScalarView()
        for scalar in reason.unicodeScalars.prefix(1000) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: text.append("\u{FFFD}")
            default: text.append(scalar)
            }
        }
        return String(text)
    }
}
