import Synchronization
import TidemarkCore
import TidemarkNotifier
import TidemarkProjector
import TidemarkStore

/// The page `/metrics` of a running service.
package struct MetricsPage: Sendable {
    private let metrics: ServiceMetrics
    private let runner: ServiceRunner
    private let conditions: @Sendable () -> [String: NotifierCondition]
    private let outbox: OutboxWatch

    /// - Parameter deliveries: `nil` where the service does not deliver.
    package init(_ metrics: ServiceMetrics, _ runner: ServiceRunner, deliveries: DeliveryRunner?) {
        self.metrics = metrics
        self.runner = runner
        self.conditions = { deliveries?.conditions ?? [:] }
        self.outbox = OutboxWatch { [runner] in
            guard let process = runner.entered.withLock({ $0 }) else { return nil }
            return try await process.perform(wait: .zero) {
                try await DeliveryStore.open(limit: OutboxWatch.countMax, on: $0)
            }
        }
    }

    func text() async -> String {
        self.metrics.page(
            self.runner.progress.gauges,
            states: self.runner.sourceStates,
            conditions: self.conditions(),
            open: await self.outbox.open()
        )
    }
}

/// Asks the database what is open in the outbox: when the page is fetched, and at most every five seconds.
private actor OutboxWatch {
    private let ask: @Sendable () async throws -> [DeliveryStore.Open]?
    private var known: (open: [DeliveryStore.Open], at: ContinuousClock.Instant)?
    private var asking: Task<Void, any Error>?

    /// No more are counted.
    static let countMax = 100_000
    /// An answer is good for so long.
    private static let freshness = Duration.seconds(5)
    /// The page waits no longer for it.
    private static let patience = Duration.seconds(1)

    init(_ ask: @escaping @Sendable () async throws -> [DeliveryStore.Open]?) { self.ask = ask }

    /// - Returns: `nil` while the database does not answer.
    func open() async -> [DeliveryStore.Open]? {
        if let fresh { return fresh }
        let asking = self.asking ?? Task { await self.look() }
        self.asking = asking
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await asking.valueUnlessCancelled }
            group.addTask { try? await Task.sleep(for: Self.patience) }
            await group.next()
            group.cancelAll()
        }
        return self.fresh
    }

    private var fresh: [DeliveryStore.Open]? {
        self.known.flatMap { .now - $0.at < Self.freshness ? $0.open : nil }
    }

    private func look() async {
        let open = (try? await self.ask()) ?? nil
        self.known = open.map { ($0, .now) }
        self.asking = nil
    }
}
