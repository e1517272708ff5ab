/// Two builds of Tidemark, run alternately: before, after, after, before, and so on, so that a machine whose speed changes
/// from minute to minute slows both alike.
///
/// What is compared is processor time of client and server for each event: unlike events a second it hardly depends on
/// what else the machine does.
struct Pairs {
    /// How much more processor time an event may take than before.
    static let ratioMax = 1.03

    private struct Pair {
        var before: Race.Result
        var after: Race.Result
        var ratio: Double { self.after.microsecondsPerEvent / self.before.microsecondsPerEvent }
    }

    private let race: Race
    private let before: String
    private let contestants: [Contestant]
    private var options: Options { self.race.options }

    init(_ race: Race, before: String) {
        self.race = race
        self.before = before
        let names = ["tidemark-2", "tidemark+timeline-2"]
        self.contestants = Contestant.all.filter { names.contains($0.name) && race.options.includes($0.name) }
    }

    /// Runs all pairs and prints a table.
    /// - Returns: whether no data takes more than ``ratioMax`` times the processor time of before.
    func run() throws -> Bool {
        guard !self.contestants.isEmpty else {
            throw BenchmarkError("--before compares tidemark-2, tidemark+timeline-2")
        }
        Main.say("making the data")
        try self.race.makeData()
        try self.race.server.warmUp(megabytes: min(3_000, self.options.orders * 3 / 125))
        print("# \(Machine.date), before and after, \(self.options.pairs) alternating pairs, medians\n")
        print("- machine: \(Machine.description)")
        print("- PostgreSQL \(try self.race.server.describe().version), seed \(self.options.seed)\n")
        var table = Table(
            [
                "data", "contestant", "CPU µs/event", "after", "ratio", "min–max", "events/s", "after", "WAL B/event",
                "after", "client", "server", "waiting",
            ],
            numbers: 2...12
        )
        var isMet = true
        for shape in self.options.shapes {
            for contestant in self.contestants where contestant.runs(on: shape) {
                let pairs = try self.pairs(contestant, shape)
                let ratio = Figures.median(pairs.map(\.ratio)) ?? 0
                isMet = isMet && ratio <= Self.ratioMax
                table.append([shape.rawValue, contestant.name] + Self.cells(pairs, ratio))
            }
        }
        print(table.text)
        print("Client, server and waiting are shares of all processors' time while the build after ran.")
        guard self.options.isFull else {
            print("Not of the full size: this shows that everything works, and measures nothing.")
            return true
        }
        print("Goal: at most \(Self.ratioMax.rounded(places: 2)) × the processor time: \(isMet ? "met" : "MISSED").")
        return isMet
    }

    private func pairs(_ contestant: Contestant, _ shape: Shape) throws -> [Pair] {
        var pairs: [Pair] = []
        for number in 0..<self.options.pairs {
            let order =
                number.isMultiple(of: 2) ? [self.before, self.options.programs] : [self.options.programs, self.before]
            var results: [String: Race.Result] = [:]
            for programs in order {
                self.race.programs = programs
                results[programs] = try self.race.run(contestant, on: shape)
            }
            guard let before = results[self.before], let after = results[self.options.programs] else {
                throw BenchmarkError("--before and --programs name one folder, \(self.before)")
            }
            let pair = Pair(before: before, after: after)
            pairs.append(pair)
            Main.say("\(shape.rawValue), \(contestant.name), pair \(number + 1): \(pair.ratio.rounded(places: 3))")
        }
        return pairs
    }

    private static func cells(_ pairs: [Pair], _ ratio: Double) -> [String] {
        func median(_ value: (Pair) -> Double) -> Double { Figures.median(pairs.map(value)) ?? 0 }
        let ratios = pairs.map(\.ratio)
        let (least, most) = (ratios.min() ?? 0, ratios.max() ?? 0)
        let client = median { $0.after.clientShare }
        let server = median { $0.after.serverShare }
        return [
            median { $0.before.microsecondsPerEvent }.rounded(places: 2),
            median { $0.after.microsecondsPerEvent }.rounded(places: 2),
            ratio.rounded(places: 3), "\(least.rounded(places: 2))–\(most.rounded(places: 2))",
            median { $0.before.eventsPerSecond }.grouped, median { $0.after.eventsPerSecond }.grouped,
            median { $0.before.walBytesPerEvent }.rounded(places: 0),
            median { $0.after.walBytesPerEvent }.rounded(places: 0),
            Figures.percent(client), Figures.percent(server), Figures.percent(max(0, 1 - client - server)),
        ]
    }
}
