import CoreMetrics
import Testing

@testable import TidemarkService

/// What swift-metrics is told, as Prometheus reads it.
@Suite("The registry of metrics", .timeLimit(.minutes(5)))
struct MetricsRegistryTests {
    @Test func writesEachMetricOnceWithItsSeries() {
        let registry = MetricsRegistry([MetricDefinition("b_total", .counter, "What \\ is\ncounted.")])
        Counter(label: "b_total", dimensions: [("name", #"a "quoted" \ one"#)], factory: registry).increment(by: 2)
        Meter(label: "a_bytes", factory: registry).set(1.5)
        Counter(label: "b_total", dimensions: [("name", "plain\n")], factory: registry).increment()
        Counter(label: "b_total", dimensions: [("name", "plain\n")], factory: registry).increment()
        #expect(
            registry.text == #"""
                # HELP a_bytes a_bytes
                # TYPE a_bytes gauge
                a_bytes 1.5
                # HELP b_total What \\ is\ncounted.
                # TYPE b_total counter
                b_total{name="a \"quoted\" \\ one"} 2
                b_total{name="plain\n"} 2

                """#
        )
    }

    @Test func countsInBucketsUpToTheirBounds() {
        let registry = MetricsRegistry([MetricDefinition("t_seconds", .histogram(bounds: [0.5, 2]), "A time.")])
        let timer = CoreMetrics.Timer(label: "t_seconds", factory: registry)
        for nanoseconds: Int64 in [500_000_000, 500_000_001, 3_000_000_000] { timer.recordNanoseconds(nanoseconds) }
        #expect(
            registry.text.hasSuffix(
                """
                t_seconds_bucket{le="0.5"} 1
                t_seconds_bucket{le="2"} 2
                t_seconds_bucket{le="+Inf"} 3
                t_seconds_sum 4.000000001
                t_seconds_count 3

                """
            ),
            "\(registry.text)"
        )
    }

    @Test func leavesOutAGaugeThatIsNotKnown() {
        let registry = MetricsRegistry([])
        Meter(label: "known", factory: registry).set(0)
        Meter(label: "unknown", factory: registry).set(Double.nan)
        #expect(
            registry.text.contains("known 0\n") && !registry.text.contains("unknown 0")
                && !registry.text.contains("NaN")
        )
    }

    /// A source that is in the order of its events waits no longer than its newest committed event is old; a quiet one
    /// waits since it was level.
    @Test func lagIsTheAgeOfWhatWaits() {
        let start = ContinuousClock.now
        let time: Int64 = 1_772_357_400_000_000
        var lag = ServiceMetrics.Lag()
        lag.note(isLevel: true, at: start)
        #expect(lag.seconds(at: start + .seconds(5), time: time) == 0)
        lag.note(isLevel: false, at: start + .seconds(5))
        #expect(lag.seconds(at: start + .seconds(5), time: time) == 5)
        lag.note(committed: time - 2_000_000)
        #expect(lag.seconds(at: start + .seconds(5), time: time) == 2)
        // Its clock is ahead of ours.
        lag.note(committed: time + 9_000_000)
        #expect(lag.seconds(at: start + .seconds(5), time: time) == 0)
    }
}
