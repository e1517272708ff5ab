import Testing
@testable import TidemarkNotifier
@testable import TidemarkStore

/// The relay's decisions, without a clock, a database or a network.
@Suite struct RelayStateTests {
    private struct Silent: Notifier {
        var attemptTimeout: Duration = .seconds(15)
        func deliver(_ delivery: Delivery) async -> DeliveryResult { .delivered }
    }

    private static func state(
        _ concurrency: Int = 2,
        schedule: RetrySchedule = RetrySchedule(),
        timeout: Duration = .seconds(15)
    ) -> RelayState {
        let relayed = RelayedNotifier(
            Silent(attemptTimeout: timeout),
            schedule: schedule,
            concurrency: concurrency
        )
        return RelayState(["crm": relayed, "warehouse": relayed], leaseMin: .seconds(60))
    }

    private static func claimed(
        _ seqs: ClosedRange<Int>,
        notifier: String = "warehouse",
        token: String = "a",
        attempts: Int = 0
    ) -> DeliveryClaim {
        let deliveries = seqs.map { seq in
            ClaimedDelivery(
                seq: Int64(seq),
                token: token,
                id: "\(seq)",
                projection: "orders",
                keyJSON: "[\(seq)]",
                milestone: "paid",
                notifier: notifier,
                attempts: attempts,
                body: [],
                createdAt: 0
            )
        }
        return DeliveryClaim(deliveries: deliveries, mayHaveMore: false)
    }

    @Test func beginsAsManyAsItMayAndAsksForAsManyMore() {
        var state = Self.state(2)
        #expect(state.requests(at: .zero).map(\.notifier) == ["crm", "warehouse"])
        #expect(state.requests(at: .zero).map(\.limit) == [4, 4])
        #expect(state.requests(at: .zero).map(\.lease) == [.seconds(60), .seconds(60)])
        state.admit(Self.claimed(1...4), asked: .zero)
        #expect(state.start(at: .zero).map(\.seq) == [1, 2])
        #expect(state.start(at: .zero).isEmpty)
        #expect(state.requests(at: .zero).map(\.notifier) == ["crm"])
        state.admit(Self.claimed(5...5, notifier: "crm"), asked: .zero)
        #expect(state.start(at: .zero).map(\.seq) == [5])
        let one = Self.claimed(1...1).deliveries[0]
        #expect(state.finish(one, .delivered, chance: 0.5).consequence == nil)
        #expect(state.start(at: .zero).map(\.seq) == [3])
        #expect(state.results == [DeliveryRecord(seq: 1, token: "a", outcome: .delivered)])
        state.recorded(state.results)
        #expect(state.results.isEmpty)
    }

    /// A claim takes as long as several attempts of a millisecond: those of a moment are claimed together.
    @Test func whereAttemptsAreShortMoreAreQueued() {
        var state = Self.state(2)
        state.admit(Self.claimed(1...4), asked: .zero)
        for delivery in state.start(at: .zero) {
            _ = state.finish(delivery, .delivered, took: .milliseconds(5), chance: 0.5)
        }
        // 250 ms of two at a time, beside the two that may be under way and without the two that are queued.
        #expect(state.requests(at: .zero).first { $0.notifier == "warehouse" }?.limit == 100)
        _ = state.start(at: .zero)
        // Slow ones, and the queue is as long again as the number of attempts.
        for delivery in Self.claimed(3...4).deliveries {
            _ = state.finish(delivery, .delivered, took: .seconds(10), chance: 0.5)
        }
        #expect(state.requests(at: .zero).first { $0.notifier == "warehouse" }?.limit == 4)
    }

    @Test func aLeaseOutlastsTwoAttempts() {
        #expect(
            Self.state(timeout: .seconds(600)).requests(at: .zero).map(\.lease) == [.seconds(1210), .seconds(1210)]
        )
    }

    @Test func givesBackWhatItCannotFinishWithinTheLease() {
        var state = Self.state(1)
        state.admit(Self.claimed(1...2), asked: .seconds(100))
        #expect(state.start(at: .seconds(100)).map(\.seq) == [1])
        _ = state.finish(Self.claimed(1...1).deliveries[0], .delivered, chance: 0.5)
        #expect(state.start(at: .seconds(146)).isEmpty)
        #expect(state.returns.map(\.seq) == [2])
        state.released(state.returns)
        #expect(state.returns.isEmpty)
    }

    @Test func writesWhatEachResultMeans() {
        var state = Self.state(8, schedule: RetrySchedule(attemptsMax: 3))
        state.admit(Self.claimed(1...4), asked: .zero)
        state.admit(Self.claimed(5...5, attempts: 2), asked: .zero)
        let started = state.start(at: .zero)
        #expect(started.count == 5)
        let results: [DeliveryResult] = [
            .delivered, .retry(reason: "status 500\u{1B}[31m\n\0"),
            .retry(after: .seconds(60), reason: "status 503"), .dead(reason: "status 404"),
            .retry(reason: "status 500"),
        ]
        let endings = zip(started, results).map { state.finish($0, $1, chance: 0) }
        // Only where the schedule has come to its end: what the receiver refuses for good was its first attempt.
        #expect(endings.map(\.isLast) == [false, false, false, false, true])
        #expect(endings.allSatisfy { $0.consequence == nil })
        #expect(
            state.results.map(\.outcome) == [
                .delivered, .failed(retryAfter: .seconds(4)), .failed(retryAfter: .seconds(60)), .dead, .dead,
            ]
        )
        #expect(state.results[1].error == "status 500\u{FFFD}[31m\u{FFFD}\u{FFFD}")
        #expect(state.results.map { $0.error == nil } == [true, false, false, false, false])
    }

    @Test func anEndpointThatIsGoneGetsNothingMoreAndLosesNothing() {
        var state = Self.state(2, schedule: RetrySchedule(attemptsMax: 1))
        state.admit(Self.claimed(1...4), asked: .zero)
        let started = state.start(at: .zero)
        #expect(state.finish(started[0], .gone(reason: "status 410"), chance: 0.5).consequence == .disabled)
        #expect(state.finish(started[1], .gone(reason: "status 410"), chance: 0.5).consequence == nil)
        #expect(state.results.map(\.outcome) == [.gone(retryAfter: .seconds(5)), .gone(retryAfter: .seconds(5))])
        #expect(state.returns.map(\.seq) == [3, 4])
        #expect(state.active == ["crm"])
        // A claim that was on its way.
        state.admit(Self.claimed(5...5), asked: .zero)
        #expect(state.start(at: .zero).isEmpty)
        #expect(state.returns.map(\.seq) == [3, 4, 5])
        // The database is asked all the same, for it is the one to know when that is over.
        let requests = state.requests(at: .zero)
        #expect(requests.map(\.notifier) == ["crm", "warehouse"])
        var claim = DeliveryClaim(deliveries: [], mayHaveMore: false, disabled: ["warehouse"])
        state.admit(claim, for: requests, asked: .zero)
        #expect(state.active == ["crm"])
        claim = Self.claimed(6...6)
        state.admit(claim, for: requests, asked: .zero)
        #expect(state.active == ["crm", "warehouse"])
        #expect(state.start(at: .zero).map(\.seq) == [6])
    }

    @Test func stoppingEndsWhatIsUnderWayAndGivesTheRestBack() {
        var state = Self.state(2)
        state.admit(Self.claimed(1...4), asked: .zero)
        let started = state.start(at: .zero)
        state.stop()
        #expect(state.requests(at: .zero).isEmpty)
        #expect(state.start(at: .zero).isEmpty)
        #expect(state.returns.map(\.seq) == [3, 4])
        state.admit(Self.claimed(5...5), asked: .zero)
        #expect(state.returns.map(\.seq) == [3, 4, 5])
        state.released(state.returns)
        #expect(!state.isEmpty)
        for delivery in started { _ = state.finish(delivery, .delivered, chance: 0.5) }
        #expect(!state.isEmpty)
        state.recorded(state.results)
        #expect(state.isEmpty)
    }

    /// The process was suspended for longer than the lease, and is the one that takes over from itself.
    @Test func claimingWhatIsInHandRenewsItsLease() {
        var state = Self.state(1)
        state.admit(Self.claimed(1...2), asked: .zero)
        let started = state.start(at: .zero)
        state.admit(Self.claimed(1...2, token: "b"), asked: .seconds(100))
        #expect(state.start(at: .seconds(100)).isEmpty)
        _ = state.finish(started[0], .delivered, chance: 0.5)
        #expect(state.results.map(\.token) == ["b"])
        state.admit(Self.claimed(1...1, token: "c"), asked: .seconds(100))
        #expect(state.results.map(\.token) == ["c"])
        #expect(state.start(at: .seconds(100)).map(\.token) == ["b"])
        #expect(state.returns.isEmpty)
    }

    @Test func mayBeDrainedWhenEverythingInHandWasTriedBefore() {
        var state = Self.state(2)
        #expect(!state.mayBeDrained)
        state.admit(DeliveryClaim(deliveries: [], mayHaveMore: true), asked: .zero)
        #expect(!state.mayBeDrained)
        state.admit(Self.claimed(1...1, attempts: 1), asked: .zero)
        #expect(state.mayBeDrained)
        state.admit(Self.claimed(2...2), asked: .zero)
        #expect(!state.mayBeDrained)
        let started = state.start(at: .zero)
        #expect(!state.mayBeDrained)
        _ = state.finish(started[1], .delivered, chance: 0.5)
        #expect(!state.mayBeDrained)
        state.recorded(state.results)
        #expect(state.mayBeDrained)
    }
}
