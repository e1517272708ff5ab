#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Lets contestants run, one at a time, each in a fresh database, and looks at what they leave.
final class Race {
    struct Result {
        var usage: Usage
        var serverSeconds: Double
        /// What the run added to the server's write-ahead log.
        var walBytes: Int
        var events: Int
        var eventsPerSecond: Double { Double(self.events) / self.usage.seconds }
        /// Processor time of client and server for each event, in microseconds.
        var microsecondsPerEvent: Double {
            (self.usage.processorSeconds + self.serverSeconds) * 1e6 / Double(self.events)
        }
        var walBytesPerEvent: Double { Double(self.walBytes) / Double(self.events) }
        /// Of the processor time that the machine had meanwhile, from 0 to 1.
        var clientShare: Double { self.usage.processorSeconds / self.availableSeconds }
        var serverShare: Double { self.serverSeconds / self.availableSeconds }
        private var availableSeconds: Double { self.usage.seconds * Double(Machine.processors) }
    }

    /// The database that contestants write to, and replication's other one.
    static let database = "bench"
    private static let publisher = "publisher"

    let options: Options
    let server: Server
    /// The folder of the `tidemark` that runs.
    var programs: String
    private let data: String
    let output: String
    /// The rows that the first contestant on a data set left; all others have to leave the same.
    private var checksums: [Shape: String] = [:]

    /// - Parameter data: the folder of the logs.
    init(_ options: Options, server: Server, data: String, output: String) {
        self.options = options
        self.server = server
        self.programs = options.programs
        self.data = data
        self.output = output
    }

    func log(_ shape: Shape) -> String { "\(self.data)/\(shape.rawValue).ndjson" }
    private func gated(_ shape: Shape) -> String { "\(self.data)/\(shape.rawValue).floor" }
    private func contestant(_ file: String) -> String { "\(self.options.benchmarks)/Contestants/\(file)" }
    private func built(_ program: String) -> String { "\(self.options.benchmarks)/.build/release/\(program)" }

    /// Makes the logs, and what the floor reads.
    func makeData() throws {
        for shape in self.options.shapes {
            let words = [
                self.built("make-log"), shape.log, "--orders", "\(shape.orders(self.options))", "--seed",
                "\(self.options.seed)",
            ]
            try ChildProcess.run(words, output: self.log(shape))
            if shape != .large { try ChildProcess.run(words + ["--floor"], output: self.gated(shape)) }
        }
        // Gigabytes that the system has yet to write would slow down whoever comes first.
        sync()
    }

    func run(_ contestant: Contestant, on shape: Shape, as sharing: Sharing = .alone) throws -> Result {
        try Main.checkInterrupt()
        try self.prepare(contestant, shape)
        try self.server.checkpoint()
        let before = try self.server.processorSeconds()
        let walBefore = try self.server.walBytes()
        let usage: Usage
        do {
            usage = try self.time(contestant, shape, sharing)
        } catch let error as BenchmarkError {
            throw BenchmarkError("\(contestant.name), \(shape.rawValue): \(error.description)")
        }
        let serverSeconds = try self.server.processorSeconds() - before
        let walBytes = try self.server.walBytes() - walBefore
        try self.check(contestant, shape)
        if case .replication = contestant.kind {
            try self.server.connect(Self.database).query("drop subscription bench")
        }
        return Result(
            usage: usage,
            serverSeconds: serverSeconds,
            walBytes: walBytes,
            events: Self.lines(orders: shape.orders(self.options))
        )
    }

    /// How many lines `make-log` writes.
    static func lines(orders: Int) -> Int { orders * 8 + orders * 8 / 50 }

    /// What is done before the clock starts: everybody finds the table of orders made, and Tidemark all that it makes.
    private func prepare(_ contestant: Contestant, _ shape: Shape) throws {
        try self.server.makeFresh([Self.database, Self.publisher])
        let table = ["-f", self.contestant("table.sql")]
        switch contestant.kind {
        case .tidemark(let configuration, _):
            try ChildProcess.run(self.tidemark("migrate", configuration), output: self.output)
        case .script, .psycopg, .floor: try ChildProcess.run(self.psql(Self.database, table), output: self.output)
        case .replication:
            try ChildProcess.run(
                self.psql(Self.publisher, table + ["-f", self.contestant("replication-publisher.sql")]),
                input: .file(self.log(shape)),
                output: self.output
            )
            let variable = ["-v", "publisher=\(self.server.connectionString(Self.publisher))"]
            let subscribe = ["-f", self.contestant("replication-subscriber.sql")]
            try ChildProcess.run(self.psql(Self.database, variable + table + subscribe), output: self.output)
        }
    }

    private func time(_ contestant: Contestant, _ shape: Shape, _ sharing: Sharing) throws -> Usage {
        let database = self.server.connectionString(Self.database)
        switch contestant.kind {
        case .script(let file):
            return try ChildProcess.run(
                self.psql(Self.database, ["-f", self.contestant(file)]),
                input: .file(self.log(shape)),
                output: self.output
            )
        case .replication:
            return try ChildProcess.run(
                self.psql(Self.database, ["-f", self.contestant("replication.sql")]),
                output: self.output
            )
        case .psycopg:
            let python = "\(self.options.benchmarks)/.venv/bin/python"
            return try ChildProcess.run(
                [python, self.contestant("consumer.py"), database, self.log(shape)],
                output: self.output
            )
        case .floor:
            return try ChildProcess.run([self.built("floor"), database, self.gated(shape)], output: self.output)
        case .tidemark(let configuration, let lanes):
            return try self.time(sharing, lanes: lanes, log: self.log(shape)) {
                self.replay(configuration, lanes: $0)
            }
        }
    }

    /// The command of Tidemark, but for what it is to read.
    func replay(_ configuration: String, lanes: Int) -> [String] {
        self.tidemark("replay", configuration) + ["--json", "--lanes", "\(lanes)"]
    }

    private func tidemark(_ command: String, _ configuration: String) -> [String] {
        [
            "\(self.programs)/tidemark", command, "--config", self.contestant(configuration), "--database",
            self.server.connectionString(Self.database),
        ]
    }

    private func psql(_ database: String, _ arguments: [String]) -> [String] {
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.server.connectionString(database)] + arguments
    }

    /// Every order has to be in its eighth version, with the same nine columns whoever wrote them.
    private func check(_ contestant: Contestant, _ shape: Shape) throws {
        let database = try self.server.connect(Self.database)
        let orders = shape.orders(self.options)
        let found = try database.query(
            """
            select count(*), sum(version), sum(hashtextextended(row(id, customer, status, amount, currency, city, note,
                updated_at, version)::text, 0)::numeric)
            from orders
            """
        )[0]
        let place = "\(contestant.name), \(shape.rawValue)"
        guard found[0] == "\(orders)", found[1] == "\(orders * 8)" else {
            throw BenchmarkError("\(place): \(found[0]) orders whose versions add up to \(found[1])")
        }
        let checksum = self.checksums[shape, default: found[2]]
        self.checksums[shape] = checksum
        guard found[2] == checksum else { throw BenchmarkError("\(place): not the rows that the others left") }
        guard contestant.hasTimeline else { return }
        let events = try database.query("select count(*) from orders_timeline")[0][0]
        guard events == "\(orders * 8)" else { throw BenchmarkError("\(place): \(events) events in the timeline") }
    }
}
