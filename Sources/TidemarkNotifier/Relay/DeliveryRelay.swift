package import Logging
package import TidemarkPostgres

/// Delivers what is due, until it is told to stop.
///
/// Start it beside what fills the outbox, and ``wake()`` it when something was committed:
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
    private let queue: any DeliveryQueue
    private let notifiers: [String: RelayedNotifier]
    private let settings: RelaySettings
    private let chance: @Sendable () -> Double
    private let logger: Logger
    private let mailbox = RelayMailbox()

    /// - Parameters:
    ///   - notifiers: by the names that the outbox has them under. The relay shuts them down when it ends.
    ///   - chance: from 0 up to 1, evenly; for jitter.
    package init(
        queue: any DeliveryQueue,
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
    }

    /// Delivers until ``stop()``, or until the task is cancelled, which is the same: attempts under way come to their end,
    /// which takes no longer than the notifiers' ``Notifier/attemptTimeout``, and what was taken and not begun is given
    /// back. To be called once.
    /// - Throws: what the database refuses, and its not being there for ``RelaySettings/databaseWait``. What is in hand
    ///   then comes up again by itself when its leases end.
    package func run() async throws {
        // A task of its own: its end takes commands and attempts that a cancelled task could not make.
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

    /// Looks at the outbox soon. Callable from anywhere, any number of times.
    package func wake() {
        self.mailbox.wake()
    }

    /// Ends ``run()``, as its task's cancellation does.
    package func stop() {
        self.mailbox.stop()
    }

    /// Waits until every due delivery of the projections that does not wait behind another of its entity has been tried
    /// once, whatever came of it. Those for notifiers that were disabled, or that this relay does not have, do not count.
    /// Deliveries go on meanwhile and afterwards. When the task is cancelled, returns `.deadlineReached`.
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
                self.read(contents, into: &state)
                do {
                    let began = start.duration(to: .now)
                    try await self.exchange(&state, at: began)
                    backoff = nil
                    for delivery in state.start(at: start.duration(to: .now)) { self.begin(delivery, in: &group) }
                    if state.isStopping, state.isEmpty { return .success(()) }
                    if contents.isDraining { try await self.endDrains(state) }
                    try await self.idle(state)
                } catch {
                    var next = backoff ?? Backoff(limit: self.wait(whileStopping: state.isStopping))
                    let delay = self.queue.isRetriable(error) ? next.next() : nil
                    backoff = next
                    guard let delay else { return .failure(error) }
                    state.claimFailed()
                    self.logger.warning(
                        "database not available for deliveries, trying again",
                        metadata: ["delay": "\(delay)", "error": "\(error)"]
                    )
                    await self.pause(for: delay)
                }
            }
        }
    }

    /// A result or a wish ends the pause early: there are not many while nothing new can be claimed.
    private func pause(for delay: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: delay) }
            group.addTask { await self.mailbox.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    /// Leases give back what a relay that is stopping cannot.
    private func wait(whileStopping isStopping: Bool) -> Duration? {
        guard isStopping else { return self.settings.databaseWait }
        return min(self.settings.databaseWait ?? .seconds(5), .seconds(5))
    }

    private func read(_ contents: RelayMailbox.Contents, into state: inout RelayState) {
        if contents.isStopping { state.stop() }
        for (delivery, result) in contents.ended {
            let isDisabled = state.finish(delivery, result, chance: self.chance())
            if isDisabled {
                self.logger.warning(
                    "the endpoint is gone (410): nothing more is delivered there before the next start, its deliveries stay due",
                    metadata: ["notifier": "\(delivery.notifier)"]
                )
            }
        }
    }

    /// Writes results, gives back, and takes what there is room for.
    private func exchange(_ state: inout RelayState, at now: RelayState.Time) async throws {
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
        let requests = state.requests
        if !requests.isEmpty {
            state.admit(try await self.queue.claim(requests), asked: now)
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
            let result = await notifier.deliver(delivery)
            if result != .delivered {
                self.logger.debug(
                    "not delivered",
                    metadata: ["id": "\(delivery.id)", "notifier": "\(delivery.notifier)", "result": "\(result)"]
                )
            }
            self.mailbox.put(claimed, result)
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

    /// Waits for something to do: a result, a wish, a delivery that comes due, a notification.
    private func idle(_ state: RelayState) async throws {
        let requests = state.requests
        // Without room there is nothing to look for, and a stopping relay only waits for what is under way.
        guard !state.isStopping, !requests.isEmpty else { return await self.mailbox.wait() }
        // A claim that filled up may have left something.
        guard state.sawAll else { return }
        let due = try await self.queue.nextDue(notifiers: requests.map(\.notifier))
        let pause = max(self.settings.pause, min(due ?? self.settings.pollInterval, self.settings.pollInterval))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.queue.idle(for: pause) }
            group.addTask { await self.mailbox.wait() }
            try await group.next()
            group.cancelAll()
        }
    }
}
