import CoreMetrics
import Foundation
import Synchronization
import TidemarkNotifier
import TidemarkProjector
import TidemarkStore

enum WallClock {
    /// Since 1970.
    static var microseconds: Int64 { Int64(Date().timeIntervalSince1970 * 1e6) }
}

extension ServiceMetrics {
    /// How long what is not committed yet has waited.
    struct Lag: Sendable {
        /// The newest time of a committed event, in microseconds since 1970.
        private var newest: Int64?
        /// When all that was known of the source was committed last.
        private var level = ContinuousClock.now
        private var isLevel = true

        mutating func note(committed time: Int64) { self.newest = max(self.newest ?? time, time) }

        mutating func note(isLevel: Bool, at now: ContinuousClock.Instant) {
            self.isLevel = isLevel
            if isLevel { self.level = now }
        }

        /// The oldest event that waits is no older than the newest that is committed, where a source is in the order of
        /// its events' times; and it came after the source was level last, which holds for a quiet source too.
        func seconds(at now: ContinuousClock.Instant, time: Int64) -> Double {
            guard !self.isLevel else { return 0 }
            let since = (now - self.level) / .seconds(1)
            let age = self.newest.map { max(0, Double(time - $0) / 1e6) }
            return min(since, age ?? since)
        }
    }

    /// Notes which sources are level. Called every second, so that a source that is level now and then is known to be.
    func sample(_ gauges: PassProgress.Gauges?) {
        let now = ContinuousClock.now
        self.lags.withLock { lags in
            for name in lags.keys {
                guard let gauges else { continue }
                // A source without a stream here has nothing that waits.
                lags[name]?.note(isLevel: gauges.behind[name]?.isLevel ?? true, at: now)
            }
        }
    }

    var hasQueues: Bool { self.sources.values.contains(where: \.hasQueues) }

    /// The page in Prometheus' text format.
    /// - Parameters:
    ///   - gauges: `nil` while no pass runs: what waited then still waits.
    ///   - open: what is open in the outbox, by notifier; `nil` where that is not known.
    ///   - unsuspended: messages behind dead letters, by source; `nil` where that is not known.
    func page(
        _ gauges: PassProgress.Gauges?,
        states: [String: HealthBoard.Status],
        conditions: [String: NotifierCondition],
        open: [DeliveryStore.Open]?,
        unsuspended: [String: Int64]? = nil
    ) -> String {
        self.sample(gauges)
        self.setSources(gauges, states)
        self.gauge("tidemark_lane_queue_bytes").set(gauges?.queueBytes ?? 0)
        self.gauge("tidemark_memory_budget_used_bytes").set(gauges?.budgetUsed ?? 0)
        if let gauges { self.gauge("tidemark_memory_budget_bytes").set(gauges.budgetLimit) }
        for (notifier, condition) in conditions.sorted(by: { $0.key < $1.key }) {
            self.gauge("tidemark_notifier_state", [("notifier", notifier)]).set(condition.rawValue)
        }
        let byNotifier = Dictionary((open ?? []).map { ($0.notifier, $0) }) { first, _ in first }
        let isKnown = open != nil
        for notifier in Set(conditions.keys).union(byNotifier.keys).sorted() {
            let labels = [("notifier", notifier)]
            let entry = byNotifier[notifier]
            self.gauge("tidemark_deliveries_open", labels).set(isKnown ? Double(entry?.count ?? 0) : .nan)
            self.gauge("tidemark_delivery_oldest_seconds", labels).set(isKnown ? entry?.oldestSeconds ?? 0 : .nan)
        }
        for (name, source) in self.sources.sorted(by: { $0.key < $1.key }) where source.hasQueues {
            self.gauge("tidemark_source_unsuspended_messages", [("source", name)])
                .set(unsuspended.map { Double($0[name] ?? 0) } ?? .nan)
        }
        return self.registry.text
    }

    private func setSources(_ gauges: PassProgress.Gauges?, _ states: [String: HealthBoard.Status]) {
        let (now, time) = (ContinuousClock.now, WallClock.microseconds)
        let lags = self.lags.withLock { $0 }
        for (name, source) in self.sources.sorted(by: { $0.key < $1.key }) {
            let labels = [("source", name)]
            for state in HealthBoard.Status.allCases {
                let isThis = state == states[name]
                self.gauge("tidemark_source_state", labels + [("state", state.rawValue)]).set(isThis ? 1 : 0)
            }
            self.gauge("tidemark_source_lag_seconds", labels).set(lags[name]?.seconds(at: now, time: time) ?? 0)
            guard let lag = source.lag, let gauges else { continue }
            self.gauge(lag, labels).set(gauges.behind[name]?.amount ?? 0)
        }
    }
}
