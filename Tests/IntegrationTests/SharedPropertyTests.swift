import Foundation
import LibPQ
import Logging
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// Several processes write the same projections: parts of one history, disjoint or overlapping, read at the same time, end
/// in what one process makes of them, and no two processes deadlock.
@Suite(.freshDatabase, .timeLimit(.minutes(30)))
struct SharedPropertyTests {
    private static var seeds: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_SHARED_SEEDS"].flatMap { Int($0) } ?? 12
    }

    /// How many histories, of three rows each, the processes share in one seed.
    private static let histories = 25

    @Test
    func partsOfOneHistoryEndAsOneReplayOfIt() async throws {
        let generator = SeededGenerator.forTest("shared histories")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        var sharing = 0
        for seed in 0..<Self.seeds {
            var own = generator.fork(seed)
            let name: Comment = "seed \(generator.seed), part \(seed)"
            var history: [FinerEvent] = []
            for number in 0..<Self.histories {
                var maker = FinerHistoryGenerator(number: number, own.fork(number))
                history += maker.events()
            }
            try await Self.read([history], on: database, &own)
            let alone = (
                digests: try await FinerPropertyTests.digests(connection), counts: try await Self.counts(connection)
            )
            try await FinerPropertyTests.clear(connection)

            // Every other seed has events that several processes read.
            let overlaps = seed.isMultiple(of: 2)
            var parts = [[FinerEvent]](repeating: [], count: own.chance(50) ? 2 : 3)
            for event in history.shuffled(using: &own) {
                let first = Int.random(in: 0..<parts.count, using: &own)
                parts[first].append(event)
                if overlaps, own.chance(30) { parts[(first + 1) % parts.count].append(event) }
            }
            sharing += try await Self.read(parts, operating: own.chance(50), on: database, &own)
            for model in FinerPropertyTests.models {
                try await FinerPropertyTests.compare(model, history, on: connection, name)
            }
            FinerPropertyTests.expect(try await FinerPropertyTests.digests(connection), alone.digests, name)
            let counts = try await Self.counts(connection)
            if !overlaps { #expect(counts == alone.counts, name) }
            #expect(try await connection.value("select count(*) from tidemark_internal.processes") == "0", name)
            try await FinerPropertyTests.clear(connection)
        }
        print("\(Self.seeds) shared histories, \(sharing) times another process was noticed")
        #expect(sharing > 0)
        await connection.close()
        let watcher = try await database.connect()
        // The sessions that ended have reported what they met.
        #expect(
            try await watcher.value("select deadlocks from pg_stat_database where datname = current_database()") == "0"
        )
        await watcher.close()
    }

    /// Events by the verdicts whose sum does not depend on which process was first, and what is counted beside.
    private static func counts(_ connection: Connection) async throws -> [[String]] {
        try await connection.rows(
            """
            select projection, sum(applied + late + duplicate), sum(conflicts),
                sum(messages) - sum(dead_letters), sum(filtered)
            from tidemark_internal.counters as c
            where exists (select from tidemark_internal.leases as l where l.pass_id = c.pass_id)
            group by projection order by projection
            """
        )
    }

    /// Replays parts at the same time, each by a process of its own, with operators that come, prune nothing, forget a key
    /// that is not there, retry letters that stay, and leave, again and again.
    /// - Returns: how many times a process noticed that another writes.
    @discardableResult
    private static func read(
        _ parts: [[FinerEvent]],
        operating: Bool = false,
        on database: TestDatabase,
        _ generator: inout SeededGenerator
    ) async throws -> Int {
        let noticed = Counter()
        try await withFolder { folder in
            var runs: [(files: [URL], lanes: Int, batch: Int)] = []
            for (number, part) in parts.enumerated() {
                var files: [URL] = []
                for source in ["a", "b", "c"] {
                    let file = folder.appendingPathComponent("\(number)-\(source).ndjson")
                    var lines = part.filter { $0.source == source }.map(\.line)
                    if source == "a" { lines.insert("no message, part \(number)", at: lines.count / 2) }
                    try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: file)
                    files.append(file)
                }
                let lanes = Int.random(in: 1...4, using: &generator)
                runs.append((files, lanes, generator.pick([3, 9, 40])))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                let operators = Task {
                    guard operating else { return }
                    while !Task.isCancelled {
                        try await Self.prune(on: database)
                        try await Self.forgetAndRetry(on: database)
                    }
                }
                for run in runs {
                    group.addTask {
                        let connection = try await database.connect()
                        let outcome = try await replay(
                            FinerPropertyTests.configuration,
                            run.files,
                            on: connection,
                            database,
                            logger: Logger(label: "tests") { _ in NoticingLog(noticed) }
                        ) { request in
                            request.configuration.lanes = run.lanes
                            request.configuration.limits.batchEvents = run.batch
                        }
                        #expect(outcome.ending == .finished)
                        #expect(outcome.summary.deadLetters == 1)
                        await connection.close()
                    }
                }
                try await group.waitForAll()
                operators.cancel()
                // What it was doing when it was cancelled may have failed by that.
                do { try await operators.value } catch { try #require(operators.isCancelled, "\(error)") }
            }
        }
        return noticed.value
    }

    /// Comes as another process, and finds nothing to prune.
    private static func prune(on database: TestDatabase) async throws {
        let connection = try await database.connect()
        for model in FinerPropertyTests.models {
            let exists = try await connection.value(
                "select count(*) from tidemark_internal.projections where name = '\(model.name)'"
            )
            guard exists == "1" else { continue }
            _ = try await IntegrationTests.prune(model.name, before: 1, on: connection, database)
        }
        await connection.close()
    }

    private static func forgetAndRetry(on database: TestDatabase) async throws {
        let connection = try await database.connect()
        let configuration = try configuration(FinerPropertyTests.configuration)
        let exists = try await connection.value(
            "select count(*) from tidemark_internal.projections where name = 'typed'"
        )
        if exists == "1" {
            let forgotten = try await KeyForgetter(
                configuration,
                options: ConnectionOptions(database.url),
                logger: .quiet
            ).forget(["-1"], of: "typed", on: connection)
            #expect(forgotten.erased.rows == 0)
        }
        let retry = DeadLetterRetry(
            configuration,
            options: ConnectionOptions(database.url, applicationName: "tidemark deadletters retry"),
            logger: .quiet
        )
        _ = try await retry.run(DeadLetterFilter(), on: connection)
        await connection.close()
    }

    /// Two events of one sequence in two processes are one conflict, in either order.
    @Test
    func aConflictBetweenTwoProcessesIsCountedOnce() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let keys = 300
        try await withFolder { folder in
            var files: [URL] = []
            for status in ["paid", "shipped"] {
                let file = folder.appendingPathComponent("\(status).ndjson")
                let lines = (0..<keys).shuffled().map { id in
                    #"{"database":"shop","table":"orders","type":"update","ts":1,"data":{"id":\#(id),"status":"\#(status)","version":7}}"#
                }
                try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
                files.append(file)
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for file in files {
                    group.addTask {
                        let own = try await database.connect()
                        let yaml = """
                            projections:
                              - name: orders
                                from: [shop.orders]
                                key: id
                                sequence: version
                                columns: { id: bigint, status: text, version: bigint }
                            """
                        let outcome = try await IntegrationTests.replay(yaml, [file], on: own, database) { request in
                            request.configuration.lanes = 2
                            request.configuration.limits.batchEvents = 5
                        }
                        #expect(outcome.ending == .finished)
                        await own.close()
                    }
                }
                try await group.waitForAll()
            }
        }
        let counts = try await connection.rows(
            "select sum(conflicts), sum(applied + late + duplicate) from tidemark_internal.counters"
        )
        #expect(counts == [["\(keys)", "\(2 * keys)"]])
        #expect(
            try await connection.value("select count(*) from tidemark.anomalies where kind = 'conflict'") == "\(keys)"
        )
        await connection.close()
    }
}

/// Counts the lines that report another process.
private struct NoticingLog: LogHandler {
    var logLevel = Logger.Level.info
    var metadata = Logger.Metadata()
    private let noticed: Counter

    init(_ noticed: Counter) { self.noticed = noticed }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        if "\(event.message)".contains("another process writes") { self.noticed.add(1) }
    }
}
