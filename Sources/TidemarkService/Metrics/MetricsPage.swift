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
    private let outbox: DatabaseWatch<[DeliveryStore.Open]>
    /// `nil` where no source has queues.
    private let letters: DatabaseWatch<[String: Int64]>?

    private static let openMost = 100_000

    /// - Parameter deliveries: `nil` where the service does not deliver.
    package init(_ metrics: ServiceMetrics, _ runner: ServiceRunner, deliveries: DeliveryRunner?) {
        self.metrics = metrics
        self.runner = runner
        self.conditions = { deliveries?.conditions ?? [:] }
        self.outbox = DatabaseWatch(.seconds(5)) { [runner] in
            guard let process = runner.entered.withLock({ $0 }) else { return nil }
            return try await process.perform(wait: .zero) {
                try await DeliveryStore.open(limit: Self.openMost, on: $0)
            }
        }
        self.letters =
            metrics.hasQueues
            ? DatabaseWatch(.seconds(30)) { [runner] in
                guard let process = runner.entered.withLock({ $0 }) else { return nil }
                return try await process.perform(wait: .zero) { try await DeadLetterStore.messagesBehind(on: $0) }
            } : nil
    }

    func text() async -> String {
        self.metrics.page(
            self.runner.progress.gauges,
            states: self.runner.sourceStates,
            conditions: self.conditions(),
            open: await self.outbox.value(),
            unsuspended: await self.letters?.value()
        )
    }
}

/// Asks the database something: when the page is fetched, and not more often than an answer is good for.
private actor DatabaseWatch<Value: Sendable> {
    private let ask: @Sendable () async throws -> Value?
    private var known: (value: Value, at: ContinuousClock.Instant)?
    private var asking: Task<Void, any Error>?

    /// An answer is good for so long.
    private let freshness: Duration
    /// The page waits no longer for it.
    private let patience = Duration.seconds(1)

    init(_ freshness: Duration, _ ask: @escaping @Sendable () async throws -> Value?) {
        self.freshness = freshness
        self.ask = ask
    }

    /// - Returns: `nil` while the database does not answer.
    func value() async -> Value? {
        if let fresh { return fresh }
        let asking = self.asking ?? Task { await self.look() }
        self.asking = asking
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await asking.valueUnlessCancelled }
            group.addTask { try? await Task.sleep(for: self.patience) }
            await group.next()
            group.cancelAll()
        }
        return self.fresh
    }

    private var fresh: Value? {
        self.known.flatMap { .now - $0.at < self.freshness ? $0.value : nil }
    }

    private func look() async {
        let value = (try? await self.ask()) ?? nil
        self.known = value.map { ($0, .now) }
        self.asking = nil
    }
}
