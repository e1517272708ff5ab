#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One comparison from its server's start to its last table.
struct Comparison {
    private let options: Options
    private let server: Server
    private let race: Race
    private let output: String
    private var figures = Figures()

    /// - Returns: whether the run counts.
    static func run(_ options: Options) throws -> Bool {
        let folder = try Self.makeFolder()
        defer { _ = try? ChildProcess.run(["rm", "-rf", folder], output: "/dev/null") }
        for name in ["server", "data"] { mkdir("\(folder)/\(name)", 0o755) }
        let output = "\(folder)/output"
        let server = try Server(folder: "\(folder)/server", output: output)
        defer { server.stop() }
        let race = Race(options, server: server, data: "\(folder)/data", output: output)
        if let before = options.before { return try Pairs(race, before: before).run() }
        if options.isShared { return try Sharing(race).run() }
        var comparison = Comparison(options: options, server: server, race: race, output: output)
        try comparison.describe()
        try comparison.measure()
        let counts = comparison.report()
        comparison.printSources()
        return counts
    }

    private init(options: Options, server: Server, race: Race, output: String) {
        self.options = options
        self.server = server
        self.race = race
        self.output = output
    }

    /// Of its own below /tmp, where every account can get to, and whose names are short enough for a socket's.
    private static func makeFolder() throws -> String {
        var template = Array("/tmp/tidemark-bench.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BenchmarkError("no folder can be made below /tmp") }
        let folder = template.withUnsafeBufferPointer { characters in
            String(decoding: characters.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        chmod(folder, 0o755)
        return folder
    }

    /// Machine, versions, settings, data and the sources' names.
    private func describe() throws {
        let described = try self.server.describe()
        let programs = [
            ["\(self.options.programs)/tidemark", "--version"],
            ["\(self.options.benchmarks)/.venv/bin/python", "-c", "import psycopg; print(psycopg.__version__)"],
        ]
        let versions = try programs.map { words in
            try ChildProcess.run(words, output: self.output)
            return TextFile.read(self.output).split(separator: "\n").last.map(String.init) ?? ""
        }
        let rounds = self.options.rounds == 1 ? "one round" : "\(self.options.rounds) rounds, medians"
        let events = Double(Race.lines(orders: self.options.orders)).grouped
        print(
            """
            # \(Machine.date)

            - machine: \(Machine.description)
            - PostgreSQL \(described.version), tidemark \(versions[0]), psycopg \(versions[1])
            - \(events) events in each data set, seed \(self.options.seed), \(rounds)
            - settings:
            \(described.settings.map { "  - " + $0 }.joined(separator: "\n"))
            - contestants, with their sources in `Benchmarks/Contestants/`:
            """
        )
        for contestant in Contestant.all where self.options.includes(contestant.name) {
            print("  - \(contestant.name): \(contestant.sources.joined(separator: ", "))")
        }
        print()
    }

    /// What has been compared, word for word.
    private func printSources() {
        var printed: Set<String> = []
        for contestant in Contestant.all where self.options.includes(contestant.name) {
            for source in contestant.sources where printed.insert(source).inserted {
                let text = TextFile.read("\(self.options.benchmarks)/Contestants/\(source)")
                let language = source.split(separator: ".").last ?? ""
                print("\n## \(source)\n\n```\(language)\n\(text)```")
            }
        }
    }

    private mutating func measure() throws {
        let contestants = Contestant.all.filter { self.options.includes($0.name) }
        if !contestants.isEmpty {
            Main.say("making the data")
            try self.race.makeData()
            try self.server.warmUp(megabytes: min(3_000, self.options.orders * 3 / 125))
        }
        for round in 1...self.options.rounds {
            for shape in self.options.shapes {
                for contestant in contestants where contestant.runs(on: shape) {
                    let result = try self.race.run(contestant, on: shape)
                    self.figures.append(result, contestant, shape)
                    let rate = result.eventsPerSecond.grouped
                    Main.say("round \(round), \(shape.rawValue), \(contestant.name): \(rate)/s")
                }
            }
            if self.options.includes("decode") {
                Main.say("round \(round), decoding")
                for (kind, rate) in try self.decode() { self.figures.appendDecoding(rate, of: kind) }
            }
        }
        if self.options.includes("latency") {
            Main.say("latency")
            let latency = Latency(race: self.race, output: self.output)
            self.figures.latencies = [
                try latency.bare(), try latency.tidemark(hasTimeline: false), try latency.tidemark(hasTimeline: true),
            ]
        }
    }

    /// `maxwell: 1234567 events/s, …` for each kind.
    private func decode() throws -> [(kind: String, eventsPerSecond: Double)] {
        let events = "\(min(500_000, self.options.orders * 8))"
        try ChildProcess.run(["\(self.options.programs)/decode-benchmark", events], output: self.output)
        return TextFile.read(self.output).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count > 1, words[0].last == ":", let rate = Double(words[1]) else { return nil }
            return (String(words[0].dropLast()), rate)
        }
    }

    /// - Returns: whether the run counts.
    private func report() -> Bool {
        let goals = Goals(figures: self.figures)
        let tables = [
            self.figures.summary(self.options.shapes), goals.table, self.figures.table(self.options.shapes),
            self.figures.latencyTable, self.figures.decodingTable,
        ]
        // A table without rows has two lines.
        for table in tables where table.split(separator: "\n").count > 2 { print(table) }
        guard self.options.isFull else {
            print("Not of the full size: this shows that everything works, and measures nothing.")
            return true
        }
        let void = goals.void(self.options.shapes)
        guard void.isEmpty else {
            let names = void.map(\.rawValue).joined(separator: ", ")
            print("VOID: the script stayed below \(Goals.scriptRateMin.grouped) events/s (\(names)).")
            return false
        }
        return true
    }
}
