#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What it costs that several processes write one projection: a process alone, the same beside another one that writes
/// nothing, and two processes on halves of a log with keys of their own beside one process with as many lanes.
struct Sharing {
    /// Processor time an event with another process there, which writes nothing.
    static let costMax = 1.35
    /// Events a second of two processes with one lane each, of one process with two.
    static let speedMin = 0.9

    private let race: Race
    private var options: Options { self.race.options }

    init(_ race: Race) { self.race = race }

    /// - Returns: whether the goals are met.
    func run() throws -> Bool {
        Main.say("making the data")
        try self.race.makeData()
        try self.race.server.warmUp(megabytes: min(3_000, self.options.orders * 3 / 125))
        print("# \(Machine.date), several processes, medians of \(self.options.pairs)\n")
        print("- machine: \(Machine.description)")
        print("- PostgreSQL \(try self.race.server.describe().version), seed \(self.options.seed)\n")
        var table = Table(
            ["data", "CPU µs/event alone", "shared", "ratio", "events/s one process", "two", "ratio"],
            numbers: 1...6
        )
        var isMet = true
        for shape in self.options.shapes {
            var (costs, speeds): ([Double], [Double]) = ([], [])
            var (alone, shared, one, two): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
            for number in 1...self.options.pairs {
                let single = try self.race.run(Self.contestant, on: shape)
                let beside = try self.race.run(Self.contestant, on: shape, as: .besideAnother)
                let halves = try self.race.run(Self.contestant, on: shape, as: .halves)
                alone.append(single.microsecondsPerEvent)
                shared.append(beside.microsecondsPerEvent)
                one.append(single.eventsPerSecond)
                two.append(halves.eventsPerSecond)
                costs.append(beside.microsecondsPerEvent / single.microsecondsPerEvent)
                speeds.append(halves.eventsPerSecond / single.eventsPerSecond)
                Main.say(
                    "\(shape.rawValue), \(number): \(costs.last?.rounded(places: 3) ?? ""), \(speeds.last?.rounded(places: 3) ?? "")"
                )
            }
            func median(_ values: [Double]) -> Double { Figures.median(values) ?? 0 }
            isMet = isMet && median(costs) <= Self.costMax && (shape != .steady || median(speeds) >= Self.speedMin)
            table.append([
                shape.rawValue, median(alone).rounded(places: 2), median(shared).rounded(places: 2),
                median(costs).rounded(places: 3), median(one).grouped, median(two).grouped,
                median(speeds).rounded(places: 3),
            ])
        }
        print(table.text)
        print(
            "Goals: shared at most \(Self.costMax.rounded(places: 2)) × the processor time; on steady data two processes "
                + "at least \(Self.speedMin.rounded(places: 1)) × the events/s: \(isMet ? "met" : "MISSED")."
        )
        return isMet || !self.options.isFull
    }

    private static var contestant: Contestant {
        guard let found = Contestant.all.first(where: { $0.name == "tidemark-2" }) else { preconditionFailure() }
        return found
    }
}

extension Race {
    /// How processes share a log.
    enum Sharing {
        case alone
        /// Another process writes the projection too, and reads nothing.
        case besideAnother
        /// Two processes with half of the lanes each, and half of the log.
        case halves
    }

    /// - Parameter tidemark: the command of one process with so many lanes, without what it reads.
    func time(_ sharing: Sharing, lanes: Int, log: String, _ tidemark: (Int) -> [String]) throws -> Usage {
        switch sharing {
        case .alone: return try ChildProcess.run(tidemark(lanes) + [log], output: self.output)
        case .besideAnother:
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { throw BenchmarkError("pipe: \(String(cString: strerror(errno)))") }
            _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
            let other = try ChildProcess.start(
                tidemark(1) + ["-"],
                input: .descriptor(ends[0]),
                output: self.output + ".2"
            )
            close(ends[0])
            let database = try self.server.connect(Self.database)
            while try database.query("select count(*) from tidemark.processes where streams > 0")[0][0] != "1" {
                usleep(20_000)
            }
            let usage = try ChildProcess.run(tidemark(lanes) + [log], output: self.output)
            close(ends[1])
            _ = try other.wait()
            return usage
        case .halves:
            let halves = [log + ".first", log + ".second"]
            try Self.halve(log, halves)
            let start = ContinuousClock.now
            let first = try ChildProcess.start(tidemark(lanes / 2) + [halves[0]], output: self.output)
            let second = try ChildProcess.start(tidemark(lanes / 2) + [halves[1]], output: self.output + ".2")
            let (one, two) = (try first.wait(), try second.wait())
            return Usage(
                seconds: (ContinuousClock.now - start) / .seconds(1),
                processorSeconds: one.processorSeconds + two.processorSeconds,
                peakBytes: one.peakBytes + two.peakBytes
            )
        }
    }

    /// Writes the events of even keys to one file and those of odd keys to the other, unless that was done before.
    private static func halve(_ log: String, _ halves: [String]) throws {
        guard access(halves[1], R_OK) != 0 else { return }
        let script = """
            { match($0, /"id":[0-9]+/); print > (substr($0, RSTART + RLENGTH - 1, 1) % 2 ? second : first) }
            """
        try ChildProcess.run(
            ["awk", "-v", "first=\(halves[0])", "-v", "second=\(halves[1])", script, log],
            output: log + ".said"
        )
    }
}
