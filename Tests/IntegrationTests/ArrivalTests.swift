import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// Whole logs in every order of arrival: always the same relations, and the totals that the log's maker counted.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(15)))
struct ArrivalTests {
    private struct Totals {
        var entities: Int
        var shipped: Int
        var historyRows: Int
    }

    private func prove(
        _ configuration: String,
        key: String,
        _ totals: Totals,
        _ arrivals: [(name: String, log: URL)]
    ) async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        var first: ReadModelDigest?
        for (number, arrival) in arrivals.enumerated() {
            let outcome = try await replay(configuration, [arrival.log], on: connection, database) { request in
                request.configuration.lanes = [1, 4, 2, 3][number % 4]
                request.configuration.limits.batchEvents = [10_000, 2000][number % 2]
            }
            let summary = outcome.summary
            #expect(summary.entities == Int64(totals.entities), "\(arrival.name)")
            #expect(summary.milestones == ["shipped": Int64(totals.shipped)], "\(arrival.name)")
            #expect(summary.deadLetters == 0 && summary.conflicts == 0, "\(arrival.name)")
            #expect(summary.applied + summary.late == Int64(totals.historyRows), "\(arrival.name)")
            let digest = try await ReadModelDigest(table: "orders", key: key, on: connection)
            #expect(digest.relations["orders"]?.hasPrefix("\(totals.entities) rows") == true, "\(arrival.name)")
            #expect(digest.relations["history"]?.hasPrefix("\(totals.historyRows) rows") == true, "\(arrival.name)")
            #expect(digest.relations["milestones"]?.hasPrefix("\(totals.shipped) rows") == true, "\(arrival.name)")
            #expect(digest == first ?? digest, "\(arrival.name)")
            first = first ?? digest
            _ = try await ProjectionRegistry.drop("orders", on: connection)
        }
        await connection.close()
    }

    @Test
    func aGeneratedLogOfTenThousandOrdersComesToTheSameInEveryArrival() async throws {
        let generator = SeededGenerator.forTest("arrivals")
        try await withFolder { folder in
            var expected: GeneratedLog.Totals?
            var arrivals: [(String, URL)] = []
            let orders: [GeneratedLog.Arrival] = [.inOrder, .reversed, .windowShuffled(1000), .shuffled]
            for (number, arrival) in orders.enumerated() {
                let file = folder.appendingPathComponent("\(number).ndjson")
                let log = GeneratedLog(
                    seed: generator.seed,
                    arrival: arrival,
                    repeatedPercent: arrival == .inOrder ? 0 : 20
                )
                var totals = try log.write(to: file.path)
                if arrival != .inOrder { #expect(totals.lines > totals.events) }
                (totals.lines, totals.bytes) = (0, 0)
                #expect(totals == expected ?? totals, "the same shop, whatever the arrival")
                expected = totals
                arrivals.append(("\(arrival)", file))
            }
            let totals = try #require(expected)
            #expect(totals.entities == 10_000 && totals.events > 35_000)
            try await self.prove(
                Shop.projection,
                key: "id",
                Totals(entities: totals.entities, shipped: totals.shipped, historyRows: totals.historyRows),
                arrivals
            )
        }
    }

    @Test(.enabled(if: sharedFile("data/olist.maxwell.ndjson.gz") != nil, "the Olist log is not beside the project"))
    func theOlistLogComesToTheSameInEveryArrival() async throws {
        var generator = SeededGenerator.forTest("arrivals (Olist)")
        let log = try #require(sharedFile("data/olist.maxwell.ndjson.gz"))
        try await withFolder { folder in
            var lines: [[UInt8]] = []
            let reader = try LineSource(log)
            while let line = try reader.next() { lines.append(line) }
            #expect(lines.count == 39_719)
            var repeated = lines
            for line in lines where generator.chance(30) { repeated.append(line) }
            var arrivals = [("in order", log)]
            for (name, arrival) in [
                ("reversed", lines.reversed()), ("shuffled", lines.shuffled(using: &generator)),
                ("shuffled and repeated", repeated.shuffled(using: &generator)),
            ] {
                let file = folder.appendingPathComponent(name + ".ndjson")
                try Data(arrival.joined(separator: [UInt8(ascii: "\n")])).write(to: file)
                arrivals.append((name, file))
            }
            try await self.prove(
                Shop.olist,
                key: "order_id",
                Totals(entities: 9999, shipped: 9835, historyRows: 39_719),
                arrivals
            )
        }
    }
}
