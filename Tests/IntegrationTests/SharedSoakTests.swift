import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// Eight lanes in two processes on a thousand hot keys: no deadlock, and no version is lost.
@Suite(.freshDatabase)
struct SharedSoakTests {
    private static var seconds: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_SOAK_SECONDS"].flatMap { Int($0) } ?? 60
    }

    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: text, status: text, version: bigint }
            lifecycle: { initial: created, transitions: { created: [shipped], shipped: [created] } }
            milestones: { shipped: { state: shipped } }
          - name: late
            from: [shop.orders]
            key: [status, id]
            sequence: version
            timeline: false
            columns: { id: text, status: text, version: bigint }
        """

    @Test
    func twoProcessesOnHotKeysNeverDeadlock() async throws {
        let generator = SeededGenerator.forTest("soak")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let end = ContinuousClock.now + .seconds(Self.seconds)
        try await withFolder { folder in
            let greatest = try await withThrowingTaskGroup(of: [Int: Int].self) { group in
                for process in 0..<2 {
                    var own = generator.fork(process)
                    group.addTask {
                        var greatest: [Int: Int] = [:]
                        var round = 0
                        repeat {
                            round += 1
                            let file = folder.appendingPathComponent("\(process)-\(round).ndjson")
                            try Data(Self.lines(&own, process, &greatest).utf8).write(to: file)
                            try await Self.replay(file, database)
                            try FileManager.default.removeItem(at: file)
                        } while ContinuousClock.now < end
                        return greatest
                    }
                }
                return try await group.reduce(into: [Int: Int]()) { all, own in all.merge(own, uniquingKeysWith: max) }
            }
            let wrong = greatest.map { [Self.name($0.key), "\($0.value)"] }
            let rows = Set(try await connection.rows("select id, version::text from orders"))
            #expect(wrong.allSatisfy(rows.contains), "seed \(generator.seed)")
        }
        let counted = try await connection.rows(
            "select sum(applied + late + duplicate) from tidemark_internal.counters where projection <> ''"
        )
        print("\(counted[0][0]) events of two projections in \(Self.seconds) s")
        await connection.close()
        let watcher = try await database.connect()
        let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
        #expect(try await watcher.value(deadlocks) == "0", "seed \(generator.seed)")
        await watcher.close()
    }

    /// Texts whose order by bytes is not that of a collation.
    private static func name(_ key: Int) -> String { (key % 2 == 0 ? "a" : "B") + "\(key)" }

    private static func lines(
        _ generator: inout SeededGenerator,
        _ process: Int,
        _ greatest: inout [Int: Int]
    ) -> String {
        var text = ""
        for _ in 0..<20_000 {
            let key = Int.random(in: 0..<1000, using: &generator)
            let version = Int.random(in: 0..<1_000_000_000, using: &generator) * 2 + process
            greatest[key] = max(greatest[key] ?? 0, version)
            let status = version % 3 == 0 ? "shipped" : "created"
            text +=
                #"{"database":"shop","table":"orders","type":"update","ts":1,"data":{"id":"\#(Self.name(key))","#
                + #""status":"\#(status)","version":\#(version)}}"# + "\n"
        }
        return text
    }

    private static func replay(_ file: URL, _ database: TestDatabase) async throws {
        let own = try await database.connect()
        let outcome = try await IntegrationTests.replay(Self.configuration, [file], on: own, database) { request in
            request.configuration.lanes = 4
            request.configuration.limits.batchEvents = 300
        }
        #expect(outcome.ending == .finished)
        await own.close()
    }
}
