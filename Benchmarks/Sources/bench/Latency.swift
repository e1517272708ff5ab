#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How long one event takes through an idle `replay -`, from standard input to where another session sees its row; and how
/// long an `INSERT` takes there, seen in the same way.
struct Latency {
    private static let samples = 300
    private static let warmUps = 30
    /// Between two events, so that both ends are idle again.
    private static let pause: useconds_t = 5_000
    private static let patience = Duration.seconds(30)

    let race: Race
    let output: String

    struct Result {
        var name: String
        var hasTimeline = false
        /// In milliseconds, sorted.
        var samples: [Double]

        var median: Double { self.samples[self.samples.count / 2] }
        var nearlyAll: Double { self.samples[self.samples.count * 99 / 100] }
    }

    func bare() throws -> Result {
        try self.race.server.makeFresh([Race.database])
        let writer = try self.race.server.connect(Race.database)
        try writer.query(TextFile.read("\(self.race.options.benchmarks)/Contestants/table.sql"))
        let samples = try self.measure { number in
            try writer.send(
                "insert into orders values (\(number), 'c-00000001', 'created', 12.50, 'EUR', 'Porto', 'ring twice', "
                    + "'2026-03-01 09:30:15', 1)"
            )
        } afterwards: {
            try writer.finish()
        }
        return Result(name: "INSERT … COMMIT", samples: samples)
    }

    func tidemark(hasTimeline: Bool) throws -> Result {
        try self.race.server.makeFresh([Race.database])
        // Neither end is another program's, but for the one that is handed over.
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BenchmarkError("there is no pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let configuration = hasTimeline ? "tidemark-timeline.yaml" : "tidemark.yaml"
        let words = self.race.replay(configuration, lanes: 2) + ["-"]
        let process = try ChildProcess.start(words, input: .descriptor(ends[0]), output: self.output)
        close(ends[0])
        let samples: [Double]
        do {
            try self.awaitTable()
            samples = try self.measure { number in
                try Self.write(Self.line(number), to: ends[1])
            } afterwards: {
            }
        } catch {
            close(ends[1])
            _ = try process.wait()
            throw error
        }
        close(ends[1])
        _ = try process.wait()
        let name = hasTimeline ? "tidemark replay -, with timeline" : "tidemark replay -"
        return Result(name: name, hasTimeline: hasTimeline, samples: samples)
    }

    private func awaitTable() throws {
        let reader = try self.race.server.connect(Race.database)
        let deadline = ContinuousClock.now + Self.patience
        while try reader.query("select to_regclass('orders') is not null")[0][0] != "t" {
            guard ContinuousClock.now < deadline else { throw BenchmarkError("no table came of replay -") }
            usleep(1_000)
        }
    }

    /// - Parameter send: makes the order of this number; what it waits for counts.
    private func measure(send: (Int) throws -> Void, afterwards: () throws -> Void) throws -> [Double] {
        let reader = try self.race.server.connect(Race.database)
        try reader.prepare("look", "select from orders where id = $1")
        var samples: [Double] = []
        for number in 1...(Self.warmUps + Self.samples) {
            try Main.checkInterrupt()
            let start = ContinuousClock.now
            try send(number)
            let identifier = "\(number)"
            while try !reader.finds("look", identifier) {
                guard ContinuousClock.now < start + Self.patience else { throw BenchmarkError("an event got lost") }
            }
            if number > Self.warmUps { samples.append((ContinuousClock.now - start) / .milliseconds(1)) }
            try afterwards()
            usleep(Self.pause)
        }
        return samples.sorted()
    }

    private static func line(_ number: Int) -> String {
        #"{"database":"shop","table":"orders","type":"insert","ts":1772357415,"xid":\#(number),"commit":true,"position":"#
            + #""mysql-bin.000001:\#(number * 400)","data":{"id":\#(number),"customer":"c-00000001","status":"created","#
            + #""amount":12.50,"currency":"EUR","city":"Porto","note":"ring twice","updated_at":"2026-03-01 09:30:15","#
            + #""version":1}}"# + "\n"
    }

    private static func write(_ line: String, to descriptor: Int32) throws {
        var line = line
        let count = line.withUTF8 { bytes in
            #if canImport(Glibc)
                Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            #elseif canImport(Musl)
                Musl.write(descriptor, bytes.baseAddress, bytes.count)
            #else
                Darwin.write(descriptor, bytes.baseAddress, bytes.count)
            #endif
        }
        // Shorter than a pipe's buffer: all or nothing.
        guard count == line.utf8.count else { throw BenchmarkError("tidemark reads no more") }
    }
}
