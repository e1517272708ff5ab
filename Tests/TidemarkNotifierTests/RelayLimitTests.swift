import Testing
@testable import TidemarkNotifier
@testable import TidemarkStore

/// Rates and circuits, with the time given.
@Suite struct RelayLimitTests {
    private struct Silent: Notifier {
        var attemptTimeout: Duration { .seconds(15) }
        func deliver(_ delivery: Delivery) async -> DeliveryResult { .delivered }
    }

    private static func state(
        concurrency: Int = 8,
        rate: RateLimit? = nil,
        circuit: CircuitBreaker.Settings = .init(failures: 3, pause: .seconds(30), pauseMax: .seconds(100))
    ) -> RelayState {
        let relayed = RelayedNotifier(Silent(), concurrency: concurrency, rate: rate, circuit: circuit)
        return RelayState(["warehouse": relayed], leaseMin: .seconds(60))
    }

    private static func claim(_ seqs: ClosedRange<Int>) -> DeliveryClaim {
        let deliveries = seqs.map { seq in
            ClaimedDelivery(
                seq: Int64(seq),
                token: "a",
                id: "\(seq)",
                projection: "orders",
                keyJSON: "[\(seq)]",
                milestone: "paid",
                notifier: "warehouse",
                attempts: 0,
                body: [],
                createdAt: 0
            )
        }
        return DeliveryClaim(deliveries: deliveries, mayHaveMore: false)
    }

    private static let down = DeliveryResult.retry(reason: "status 503")

    @Test func failuresInARowOpenTheCircuitAndOneProbeClosesIt() {
        var state = Self.state()
        state.admit(Self.claim(1...8), asked: .zero)
        let started = state.start(at: .zero)
        #expect(started.count == 8)
        #expect(state.finish(started[0], Self.down, at: .zero, chance: 0.5).consequence == nil)
        #expect(state.finish(started[1], Self.down, at: .zero, chance: 0.5).consequence == nil)
        #expect(
            state.finish(started[2], Self.down, at: .zero, chance: 0.5).consequence
                == .circuit(.opened(pause: .seconds(30)))
        )
        // What was under way says nothing new, and nothing is asked for.
        #expect(state.finish(started[3], Self.down, at: .seconds(1), chance: 0.5).consequence == nil)
        #expect(state.requests(at: .seconds(29)).isEmpty)
        #expect(state.wait(at: .seconds(10)) == .seconds(20))
        // One is tried then.
        #expect(state.requests(at: .seconds(30)).map(\.limit) == [1])
        state.admit(Self.claim(9...9), asked: .seconds(30))
        let probe = state.start(at: .seconds(30))
        #expect(probe.map(\.seq) == [9])
        #expect(state.requests(at: .seconds(31)).isEmpty)
        #expect(
            state.finish(probe[0], Self.down, at: .seconds(45), chance: 0.5).consequence
                == .circuit(.opened(pause: .seconds(60)))
        )
        #expect(state.requests(at: .seconds(104)).isEmpty)
        state.admit(Self.claim(10...10), asked: .seconds(105))
        let second = state.start(at: .seconds(105))
        #expect(state.finish(second[0], .delivered, at: .seconds(106), chance: 0.5).consequence == .circuit(.closed))
        #expect(state.requests(at: .seconds(106)).map(\.limit) == [12])
    }

    @Test func thePauseStopsGrowing() {
        var circuit = CircuitBreaker(.init(failures: 1, pause: .seconds(30), pauseMax: .seconds(100)))
        var pauses: [CircuitBreaker.Change?] = [circuit.failed(0, at: .zero)]
        var now = Duration.zero
        for seq in 1...3 {
            now = circuit.probeAt ?? now
            circuit.began(Int64(seq), at: now)
            pauses.append(circuit.failed(Int64(seq), at: now))
        }
        #expect(pauses == [30, 60, 100, 100].map { .opened(pause: .seconds($0)) })
    }

    @Test func aReceiverThatRefusesIsThereAllTheSame() {
        var state = Self.state()
        state.admit(Self.claim(1...5), asked: .zero)
        let results: [DeliveryResult] = [Self.down, Self.down, .dead(reason: "status 404"), Self.down, Self.down]
        for (delivery, result) in zip(state.start(at: .zero), results) {
            #expect(state.finish(delivery, result, at: .zero, chance: 0.5).consequence == nil)
        }
        #expect(state.requests(at: .zero).map(\.limit) == [16])
    }

    @Test func whatIsQueuedWhenTheCircuitOpensIsGivenBack() {
        var state = Self.state(concurrency: 3)
        state.admit(Self.claim(1...6), asked: .zero)
        for delivery in state.start(at: .zero) { _ = state.finish(delivery, Self.down, at: .zero, chance: 0.5) }
        #expect(state.start(at: .zero).isEmpty)
        #expect(state.returns.map(\.seq) == [4, 5, 6])
    }

    /// A replay tries everything once, and is not to wait for a receiver to come back.
    @Test func drainingTriesAlsoWhereTheCircuitIsOpen() {
        var state = Self.state(concurrency: 3)
        state.admit(Self.claim(1...3), asked: .zero)
        for delivery in state.start(at: .zero) { _ = state.finish(delivery, Self.down, at: .zero, chance: 0.5) }
        #expect(state.requests(at: .zero).isEmpty)
        state.isDraining = true
        #expect(state.requests(at: .zero).map(\.limit) == [6])
        state.admit(Self.claim(4...6), asked: .zero)
        let tried = state.start(at: .zero)
        #expect(tried.map(\.seq) == [4, 5, 6])
        // They fail as was to be expected, which is no news.
        for delivery in tried { #expect(state.finish(delivery, Self.down, at: .zero, chance: 0.5).consequence == nil) }
    }

    @Test func zeroFailuresIsNoCircuit() {
        var circuit = CircuitBreaker(.init(failures: 0))
        for seq in Int64(0)..<1000 { #expect(circuit.failed(seq, at: .zero) == nil) }
        #expect(circuit.allowance(at: .zero) == nil)
    }

    @Test func beginsNoMoreThanTheRateAllows() {
        var state = Self.state(concurrency: 16, rate: RateLimit(5, per: .seconds(1)))
        state.admit(Self.claim(1...16), asked: .zero)
        #expect(state.start(at: .zero).map(\.seq) == [1, 2, 3, 4, 5])
        #expect(state.start(at: .milliseconds(100)).isEmpty)
        #expect(state.wait(at: .milliseconds(100)) == .milliseconds(100))
        #expect(state.start(at: .milliseconds(200)).map(\.seq) == [6])
        #expect(state.start(at: .milliseconds(600)).map(\.seq) == [7, 8])
        // However long nothing came: a second's worth at once.
        #expect(state.start(at: .seconds(60)).isEmpty)
        #expect(state.returns.count == 8)
    }

    @Test func asksForNoMoreThanGoesOutSoon() {
        let hourly = Self.state(rate: RateLimit(2, per: .seconds(3600)))
        #expect(hourly.requests(at: .zero).map(\.limit) == [1])
        var spent = hourly
        spent.admit(Self.claim(1...1), asked: .zero)
        #expect(spent.start(at: .zero).count == 1)
        #expect(spent.requests(at: .seconds(5)).isEmpty)
        #expect(spent.wait(at: .zero) == .seconds(1800))
        #expect(spent.requests(at: .seconds(1800)).map(\.limit) == [1])
    }

    /// A retry by hand restarts the schedule.
    @Test func aDeliveryRetriedByHandHasAllItsAttemptsAgain() {
        var state = Self.state()
        var claim = Self.claim(1...1)
        claim.deliveries[0].attempts = 10
        claim.deliveries[0].scheduleStart = 10
        state.admit(claim, asked: .zero)
        _ = state.finish(state.start(at: .zero)[0], Self.down, at: .zero, chance: 0.5)
        #expect(state.results.map(\.outcome) == [.failed(retryAfter: .seconds(5))])
    }
}
