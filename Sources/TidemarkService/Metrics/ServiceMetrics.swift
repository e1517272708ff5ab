import CoreMetrics
import Synchronization
package import TidemarkConfiguration
import TidemarkCore
import TidemarkNotifier
import TidemarkProjector

/// What `/metrics` shows of a service. Reading, committing and delivering tell it what they did, from any thread; what
/// is a state rather than a count is asked for when the page is.
package final class ServiceMetrics: Sendable {
    /// The series of a configured source.
    struct SourceSeries: Sendable {
        var messages: Counter
        var bytes: Counter
        var deadLetters: [String: Counter]
        var endToEnd: HistogramSeries
        var leases: Meter
        var rebalances: Counter
        /// What its lag is shown as; `nil` where it is known in seconds alone.
        var lag: String?
        /// Consumers that keep the order would suspend its queues at a bad message.
        var hasQueues = false
    }

    private struct ProjectionSeries: Sendable {
        var applied: Counter
        var late: Counter
        var duplicate: Counter
        var milestones: [String: Counter]
    }

    let registry: MetricsRegistry
    let sources: [String: SourceSeries]
    private let projections: [String: ProjectionSeries]
    private let filtered: Counter
    private let hits: Counter
    private let misses: Counter
    private let commitTime: CoreMetrics.Timer
    private let batchEvents: Recorder
    let lags = Mutex<[String: Lag]>([:])

    /// Makes the series of what is configured, so that each begins at 0.
    /// - Parameter version: of the program.
    package init(_ configuration: Configuration, version: String) {
        let registry = MetricsRegistry(Self.definitions)
        func counter(_ name: String, _ labels: (String, String)...) -> Counter {
            Counter(label: name, dimensions: labels, factory: registry)
        }
        self.registry = registry
        var sources: [String: SourceSeries] = [:]
        for configured in configuration.sources {
            let source = ("source", configured.name)
            let reasons = Rejection.Reason.allCases.map { reason in
                (reason.rawValue, counter("tidemark_dead_letters_total", source, ("reason", reason.rawValue)))
            }
            sources[configured.name] = SourceSeries(
                messages: counter("tidemark_messages_total", source),
                bytes: counter("tidemark_bytes_total", source),
                deadLetters: Dictionary(uniqueKeysWithValues: reasons),
                endToEnd: registry.histogram("tidemark_end_to_end_seconds", [source]),
                leases: Meter(label: "tidemark_leases", dimensions: [source], factory: registry),
                rebalances: counter("tidemark_rebalances_total", source),
                lag: configured.type == .files
                    ? "tidemark_source_lag_bytes"
                    : configured.type.isBroker ? "tidemark_source_lag_messages" : nil,
                hasQueues: configured.type == .rocketmq
            )
        }
        self.sources = sources
        var projections: [String: ProjectionSeries] = [:]
        for configured in configuration.projections {
            let projection = ("projection", configured.name)
            let milestones = configured.milestones.map { milestone in
                (milestone.name, counter("tidemark_milestones_total", projection, ("milestone", milestone.name)))
            }
            projections[configured.name] = ProjectionSeries(
                applied: counter("tidemark_events_total", projection, ("verdict", "applied")),
                late: counter("tidemark_events_total", projection, ("verdict", "late")),
                duplicate: counter("tidemark_events_total", projection, ("verdict", "duplicate")),
                milestones: Dictionary(milestones) { first, _ in first }
            )
        }
        self.projections = projections
        // An empty label is the same as none: an event that is filtered belongs to no projection.
        self.filtered = counter("tidemark_events_total", ("projection", ""), ("verdict", "filtered"))
        self.hits = counter("tidemark_cache_lookups_total", ("result", "hit"))
        self.misses = counter("tidemark_cache_lookups_total", ("result", "miss"))
        self.commitTime = CoreMetrics.Timer(label: "tidemark_commit_seconds", factory: registry)
        self.batchEvents = Recorder(label: "tidemark_batch_events", factory: registry)
        Meter(label: "tidemark_build_info", dimensions: [("version", version)], factory: registry).set(1)
        for name in sources.keys { self.lags.withLock { $0[name] = Lag() } }
        for notifier in configuration.notifiers {
            for result in DeliveryOutcomeWord.allCases {
                _ = counter("tidemark_deliveries_total", ("notifier", notifier.name), ("result", result.rawValue))
            }
        }
    }

    // MARK: What is told

    func note(_ block: RoutedBlock) {
        guard let source = self.sources[block.source] else { return }
        source.messages.increment(by: block.messages)
        source.bytes.increment(by: block.bytes)
        for reason in block.deadLetters { source.deadLetters[reason.rawValue]?.increment() }
    }

    func note(_ committed: CommittedBatch) {
        for counted in committed.report.projections {
            guard let projection = self.projections[counted.name] else { continue }
            projection.applied.increment(by: counted.applied)
            projection.late.increment(by: counted.late)
            projection.duplicate.increment(by: counted.duplicate)
            for (name, count) in counted.milestones { projection.milestones[name]?.increment(by: count) }
        }
        self.filtered.increment(by: Int64(committed.batch.tally.filtered))
        self.hits.increment(by: committed.report.cacheHits)
        self.misses.increment(by: committed.report.cacheMisses)
        self.commitTime.recordNanoseconds(committed.elapsed.nanoseconds)
        self.batchEvents.record(committed.batch.eventCount)
        self.noteTimes(of: committed)
    }

    /// How old the batch's events were once they were visible, by source.
    private func noteTimes(of committed: CommittedBatch) {
        let now = WallClock.microseconds
        var ages = [[Double]](repeating: [], count: committed.sources.count)
        var newest = [Int64](repeating: .min, count: committed.sources.count)
        for item in committed.batch.changes {
            let (source, time) = committed.batch.origin(of: item)
            guard let time else { continue }
            newest[source] = max(newest[source], time)
            ages[source].append(max(0, Double(now &- time) / 1e6))
        }
        for (index, name) in committed.sources.enumerated() where !ages[index].isEmpty {
            self.sources[name]?.endToEnd.record(ages[index])
            self.lags.withLock { $0[name]?.note(committed: newest[index]) }
        }
    }

    func note(_ change: LeaseChange, of source: String) {
        guard let source = self.sources[source] else { return }
        if case .taken = change { source.leases.increment() } else { source.leases.decrement() }
        if case .passedOn = change { source.rebalances.increment() }
    }

    /// - Parameter isLast: it failed, and is not tried again.
    func note(_ result: DeliveryResult, isLast: Bool, of notifier: String, took: Duration) {
        let word = isLast ? .dead : DeliveryOutcomeWord(result.outcome)
        let labels = [("notifier", notifier), ("result", word.rawValue)]
        Counter(label: "tidemark_deliveries_total", dimensions: labels, factory: self.registry).increment()
        CoreMetrics.Timer(label: "tidemark_delivery_seconds", dimensions: labels, factory: self.registry)
            .recordNanoseconds(took.nanoseconds)
    }

    func gauge(_ name: String, _ labels: [(String, String)] = []) -> Meter {
        Meter(label: name, dimensions: labels, factory: self.registry)
    }
}

/// The results of attempts, as the label of a metric.
private enum DeliveryOutcomeWord: String, CaseIterable {
    case delivered, retry, dead, gone

    init(_ outcome: DeliveryResult.Outcome) {
        switch outcome {
        case .delivered: self = .delivered
        case .retry: self = .retry
        case .dead: self = .dead
        case .gone: self = .gone
        }
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { Int64(clamping: Int((self / .nanoseconds(1)).rounded())) }
}
