package import TidemarkStore

/// What a relay does with a notifier's deliveries.
package enum NotifierCondition: Int, Sendable {
    case delivering = 0
    /// Attempts failed in a row, and the next one waits.
    case pausing = 1
    /// Until an operator enables it.
    case disabled = 2
}

/// The relay's claimed deliveries and its decisions. Pure: the caller provides time and randomness, and sends.
///
/// A claimed delivery is in one state at a time: queued, under way, ended with a result to be written, or to be
/// released. Only ``recorded(_:)`` and ``released(_:)``, after the database has confirmed, remove one; until then it is
/// written again.
package struct RelayState: Sendable {
    /// A point in time, from an arbitrary origin.
    package typealias Time = Duration

    /// The effect of an attempt's end beside its delivery.
    package enum Consequence: Sendable, Hashable {
        /// The endpoint is gone, so the notifier is disabled.
        case disabled
        case circuit(CircuitBreaker.Change)
    }

    /// What the end of an attempt came to.
    package struct Ending: Sendable, Hashable {
        /// The schedule has no further attempt.
        package var isLast: Bool
        package var consequence: Consequence?
    }

    private struct Queued {
        var delivery: ClaimedDelivery
        /// The latest start of an attempt that cannot outlast the lease.
        var startBefore: Time
    }

    private struct Endpoint {
        var schedule: RetrySchedule
        var concurrency: Int
        var attemptTimeout: Duration
        var lease: Duration
        var onFailure: FailureRule
        var circuit: CircuitBreaker
        var bucket: TokenBucket?
        var queued: [Queued] = []
        var underWay: [Int64: ClaimedDelivery] = [:]
        var isDisabled = false
        /// How long attempts have taken lately; zero before the first.
        var pace = Duration.zero

        init(_ relayed: RelayedNotifier, leaseMin: Duration) {
            let timeout = relayed.notifier.attemptTimeout
            self.schedule = relayed.schedule
            self.concurrency = relayed.concurrency
            self.attemptTimeout = timeout
            // Two attempts in sequence, and time to write the result.
            self.lease = max(leaseMin, timeout * 2 + .seconds(10))
            self.onFailure = relayed.onFailure
            self.circuit = CircuitBreaker(relayed.circuit)
            self.bucket = relayed.rate.map(TokenBucket.init)
        }

        /// How many may be queued: as many as are under way, and, where attempts are short, as many as begin within
        /// ``RelayState/ahead``. A claim takes as long as several short attempts, and would else set the pace.
        var queuedMax: Int {
            guard self.pace > .zero else { return self.concurrency }
            let begun = RelayState.ahead / self.pace * Double(self.concurrency)
            return max(self.concurrency, Int(min(begun, Double(RelayState.queuedMost))))
        }

        /// The room for more deliveries, queued or under way.
        func room(at now: Time, ignoresCircuit: Bool) -> Int {
            let free = self.concurrency + self.queuedMax - self.queued.count - self.underWay.count
            // No claims for a single slot, unless that is the limit.
            guard self.queued.count <= self.queuedMax / 2 else { return 0 }
            var room = free
            if !ignoresCircuit, let allowed = self.circuit.allowance(at: now) {
                room = min(room, allowed - self.queued.count)
            }
            if var bucket = self.bucket {
                bucket.refill(at: now)
                // Only as many as can begin well within the lease.
                room = min(room, bucket.count(within: RelayState.queueMax) - self.queued.count)
            }
            return max(0, room)
        }
    }

    /// The longest that a claimed delivery should wait for its notifier's rate.
    static let queueMax: Duration = .seconds(5)

    /// Of short attempts, those of so much time are queued, few enough that other relays have work and leases hold.
    static let ahead: Duration = .milliseconds(250)
    static let queuedMost = 512

    private var endpoints: [String: Endpoint]
    package private(set) var isStopping = false
    /// Whether every delivery is to be tried once, also where the circuit is open.
    package var isDraining = false
    /// Results that are not written yet.
    package private(set) var results: [DeliveryRecord] = []
    /// Claimed deliveries that will not be tried and are to be released.
    package private(set) var returns: [ClaimedDelivery] = []
    /// Whether the last claim saw all claimable deliveries.
    package private(set) var sawAll = false

    package init(_ notifiers: [String: RelayedNotifier], leaseMin: Duration) {
        self.endpoints = notifiers.mapValues { Endpoint($0, leaseMin: leaseMin) }
    }

    // MARK: Claiming

    /// The claims to make, by notifier. As many deliveries are queued as are under way, or begin in a moment, so that a
    /// free slot is filled without a query; no more, so that other relays have work and leases do not run out. Disabled notifiers are
    /// included, because only the database knows when they are enabled.
    package func requests(at now: Time) -> [ClaimRequest] {
        guard !self.isStopping else { return [] }
        return self.endpoints.compactMap { name, endpoint in
            let room = endpoint.room(at: now, ignoresCircuit: self.isDraining)
            guard room > 0 else { return nil }
            return ClaimRequest(
                notifier: name,
                limit: room,
                lease: endpoint.lease,
                holdsBehindDead: endpoint.onFailure == .hold
            )
        }.sorted { $0.notifier < $1.notifier }
    }

    /// Adds claimed deliveries.
    /// - Parameter asked: the time when the claim was sent, from which leases are counted, to be safe.
    package mutating func admit(_ claim: DeliveryClaim, for requests: [ClaimRequest] = [], asked: Time) {
        self.sawAll = !claim.mayHaveMore
        for request in requests { self.endpoints[request.notifier]?.isDisabled = false }
        for name in claim.disabled { self.disable(name) }
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

    /// Renews the lease of a delivery that is here already, as after a suspension of the process.
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

    /// Records a failed claim, after which there may be claimable deliveries.
    package mutating func claimFailed() {
        self.sawAll = false
    }

    // MARK: Delivering

    /// The deliveries to begin now, which then count as under way. Those with too short a lease or an open circuit are
    /// released.
    package mutating func start(at now: Time) -> [ClaimedDelivery] {
        var started: [ClaimedDelivery] = []
        for name in self.endpoints.keys.sorted() {
            guard var endpoint = self.endpoints[name], !endpoint.queued.isEmpty else { continue }
            self.start(&endpoint, at: now, &started)
            self.endpoints[name] = endpoint
        }
        return started
    }

    private mutating func start(_ endpoint: inout Endpoint, at now: Time, _ started: inout [ClaimedDelivery]) {
        endpoint.bucket?.refill(at: now)
        var taken = 0
        while taken < endpoint.queued.count, endpoint.underWay.count < endpoint.concurrency {
            let next = endpoint.queued[taken]
            let isRefused = !self.isDraining && endpoint.circuit.allowance(at: now) == 0
            guard now <= next.startBefore, !isRefused else {
                self.returns.append(next.delivery)
                taken += 1
                continue
            }
            guard endpoint.bucket?.take() ?? true else { break }
            taken += 1
            endpoint.circuit.began(next.delivery.seq, at: now)
            endpoint.underWay[next.delivery.seq] = next.delivery
            started.append(next.delivery)
        }
        endpoint.queued.removeFirst(taken)
    }

    /// Takes the outcome of an attempt.
    /// - Parameters:
    ///   - took: the duration of the attempt.
    ///   - chance: uniform in 0..<1.
    package mutating func finish(
        _ delivery: ClaimedDelivery,
        _ result: DeliveryResult,
        at now: Time = .zero,
        took: Duration = .zero,
        chance: Double
    ) -> Ending {
        guard var endpoint = self.endpoints[delivery.notifier],
            let delivery = endpoint.underWay.removeValue(forKey: delivery.seq)
        else { preconditionFailure("a delivery ended that was not under way") }
        endpoint.pace = endpoint.pace == .zero ? took : (endpoint.pace * 7 + took) / 8
        let attempt = delivery.attempts + 1 - delivery.scheduleStart
        let outcome: DeliveryRecord.Outcome
        var change: CircuitBreaker.Change?
        var isLast = false
        switch result.outcome {
        case .delivered:
            outcome = .delivered
            change = endpoint.circuit.answered()
        case .retry(let wish):
            let delay = endpoint.schedule.delay(afterAttempt: attempt, wish: wish, chance: chance)
            outcome = delay.map { .failed(retryAfter: $0) } ?? .dead
            isLast = delay == nil
            change = endpoint.circuit.failed(delivery.seq, at: now)
        case .dead:
            outcome = .dead
            change = endpoint.circuit.answered()
        case .gone:
            // It stays due regardless of `max_attempts`, to be sent once the endpoint is enabled again.
            outcome = .gone(retryAfter: endpoint.schedule.delay(beforeAttempt: attempt + 1, chance: chance))
            change = endpoint.circuit.answered()
        }
        self.endpoints[delivery.notifier] = endpoint
        self.results.append(
            DeliveryRecord(
                seq: delivery.seq,
                token: delivery.token,
                outcome: outcome,
                error: result.reason.map { LogSafeText.plain($0, scalarsMax: 1000) },
                status: result.status,
                excerpt: result.excerpt.flatMap { LogSafeText.excerpt($0.utf8) },
                duration: took
            )
        )
        let isDisabling = result.outcome == .gone && self.disable(delivery.notifier)
        return Ending(isLast: isLast, consequence: isDisabling ? .disabled : change.map { .circuit($0) })
    }

    /// Disables a notifier until a claim reports it as enabled.
    /// - Returns: whether it was enabled.
    @discardableResult
    private mutating func disable(_ notifier: String) -> Bool {
        guard var endpoint = self.endpoints[notifier], !endpoint.isDisabled else { return false }
        endpoint.isDisabled = true
        self.returns += endpoint.queued.map(\.delivery)
        endpoint.queued = []
        self.endpoints[notifier] = endpoint
        return true
    }

    /// Begins no more attempts. Those under way end normally.
    package mutating func stop() {
        guard !self.isStopping else { return }
        self.isStopping = true
        for name in self.endpoints.keys {
            self.returns += self.endpoints[name]?.queued.map(\.delivery) ?? []
            self.endpoints[name]?.queued = []
        }
    }

    // MARK: Writing

    /// Removes results that were written.
    package mutating func recorded(_ records: [DeliveryRecord]) {
        let written = Set(records)
        self.results.removeAll { written.contains($0) }
    }

    /// Removes deliveries that were released.
    package mutating func released(_ deliveries: [ClaimedDelivery]) {
        let given = Set(deliveries)
        self.returns.removeAll { given.contains($0) }
    }

    // MARK: Questions

    /// The time until a rate or an open circuit allows the next attempt or claim.
    package func wait(at now: Time) -> Duration? {
        self.endpoints.values.compactMap { endpoint -> Duration? in
            guard endpoint.underWay.count < endpoint.concurrency else { return nil }
            if !self.isDraining, endpoint.circuit.isOpen {
                return endpoint.circuit.probeAt.map { max(.zero, $0 - now) }.flatMap { $0 > .zero ? $0 : nil }
            }
            guard var bucket = endpoint.bucket else { return nil }
            bucket.refill(at: now)
            return bucket.wait > .zero ? bucket.wait : nil
        }.min()
    }

    package var conditions: [String: NotifierCondition] {
        self.endpoints.mapValues { $0.isDisabled ? .disabled : $0.circuit.isOpen ? .pausing : .delivering }
    }

    /// The notifiers that deliver.
    package var active: [String] { self.endpoints.filter { !$0.value.isDisabled }.keys.sorted() }

    /// Whether no delivery is claimed, so that stopping loses nothing.
    package var isEmpty: Bool {
        self.results.isEmpty && self.returns.isEmpty
            && self.endpoints.values.allSatisfy { $0.queued.isEmpty && $0.underWay.isEmpty }
    }

    /// Whether all claimed deliveries were tried once, so that only the database may have untried ones.
    package var mayBeDrained: Bool {
        guard self.sawAll || self.active.isEmpty, self.results.isEmpty, self.returns.isEmpty else { return false }
        return self.endpoints.values.allSatisfy { endpoint in
            endpoint.queued.allSatisfy { $0.delivery.attempts > 0 }
                && endpoint.underWay.values.allSatisfy { $0.attempts > 0 }
        }
    }
}
