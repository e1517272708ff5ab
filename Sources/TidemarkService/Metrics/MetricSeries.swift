import CoreMetrics
import Synchronization

/// One series of a metric: what swift-metrics hands values to, and what the page of metrics reads.
protocol MetricSeries: AnyObject, Sendable {
    /// The lines of the series behind its metric's name: suffix, further labels, value.
    var samples: [MetricSample] { get }
}

struct MetricSample {
    var suffix = ""
    var labels: [(String, String)] = []
    var value: Double
}

final class CounterSeries: MetricSeries, CounterHandler {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) {
        self.value.wrappingAdd(amount, ordering: .relaxed)
    }

    func reset() { self.value.store(0, ordering: .relaxed) }

    var samples: [MetricSample] { [MetricSample(value: Double(self.value.load(ordering: .relaxed)))] }
}

final class GaugeSeries: MetricSeries, MeterHandler, RecorderHandler {
    private let value = Mutex(0.0)

    func set(_ value: Int64) { self.set(Double(value)) }
    func set(_ value: Double) { self.value.withLock { $0 = value } }
    func increment(by amount: Double) { self.value.withLock { $0 += amount } }
    func decrement(by amount: Double) { self.value.withLock { $0 -= amount } }
    func record(_ value: Int64) { self.set(value) }
    func record(_ value: Double) { self.set(value) }

    var samples: [MetricSample] { [MetricSample(value: self.value.withLock { $0 })] }
}

/// Counts values by upper bounds. Of a timer they are seconds.
final class HistogramSeries: MetricSeries, RecorderHandler, TimerHandler {
    private let bounds: [Double]
    private let counted: Mutex<HistogramCounts>

    /// - Parameter bounds: ascending.
    init(bounds: [Double]) {
        self.bounds = bounds
        self.counted = Mutex(HistogramCounts(bounds: bounds.count))
    }

    func record(_ value: Int64) { self.record(Double(value)) }

    func record(_ value: Double) { self.add { $0.count(value, in: self.bounds) } }

    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1e9) }

    /// Several values under one lock.
    func record(_ values: some Sequence<Double>) {
        var counts = HistogramCounts(bounds: self.bounds.count)
        for value in values { counts.count(value, in: self.bounds) }
        self.add { $0.add(counts) }
    }

    private func add(_ change: (inout HistogramCounts) -> Void) { self.counted.withLock { change(&$0) } }

    var samples: [MetricSample] {
        let counted = self.counted.withLock { $0 }
        var samples: [MetricSample] = []
        var total: UInt64 = 0
        for (bound, count) in zip(self.bounds + [.infinity], counted.buckets) {
            total += count
            samples.append(MetricSample(suffix: "_bucket", labels: [("le", bound.metricText)], value: Double(total)))
        }
        samples.append(MetricSample(suffix: "_sum", value: counted.sum))
        samples.append(MetricSample(suffix: "_count", value: Double(total)))
        return samples
    }
}

struct HistogramCounts: Sendable {
    /// One for each bound, and one for what is above all of them.
    private(set) var buckets: [UInt64]
    private(set) var sum = 0.0

    init(bounds: Int) { self.buckets = Array(repeating: 0, count: bounds + 1) }

    /// - Parameter bounds: few and ascending, so they are searched one by one.
    mutating func count(_ value: Double, in bounds: [Double]) {
        var index = 0
        while index < bounds.count, value > bounds[index] { index += 1 }
        self.buckets[index] += 1
        self.sum += value
    }

    mutating func add(_ other: HistogramCounts) {
        for index in self.buckets.indices { self.buckets[index] += other.buckets[index] }
        self.sum += other.sum
    }
}

extension Double {
    /// As Prometheus reads and writes numbers.
    var metricText: String {
        if self.isInfinite { return self < 0 ? "-Inf" : "+Inf" }
        if self.isNaN { return "NaN" }
        if self == self.rounded(), abs(self) < 1e15 { return "\(Int64(self))" }
        return "\(self)"
    }
}
