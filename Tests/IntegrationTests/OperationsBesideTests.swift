import Foundation
import LibPQ
import Logging
import Synchronization
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// What an operator does while a process writes the same projection: as if it were done between two of its commits.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct OperationsBesideTests {
    private static let yaml = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint }
        """

    /// Replays a file in small batches, and does something again and again meanwhile.
    private static func replaying(
        _ yaml: String,
        _ file: URL,
        _ database: TestDatabase,
        _ operation: @escaping @Sendable (_ round: Int) async throws -> Void
    ) async throws -> PassOutcome {
        let flags = Flags()
        return try await withThrowingTaskGroup(of: PassOutcome?.self) { group in
            group.addTask {
                let own = try await database.connect()
                defer { flags.isOver.store(true, ordering: .releasing) }
                let outcome = try await replay(yaml, [file], on: own, database) { request in
                    request.configuration.lanes = 2
                    request.configuration.limits.batchEvents = 20
                    request.onCommit = { flags.hasCommitted.store(true, ordering: .releasing) }
                }
                await own.close()
                return outcome
            }
            group.addTask {
                while !flags.hasCommitted.load(ordering: .acquiring), !flags.isOver.load(ordering: .acquiring) {
                    await Task.yield()
                }
                var round = 0
                repeat {
                    try await operation(round)
                    round += 1
                } while !flags.isOver.load(ordering: .acquiring)
                return nil
            }
            var outcome: PassOutcome?
            for try await result in group { outcome = result ?? outcome }
            return try #require(outcome)
        }
    }

    /// A log, and what one replay that nothing disturbs makes of it.
    private static func reference(_ folder: URL, orders: Int) async throws -> (log: URL, digest: ReadModelDigest) {
        let log = folder.appendingPathComponent("orders.ndjson")
        _ = try GeneratedLog(orders: orders, seed: 5, arrival: .windowShuffled(600), repeatedPercent: 3)
            .write(to: log.path)
        let digest = try await TestDatabase.with {
            let database = TestDatabase.current
            let own = try await database.connect()
            _ = try await Migrator.migrate(own)
            _ = try await replay(Shop.projection, [log], on: own, database)
            let digest = try await ReadModelDigest(table: "orders", key: "id", on: own)
            await own.close()
            return digest
        }
        return (log, digest)
    }

    @Test
    func aRebuildReadsWhatIsWrittenMeanwhile() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let shop = try configuration(Shop.projection)
        try await withFolder { folder in
            let (log, digest) = try await Self.reference(folder, orders: 1500)
            let swaps = Counter()
            let outcome = try await Self.replaying(Shop.projection, log, database) { _ in
                let own = try await database.connect()
                let request = RebuildRequest(
                    configuration: shop,
                    projection: shop.projections[0],
                    files: nil,
                    options: ConnectionOptions(database.url, applicationName: "tidemark rebuild")
                )
                let rebuilt = try await RebuildRunner(request, logger: .quiet).run(on: own)
                #expect(rebuilt.swap != nil)
                swaps.add(1)
                await own.close()
            }
            #expect(outcome.ending == .finished)
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == digest)
            let counted = outcome.summary.applied + outcome.summary.late + outcome.summary.duplicate
            #expect(counted == outcome.summary.messages)
            print("\(swaps.value) rebuilds beside a replay")
        }
        await connection.close()
    }

    @Test
    func aCompactionKeepsWhatIsWrittenMeanwhile() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let plan = ProjectionPlan(try configuration(Shop.projection).projections[0])
        try await withFolder { folder in
            let (log, digest) = try await Self.reference(folder, orders: 1500)
            let outcome = try await Self.replaying(Shop.projection, log, database) { _ in
                let own = try await database.connect()
                let settings = ProcessSession.Settings(
                    ConnectionOptions(database.url, applicationName: "tidemark prune"),
                    projections: ["orders"],
                    operations: ["orders"],
                    logger: .quiet
                )
                try await ProcessSession.with(own, settings) { process in
                    try await process.enter(on: own)
                    #expect(try await TimelineCompaction(plan, on: own)?.run(on: own) != nil)
                }
                await own.close()
            }
            #expect(outcome.ending == .finished)
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == digest)
            let counted = outcome.summary.applied + outcome.summary.late + outcome.summary.duplicate
            #expect(counted == outcome.summary.messages)
        }
        await connection.close()
    }

    @Test
    func forgettingKeysLeavesRowsThatTheTimelineExplains() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let shop = try configuration(Shop.projection)
        try await withFolder { folder in
            let (log, _) = try await Self.reference(folder, orders: 1000)
            let ids = try await Self.ids(in: log)
            let outcome = try await Self.replaying(Shop.projection, log, database) { round in
                let own = try await database.connect()
                let forgetter = KeyForgetter(
                    shop,
                    options: ConnectionOptions(database.url),
                    logger: .quiet
                )
                _ = try await forgetter.forget([ids[round % ids.count]], of: "orders", on: own)
                await own.close()
            }
            #expect(outcome.ending == .finished)
            let plan = ProjectionPlan(shop.projections[0])
            let verified = try await Verification.timeline(plan, limit: 500, on: connection)
            // A milestone stays, and the state that reached it is erased.
            let rows = verified.differences.filter { !$0.column.hasPrefix("milestone") }
            #expect(rows.isEmpty, "\(rows)")
            let counted = outcome.summary.applied + outcome.summary.late + outcome.summary.duplicate
            #expect(counted == outcome.summary.messages)
        }
        await connection.close()
    }

    /// All processes need one configuration: what one of them does not know it cannot write.
    @Test
    func aColumnThatAnotherProcessAddsStopsTheOneThatLacksIt() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let wider = try configuration(Self.yaml.replacing("version: bigint }", with: "version: bigint, status: text }"))
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            _ = try GeneratedLog(orders: 1500, seed: 7, arrival: .windowShuffled(600), repeatedPercent: 3)
                .write(to: log.path)
            let error = await #expect(throws: StoreError.self) {
                _ = try await Self.replaying(Self.yaml, log, database) { round in
                    guard round == 0 else { return }
                    let own = try await database.connect()
                    _ = try await ProjectionRegistry.prepare([ProjectionPlan(wider.projections[0])], on: own)
                    await own.close()
                }
            }
            #expect(error?.kind == .configuration)
            #expect(error?.description.contains("projection orders") == true)
            #expect(try await connection.rows("select status from orders limit 1").count == 1)
        }
        await connection.close()
    }

    private static func ids(in log: URL) async throws -> [String] {
        let text = try String(contentsOf: log, encoding: .utf8)
        var ids: [String] = []
        for line in text.split(separator: "\n").prefix(200) {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            if let data = object?["data"] as? [String: Any], let id = data["id"] { ids.append("\(id)") }
        }
        return ids
    }

    /// Late events of deleted keys, beside a prune of their tombstones: a key is pruned with all of its events, or revived
    /// by the one that came behind, and counted.
    @Test
    func aKeyIsPrunedWithItsEventsOrRevived() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        func line(_ id: Int, _ type: String, _ version: Int) -> String {
            #"{"database":"shop","table":"orders","type":"\#(type)","ts":1577836800,"data":{"id":\#(id),"version":\#(version)}}"#
        }
        try await withFolder { folder in
            let (deletes, late) = (folder.appendingPathComponent("a.ndjson"), folder.appendingPathComponent("b.ndjson"))
            let keys = 12_000
            try Data((0..<keys).map { line($0, "delete", 9) + "\n" }.joined().utf8).write(to: deletes)
            try Data((0..<keys).shuffled().map { line($0, "update", 3) + "\n" }.joined().utf8).write(to: late)
            _ = try await replay(Self.yaml, [deletes], on: connection, database)
            let pruned = Counter()
            let outcome = try await Self.replaying(Self.yaml, late, database) { _ in
                let own = try await database.connect()
                // 2021: the deletes are older, and so is what revives them.
                let outcome = try await prune("orders", before: 1_609_459_200_000_000, on: own, database)
                pruned.add(Int(outcome.tombstones))
                await own.close()
            }
            #expect(outcome.ending == .finished)
            let live = try await connection.number("select count(*) from orders")
            let revived = try await connection.number("select revived from tidemark.projections")
            #expect(revived == live)
            #expect(pruned.value == keys)
            // Of a revived key its event is left, and of the others nothing.
            #expect(try await connection.number("select count(*) from orders_timeline where op = 'delete'") == 0)
            let orphans = """
                select count(*) from orders_timeline as event
                where not exists (select from orders where orders.id = event.id)
                """
            #expect(try await connection.number(orphans) == 0)
            print("\(live) of \(keys) keys revived beside a prune")
        }
        await connection.close()
    }
}

private final class Flags: Sendable {
    let isOver = Atomic(false)
    let hasCommitted = Atomic(false)
}
