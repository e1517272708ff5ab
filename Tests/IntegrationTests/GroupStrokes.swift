import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// A broker whose partitions, or queues, a group of processes shares.
protocol StrokeBroker {
    /// How it is called in the names of environment variables: `TIDEMARK_TEST_NAME_ROUNDS` and `…_ORDERS`.
    static var name: String { get }
    /// How long a process is stopped, until others read what it had.
    static var pause: Duration { get }
    /// The source's keys in the configuration, one a line; its group is `tidemark`.
    var source: [String] { get }
    func prepare(partitions: Int) async throws
    func send(_ messages: [(partition: Int, line: String)]) async throws
    /// The group's offsets, by partition.
    func committed(partitions: Int) async throws -> [Int64]
    func stream(of partition: Int) -> String
}

/// One, two and four members read sixteen partitions; they are killed, stopped, ended and started again meanwhile.
struct GroupStrokes<Broker: StrokeBroker> {
    let broker: Broker

    private static var partitions: Int { 16 }

    private static func number(_ variable: String, else standard: Int) -> Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_\(Broker.name.uppercased())_\(variable)"].flatMap { Int($0) }
            ?? standard
    }

    private var yaml: String {
        Shop.projection + """

            server: { listen: none }
            service: { lease_ttl: 2s }
            lanes: 2
            sources:
              - name: logs
                type: \(Broker.name)
                group: tidemark
                \(self.broker.source.joined(separator: "\n    "))

            """
    }

    /// The partition of an event: that of its entity.
    private static func partition(of line: String) -> Int {
        let id = line.firstMatch(of: /"id":\s*"?([0-9]+)/).flatMap { Int($0.1) } ?? 0
        return id % Self.partitions
    }

    func changeNothing() async throws {
        var generator = SeededGenerator.forTest("\(Broker.name) strokes")
        let rounds = Self.number("ROUNDS", else: 2)
        let orders = Self.number("ORDERS", else: 400)
        try await withFolder { folder in
            try await self.broker.prepare(partitions: Self.partitions)
            try Data(self.yaml.utf8).write(to: folder.appendingPathComponent("tidemark.yaml"))
            let lines = try orderLines(orders * rounds, seed: generator.next(), in: folder)
            let connection = try await TestDatabase.current.connect()
            _ = try await Migrator.migrate(connection)
            let name: Comment = "seed \(generator.seed)"
            var group = StrokeMembers(folder, pause: Broker.pause)
            var ahead: [String] = []
            var done = 0
            for round in 0..<rounds {
                try await group.resize(to: [1, 2, 4].randomElement(using: &generator) ?? 2)
                let end = (round + 1) * lines.count / rounds
                while done < end {
                    let chunk = lines[done..<min(end, done + max(50, (end - done) / 5))]
                    try await self.broker.send(chunk.map { (Self.partition(of: $0), $0) })
                    done += chunk.count
                    try await group.strike(&generator)
                    ahead += try await self.offsetsAheadOfRows(connection)
                }
                // A broker of tests keeps some megabytes of a partition: what is not read by then is gone.
                try await wait("\(done) messages, \(name.rawValue)", atMost: .seconds(300)) {
                    try await counted(on: connection) >= done
                }
            }
            ahead += try await self.offsetsAheadOfRows(connection)
            try await group.resize(to: 0)
            #expect(ahead.isEmpty, "\(name.rawValue): \(ahead)")
            #expect(try await counted(on: connection) == lines.count, name)
            #expect(try await counted("applied + late + duplicate", on: connection) == lines.count, name)
            let logs = try FollowedLogs(folder.appendingPathComponent("replay"), makesFolder: true)
            try logs.append(lines, to: "whole")
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed(), name)
            let repeated = """
                select count(*) from (
                    select projection, key, milestone, notifier from tidemark.deliveries
                    group by 1, 2, 3, 4 having count(*) > 1
                ) as repeated
                """
            #expect(try await connection.number(repeated) == 0, name)
            await connection.close()
        }
    }

    /// Partitions whose offset in the group is ahead of what is committed.
    private func offsetsAheadOfRows(_ connection: Connection) async throws -> [String] {
        // Asked first: rows that are committed meanwhile are no fault.
        let committed = try await self.broker.committed(partitions: Self.partitions)
        let rows = try await connection.rows(
            """
            select stream.name, greatest(
                    tidemark_internal.offset_major(lease."offset"),
                    (
                        select max(tidemark_internal.offset_major(progress."offset"))
                        from tidemark_internal.progress as progress where progress.stream_id = stream.id
                    )
                )::text
            from tidemark_internal.leases as lease
            join tidemark_internal.streams as stream on stream.id = lease.stream_id
            """
        )
        let reached = Dictionary(rows.map { ($0[0], Int64($0[1]) ?? 0) }) { max($0, $1) }
        return committed.enumerated().compactMap { partition, offset in
            let name = self.broker.stream(of: partition)
            guard offset > 0, offset > reached[name] ?? 0 else { return nil }
            return "\(name): \(offset) \(reached[name] ?? 0)"
        }
    }
}

/// The processes of one group.
private struct StrokeMembers {
    private enum Stroke: CaseIterable {
        case none, killed, paused, ended
    }

    private let folder: URL
    private let pause: Duration
    private var processes: [TidemarkProcess] = []

    init(_ folder: URL, pause: Duration) { (self.folder, self.pause) = (folder, pause) }

    private func run() throws -> TidemarkProcess {
        try TidemarkProcess(
            ["run", "--no-deliver"],
            environment: ["DATABASE_URL": TestDatabase.current.url],
            directory: self.folder
        )
    }

    mutating func resize(to count: Int) async throws {
        while self.processes.count > count { try await Self.stop(self.processes.removeLast()) }
        while self.processes.count < count { self.processes.append(try self.run()) }
    }

    /// Before it has begun SIGTERM ends it as it ends any program.
    private static func stop(_ process: TidemarkProcess) async throws {
        try await wait("a process that has just been started") { try process.errorSoFar().contains("running") }
        try await process.stop()
    }

    mutating func strike(_ generator: inout SeededGenerator) async throws {
        let stroke = Stroke.allCases.randomElement(using: &generator) ?? .none
        let victim = Int.random(in: 0..<self.processes.count, using: &generator)
        switch stroke {
        case .none: break
        case .killed:
            self.processes[victim].kill()
            _ = try await self.processes[victim].result()
            self.processes[victim] = try self.run()
        case .ended:
            try await Self.stop(self.processes[victim])
            self.processes[victim] = try self.run()
        case .paused:
            self.processes[victim].send(SIGSTOP)
            // Sessions and leases run out by the clocks of broker and database; there is nothing else to wait for.
            try await Task.sleep(for: self.pause)
            self.processes[victim].send(SIGCONT)
        }
    }
}
