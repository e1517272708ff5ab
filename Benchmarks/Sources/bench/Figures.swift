/// All that was measured, and what it comes to.
struct Figures {
    private var runs: [Shape: [String: [Race.Result]]] = [:]
    /// Events a second of one core in each round, by the kind of message.
    private var decodings: [(kind: String, rates: [Double])] = []
    var latencies: [Latency.Result] = []

    mutating func append(_ result: Race.Result, _ contestant: Contestant, _ shape: Shape) {
        self.runs[shape, default: [:]][contestant.name, default: []].append(result)
    }

    mutating func appendDecoding(_ eventsPerSecond: Double, of kind: String) {
        if let index = self.decodings.firstIndex(where: { $0.kind == kind }) {
            self.decodings[index].rates.append(eventsPerSecond)
        } else {
            self.decodings.append((kind, [eventsPerSecond]))
        }
    }

    /// The medians of the rounds.
    var decoding: [(kind: String, eventsPerSecond: Double)] {
        self.decodings.map { ($0.kind, Self.median($0.rates) ?? 0) }
    }

    func results(_ name: String, _ shape: Shape) -> [Race.Result] {
        self.runs[shape]?[name] ?? []
    }

    /// The median of the rounds' rates.
    func rate(_ name: String, _ shape: Shape) -> Double? {
        Self.median(self.results(name, shape).map(\.eventsPerSecond))
    }

    /// The most memory that Tidemark held in any run.
    var tidemarkPeak: Int? {
        self.runs.values.flatMap { $0 }.filter { $0.key.hasPrefix("tidemark") }.flatMap { $0.value }
            .map(\.usage.peakBytes).max()
    }

    static func median(_ values: [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    static func percent(_ share: Double) -> String { (share * 100).rounded(places: 0) + "%" }

    // MARK: - Tables

    /// Of Tidemark's better number of lanes: events/s over those of the others, and where the processors' time went.
    func summary(_ shapes: [Shape]) -> String {
        var table = Table(
            [
                "data", "timeline", "/ script", "/ replication", "/ floor", "µs/event", "client", "server", "waiting",
                "WAL B/event", "events/s",
            ],
            numbers: 2...10
        )
        for shape in shapes {
            for suffix in ["", "+timeline"] {
                let names = [1, 2].map { "tidemark\(suffix)-\($0)" }
                let best = names.max { (self.rate($0, shape) ?? 0) < (self.rate($1, shape) ?? 0) }
                guard let best, let rate = self.rate(best, shape) else { continue }
                let results = self.results(best, shape)
                func median(_ value: (Race.Result) -> Double) -> Double { Self.median(results.map(value)) ?? 0 }
                func ratio(_ other: String) -> String {
                    self.rate(other, shape).map { (rate / $0).rounded(places: 2) + " ×" } ?? ""
                }
                let (client, server) = (median(\.clientShare), median(\.serverShare))
                table.append([
                    shape.rawValue, suffix.isEmpty ? "no" : "yes", ratio("script" + suffix),
                    suffix.isEmpty ? ratio("replication") : "", suffix.isEmpty ? ratio("floor") : "",
                    median(\.microsecondsPerEvent).rounded(places: 1), Self.percent(client), Self.percent(server),
                    Self.percent(max(0, 1 - client - server)), median(\.walBytesPerEvent).rounded(places: 0),
                    rate.grouped,
                ])
            }
        }
        return table.text
    }

    func table(_ shapes: [Shape]) -> String {
        var table = Table(
            ["data", "contestant", "events/s", "min–max", "client s", "server s", "MB"],
            numbers: 2...6
        )
        for shape in shapes {
            for contestant in Contestant.all {
                let results = self.results(contestant.name, shape)
                let rates = results.map(\.eventsPerSecond)
                guard let rate = Self.median(rates), let least = rates.min(), let most = rates.max() else { continue }
                let client = Self.median(results.map(\.usage.processorSeconds)) ?? 0
                let server = Self.median(results.map(\.serverSeconds)) ?? 0
                let peak = results.map(\.usage.peakBytes).max() ?? 0
                table.append([
                    shape.rawValue, contestant.name, rate.grouped,
                    "\((least / 1e3).rounded(places: 1))–\((most / 1e3).rounded(places: 1))k",
                    client.rounded(places: 1), server.rounded(places: 1), (Double(peak) / 1e6).rounded(places: 0),
                ])
            }
        }
        return table.text
    }

    var latencyTable: String {
        var table = Table(["one event, to visible", "median ms", "p99 ms"], numbers: 1...2)
        for latency in self.latencies {
            table.append([latency.name, latency.median.rounded(places: 2), latency.nearlyAll.rounded(places: 2)])
        }
        return table.text
    }

    var decodingTable: String {
        var table = Table(["decoding alone, one core", "events/s"], numbers: 1...1)
        for decoding in self.decoding { table.append([decoding.kind, decoding.eventsPerSecond.grouped]) }
        return table.text
    }
}
