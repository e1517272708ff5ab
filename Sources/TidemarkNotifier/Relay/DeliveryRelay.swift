package import Logging
import Synchronization
package import TidemarkStore

/// Sends due deliveries until it is stopped.
///
/// Start it beside the writer of the outbox, and call ``wake()`` after a commit:
///
///     async let relaying: Void = relay.run()
///     …
///     let outcome = await relay.drain(until: .now + .seconds(60))
///     relay.stop()
///     try await relaying
///
/// One loop owns all decisions (``RelayState``) and the connection; attempts run beside it and send it their results.
/// Several relays, in one process or many, may share an outbox.
package final class DeliveryRelay: Sendable {
    private let queue: DeliveryQueue
    private let notifiers: [String: RelayedNotifier]
    private let settings: RelaySettings
    private let chance: @Sendable () -> Double
    private let logger: Logger
    private let mailbox = RelayMailbox()
    private let known: Mutex<[String: NotifierCondition]>

    /// - Parameters:
    ///   - notifiers: by their names in the outbox. The relay shuts them down when it ends.
    ///   - chance: uniform in 0..<1; for jitter.
    package init(
        queue: DeliveryQueue,
        notifiers: [String: RelayedNotifier],
        settings: RelaySettings,
        logger: Logger,
        chance: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        self.queue = queue
        self.notifiers = notifiers
        self.settings = settings
        self.chance = chance
        self.logger = logger
        self.known = Mutex(notifiers.mapValues { _ in .delivering })
    }

    /// What is done with each notifier's deliveries now.
    package var conditions: [String: NotifierCondition] { self.known.withLock { $0 } }

    /// Delivers until ``stop()`` or cancellation. Attempts under way end normally, within the notifiers'
    /// ``Notifier/attemptTimeout``, and claimed deliveries that were not begun are released. To be called once.
    /// - Throws: errors of the database, and its absence for ``RelaySettings/databaseWait``. Claimed deliveries are
    ///   then due again when their leases end.
    package func run() async throws {
        // An unstructured task, because shutting down runs queries and attempts, which a cancelled task cannot.
        let loop = Task { await self.loop() }
        let outcome = await withTaskCancellationHandler {
            await loop.value
        } onCancel: {
            self.stop()
        }
        await self.queue.close()
        for relayed in self.notifiers.values { await relayed.notifier.shutdown() }
        self.mailbox.close()
        try outcome.get()
    }

    /// Makes the relay check the outbox soon. It can be called from anywhere, any number of times.
    package func wake() {
        self.mailbox.wake()
    }

    /// Ends ``run()``, as cancelling its task does.
    package func stop() {
        self.mailbox.stop()
    }

    /// Waits until every due delivery of the projections that is the next of its entity has been tried once, with any
    /// result. Those for disabled notifiers, or for ones that this relay does not have, do not count. The relay
    /// continues afterwards. When the task is cancelled, returns `.deadlineReached`.
    package func drain(until deadline: ContinuousClock.Instant) async -> DrainOutcome {
        await withTaskGroup(of: DrainOutcome.self) { group in
            group.addTask { await self.mailbox.drained() }
            group.addTask {
                try? await Task.sleep(until: deadline, clock: .continuous)
                return .deadlineReached
            }
            let outcome = await group.next() ?? .stopped
            group.cancelAll()
            return outcome
        }
    }

    // MARK: The loop

    private func loop() async -> Result<Void, any Error> {
        await withDiscardingTaskGroup { group in
            var state = RelayState(self.notifiers, leaseMin: self.settings.leaseMin)
            let start = ContinuousClock.now
            var backoff: Backoff?
            while true {
                let contents = self.mailbox.take()
                if contents.isStopping, !state.isStopping { backoff = nil }
                self.read(contents, into: &state, at: start.duration(to: .now))
                do {
                    // Claimed deliveries begin before the next query.
                    for delivery in state.start(at: start.duration(to: .now)) { self.begin(delivery, in: &group) }
                    try await self.exchange(&state, since: start)
                    self.known.withLock { $0 = state.conditions }
                    if backoff != nil { self.logger.log(level: self.settings.retryLevel, "deliveries go on") }
                    backoff = nil
                    for delivery in state.start(at: start.duration(to: .now)) { self.begin(delivery, in: &group) }
                    if state.isStopping, state.isEmpty { return .success(()) }
                    if contents.isDraining { try await self.endDrains(state) }
                    try await self.idle(state, at: start.duration(to: .now))
                } catch {
                    var next = backoff ?? Backoff(limit: self.wait(whileStopping: state.isStopping))
                    let delay = self.queue.isRetriable(error) ? next.next() : nil
                    let isFirst = backoff == nil
                    backoff = next
                    guard let delay else { return .failure(error) }
                    state.claimFailed()
                    if isFirst {
                        self.logger.log(
                            level: self.settings.retryLevel,
                            "deliveries wait for the database",
                            metadata: ["error": "\(error)"]
                        )
                    }
                    await self.pause(for: delay)
                }
            }
        }
    }

    /// Pauses; a result or a request ends the pause early. Few come while nothing new can be claimed.
    private func pause(for delay: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: delay) }
            group.addTask { await self.mailbox.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    /// Deliveries that a stopping relay cannot release become due when their leases end.
    private func wait(whileStopping isStopping: Bool) -> Duration? {
        guard isStopping else { return self.settings.databaseWait }
        return min(self.settings.databaseWait ?? .seconds(5), .seconds(5))
    }

    private func read(_ contents: RelayMailbox.Contents, into state: inout RelayState, at now: RelayState.Time) {
        if contents.isStopping { state.stop() }
        state.isDraining = contents.isDraining
        for (delivery, result, took) in contents.ended {
            let chance = self.chance()
            let ending = state.finish(delivery, result, at: now, took: took, chance: chance)
            self.settings.onAttempt?(
                RelayAttempt(notifier: delivery.notifier, result: result, isLast: ending.isLast, took: took)
            )
            guard let consequence = ending.consequence else { continue }
            self.report(consequence, of: delivery.notifier)
        }
    }

    private func report(_ consequence: RelayState.Consequence, of notifier: String) {
        switch consequence {
        case .disabled:
            self.logger.warning(
                "the endpoint is gone (410): its deliveries stay due, and nothing more is delivered there until `tidemark notifiers enable`",
                metadata: ["notifier": "\(notifier)"]
            )
        case .circuit(.opened(let pause)):
            self.logger.warning(
                "the receiver does not answer: its deliveries wait before one is tried again",
                metadata: ["notifier": "\(notifier)", "pause": "\(pause)"]
            )
        case .circuit(.closed):
            self.logger.info("the receiver answers again", metadata: ["notifier": "\(notifier)"])
        }
    }

    /// Writes results, releases deliveries, and claims as many as there is room for.
    private func exchange(_ state: inout RelayState, since start: ContinuousClock.Instant) async throws {
        let results = state.results
        if !results.isEmpty {
            let written = try await self.queue.record(results)
            state.recorded(results)
            for result in results where !written.contains(result.seq) {
                self.logger.info(
                    "a result came after its delivery's lease and was not kept",
                    metadata: ["seq": "\(result.seq)"]
                )
            }
        }
        let returns = state.returns
        if !returns.isEmpty {
            try await self.queue.release(returns)
            state.released(returns)
        }
        let asked = start.duration(to: .now)
        let requests = state.requests(at: asked)
        if !requests.isEmpty {
            state.admit(try await self.queue.claim(requests), for: requests, asked: asked)
        }
    }

    private func begin(_ claimed: ClaimedDelivery, in group: inout DiscardingTaskGroup) {
        guard let notifier = self.notifiers[claimed.notifier]?.notifier else {
            preconditionFailure("only what the relay asked for is under way")
        }
        let delivery = Delivery(
            id: claimed.id,
            projection: claimed.projection,
            keyJSON: claimed.keyJSON,
            milestone: claimed.milestone,
            notifier: claimed.notifier,
            attempt: claimed.attempts + 1,
            body: claimed.body,
            createdAt: claimed.createdAt
        )
        group.addTask {
            let start = ContinuousClock.now
            let result = await notifier.deliver(delivery)
            if let reason = result.reason {
                self.logger.debug(
                    "not delivered",
                    metadata: [
                        "id": "\(delivery.id)", "notifier": "\(delivery.notifier)", "attempt": "\(delivery.attempt)",
                        "outcome": "\(result.outcome)", "reason": "\(reason)",
                    ]
                )
            }
            self.mailbox.put(claimed, result, took: start.duration(to: .now))
        }
    }

    private func endDrains(_ state: RelayState) async throws {
        guard !state.isStopping, state.mayBeDrained else { return }
        let untried = try await self.queue.countUntried(
            projections: self.settings.projections,
            notifiers: state.active
        )
        if untried == 0 { self.mailbox.endDrains(.drained) }
    }

    /// Waits for work: a result, a request, a delivery that becomes due, a notification, a rate's next token.
    private func idle(_ state: RelayState, at now: RelayState.Time) async throws {
        // Claimed deliveries that cannot begin are released at once.
        guard state.returns.isEmpty else { return }
        // A stopping relay only waits for attempts under way.
        guard !state.isStopping else { return await self.mailbox.wait() }
        let requests = state.requests(at: now)
        let wait = state.wait(at: now)
        guard !requests.isEmpty else {
            // Without room it does not query.
            guard let wait else { return await self.mailbox.wait() }
            return await self.pause(for: wait)
        }
        // A claim that reached its limit may have left deliveries.
        guard state.sawAll else { return }
        let due = try await self.queue.nextDue(notifiers: requests.map(\.notifier))
        let limit = min(self.settings.pollInterval, wait ?? self.settings.pollInterval)
        let pause = max(self.settings.pause, min(due ?? limit, limit))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.queue.idle(for: pause) }
            group.addTask { await self.mailbox.wait() }
            try await group.next()
            group.cancelAll()
        }
    }
}
