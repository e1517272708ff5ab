/// What the comparison has to show, and whether it does.
struct Goals {
    let figures: Figures

    /// Below this the script was not what an expert's script does, or the machine was not free.
    static let scriptRateMin = 50_000.0

    /// The data on which the script was too slow for the run to count.
    func void(_ shapes: [Shape]) -> [Shape] {
        shapes.filter { shape in self.figures.rate("script", shape).map { $0 < Self.scriptRateMin } ?? false }
    }

    /// A row for each goal that was measured. The better of one and two lanes counts.
    var table: String {
        var table = Table(["what", "1 lane", "2 lanes", "goal", ""], numbers: 1...3)
        for row in self.ratios + self.others { table.append(row) }
        return table.text
    }

    private var ratios: [[String]] {
        [
            self.ratio(.hot, to: "script", 8),
            self.ratio(.cold, to: "script", 4),
            self.ratio(.steady, to: "script", 2),
            self.ratio(.steady, to: "replication", 2),
            self.ratio(.hot, to: "script", timeline: true, 2),
            self.ratio(.cold, to: "script", timeline: true, 2),
            self.ratio(.steady, to: "script", timeline: true, 1.7),
            self.ratio(.steady, to: "floor", 0.85),
        ].compactMap { $0 }
    }

    private func ratio(_ shape: Shape, to other: String, timeline: Bool = false, _ goal: Double) -> [String]? {
        let suffix = timeline ? "+timeline" : ""
        guard let rate = self.figures.rate(other + suffix, shape) else { return nil }
        let ratios = [1, 2].map { lanes in self.figures.rate("tidemark\(suffix)-\(lanes)", shape).map { $0 / rate } }
        guard let best = ratios.compactMap({ $0 }).max() else { return nil }
        let cells = ratios.map { ratio in ratio.map { $0.rounded(places: 2) + " ×" } ?? "" }
        let title = "\(shape.rawValue): Tidemark / \(other)\(timeline ? ", timeline" : "")"
        return [title] + cells + ["≥ \(goal.rounded(places: 2)) ×", Self.verdict(best >= goal)]
    }

    private var others: [[String]] {
        var rows: [[String]] = []
        if let large = self.figures.rate("tidemark-2", .large), let small = self.figures.rate("tidemark-2", .steady) {
            let ratio = large / small
            rows.append([
                "steady: 10 × the events / once", "", ratio.rounded(places: 2) + " ×", "≥ 0.90 ×",
                Self.verdict(ratio >= 0.9),
            ])
        }
        if let peak = self.figures.tidemarkPeak {
            let megabytes = Double(peak) / 1e6
            rows.append([
                "Tidemark's peak memory", "", megabytes.rounded(places: 0) + " MB", "≤ 200 MB",
                Self.verdict(megabytes <= 200),
            ])
        }
        let goals = ["maxwell": 1e6, "debezium": 6e5, "canal": 6e5]
        for decoding in self.figures.decoding {
            guard let goal = goals[decoding.kind] else { continue }
            rows.append([
                "decoding \(decoding.kind)", "\((decoding.eventsPerSecond / 1e3).grouped)k/s", "",
                "≥ \((goal / 1e3).grouped)k/s", Self.verdict(decoding.eventsPerSecond >= goal),
            ])
        }
        guard let bare = self.figures.latencies.first else { return rows }
        for latency in self.figures.latencies.dropFirst() {
            let more = latency.median - bare.median
            let title = latency.hasTimeline ? "event above INSERT, timeline" : "event above INSERT"
            rows.append([title, "", more.rounded(places: 2) + " ms", "≤ 3.00 ms", Self.verdict(more <= 3)])
        }
        return rows
    }

    private static func verdict(_ isMet: Bool) -> String { isMet ? "met" : "missed" }
}
