import CoreMetrics
import Synchronization

/// What a metric is, beside its values.
struct MetricDefinition: Sendable {
    enum Kind: Sendable {
        case counter, gauge
        /// - Parameter bounds: ascending.
        case histogram(bounds: [Double])

        var word: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    var name: String
    var kind: Kind
    var help: String

    init(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }
}

/// Keeps what swift-metrics is told, and writes it as the text format of Prometheus, version 0.0.4
/// (prometheus.io/docs/instrumenting/exposition_formats). Any thread may use it.
///
/// A counter, recorder or timer that is not defined gets a definition by its kind when it is made first. Series stay for
/// as long as the process lives, so labels have to come from the configuration, never from messages.
final class MetricsRegistry: MetricsFactory {
    private struct Family {
        var definition: MetricDefinition
        var series: [(labels: [(String, String)], series: any MetricSeries)] = []
        /// By their labels as they are written.
        var indexes: [String: Int] = [:]
    }

    private let families: Mutex<[String: Family]>

    init(_ definitions: [MetricDefinition]) {
        self.families = Mutex(
            Dictionary(definitions.map { ($0.name, Family(definition: $0)) }) { first, _ in first }
        )
    }

    // MARK: Making

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        self.series(label, dimensions, .counter) { _ in CounterSeries() }
    }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        self.series(label, dimensions, .gauge) { _ in GaugeSeries() }
    }

    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard aggregate else { return self.series(label, dimensions, .gauge) { _ in GaugeSeries() } }
        return self.histogram(label, dimensions)
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        self.histogram(label, dimensions)
    }

    func histogram(_ name: String, _ labels: [(String, String)]) -> HistogramSeries {
        self.series(name, labels, .histogram(bounds: Self.bounds)) { kind in
            if case .histogram(let bounds) = kind { HistogramSeries(bounds: bounds) } else { nil }
        }
    }

    /// Seconds.
    private static let bounds = [0.001, 0.01, 0.1, 1, 10, 60]

    /// The series with these labels, made at its first use. One that was made as something else is left as it is, and the
    /// values go nowhere.
    private func series<Series: MetricSeries>(
        _ name: String,
        _ labels: [(String, String)],
        _ kind: MetricDefinition.Kind,
        _ make: (MetricDefinition.Kind) -> Series?
    ) -> Series {
        let key = Self.text(of: labels)
        return self.families.withLock { families in
            var family = families[name] ?? Family(definition: MetricDefinition(name, kind, name))
            if let index = family.indexes[key], let known = family.series[index].series as? Series { return known }
            guard family.indexes[key] == nil, let made = make(family.definition.kind) else {
                guard let unseen = make(kind) else { preconditionFailure("a series is made as its kind") }
                return unseen
            }
            family.indexes[key] = family.series.count
            family.series.append((labels, made))
            families[name] = family
            return made
        }
    }

    // Series outlive what writes to them: a counter that goes and comes back goes on.
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyMeter(_ handler: any MeterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}

    // MARK: Writing

    /// All series, those of one metric together, metrics in the order of their names.
    var text: String {
        let families = self.families.withLock { $0.values.sorted { $0.definition.name < $1.definition.name } }
        var text = ""
        for family in families where !family.series.isEmpty {
            let name = family.definition.name
            text += "# HELP \(name) \(Self.escaped(family.definition.help, quotes: false))\n"
            text += "# TYPE \(name) \(family.definition.kind.word)\n"
            for (labels, series) in family.series {
                // A gauge that is not known at the moment is not shown.
                for sample in series.samples where !sample.value.isNaN {
                    text += "\(name)\(sample.suffix)\(Self.text(of: labels + sample.labels)) "
                    text += "\(sample.value.metricText)\n"
                }
            }
        }
        return text
    }

    private static func text(of labels: [(String, String)]) -> String {
        guard !labels.isEmpty else { return "" }
        return "{" + labels.map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }.joined(separator: ",") + "}"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for character in text.unicodeScalars {
            switch character {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}
