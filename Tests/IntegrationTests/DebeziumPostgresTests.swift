import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// What a real Debezium wrote for PostgreSQL: snapshot, unchanged TOAST, a key change, delete and re-insert, a column
/// that was added, a truncate, heartbeats and transaction markers.
@Suite(
    .freshDatabase,
    .timeLimit(.minutes(15)),
    .enabled(if: sharedFile("data/debezium-postgres-3.6.ndjson") != nil, "the Debezium log is not beside the project")
)
struct DebeziumPostgresTests {
    private static let configuration = """
        sources:
          - { name: shop, type: files, paths: ["*.ndjson"], format: debezium }
        projections:
          - name: orders_full
            from: [public.orders_full]
            key: id
            sequence: $position
            state: status
            columns:
              id: bigint
              status: text
              amount: { type: "numeric(12,2)", encoding: decimal_base64 }
              version: integer
              note: text
              doc: text
          - name: orders
            from: [public.orders]
            key: id
            sequence: version
            state: status
            columns:
              id: bigint
              status: text
              amount: { type: "numeric(12,2)", encoding: decimal_base64 }
              version: integer
              note: text

        """

    @Test
    func theRealLogEndsAsTheSourceTableDidAndEveryMessageIsAccountedFor() async throws {
        let log = try #require(sharedFile("data/debezium-postgres-3.6.ndjson"))
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let outcome = try await replay(Self.configuration, [log], on: connection, database) { request in
            request.configuration.lanes = 3
            request.configuration.limits.batchEvents = 5
        }
        #expect(outcome.ending == .finished)

        // By kind: 21 rows of each table; of `orders` the two deletes have no version to believe. Control are 23
        // heartbeats, 36 transaction markers, 4 tombstones, a logical message and a truncate.
        let summary = outcome.summary
        #expect(summary.messages == 107)
        #expect(summary.control == 23 + 36 + 4 + 1 + 1)
        #expect(summary.deadLetters == 2)
        #expect(summary.events == 21 + 19)
        #expect(summary.filtered == 0)
        #expect(summary.messages == summary.events + summary.control + summary.deadLetters)
        #expect(try await connection.number("select count(*) from orders_full_timeline") == 21)
        #expect(try await connection.number("select count(*) from orders_timeline") == 19)

        // `orders_full` before its truncate, which is recorded and takes no row away.
        let rows = try await connection.rows(
            "select id, status, amount, version, note, left(doc, 3), length(doc) from orders_full order by id"
        )
        #expect(
            rows == [
                ["1", "delivered", "1.25", "4", "n\"1", "xxx", "5000"],
                ["2", "shipped", "2.50", "4", "n\"2", "zzz", "6000"],
                ["3", "shipped", "3.75", "4", "n\"3", "xxx", "5000"],
                ["5", "created", "-0.01", "1", "∅", "yyy", "5000"],
                ["104", "paid", "5.00", "3", "n\"4", "xxx", "5000"],
                ["9223372036854775807", "created", "0.00", "1", "∅", "∅", "∅"],
            ]
        )
        #expect(
            try await connection.rows("select projection, source_table from tidemark_internal.truncates")
                == [["orders_full", "public.orders_full"]]
        )
        await connection.close()
    }

    @Test
    func deletesWithoutAVersionToBelieveAreDeadLettersThatNameTheWayOut() async throws {
        let log = try #require(sharedFile("data/debezium-postgres-3.6.ndjson"))
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        _ = try await replay(Self.configuration, [log], on: connection, database)
        let letters = try await connection.rows(
            "select projection, reason, position, detail from tidemark.dead_letters order by position"
        )
        #expect(
            letters.map { Array($0.prefix(3)) } == [
                ["orders", "sequence_missing", "\(log.path):42"], ["orders", "sequence_missing", "\(log.path):47"],
            ]
        )
        for letter in letters {
            #expect(letter[3].contains("\"version\""))
            #expect(letter[3].contains("REPLICA IDENTITY FULL") && letter[3].contains("$position"))
        }
        // So the row that changed its key is still there under the old one, and the one that was inserted again stays
        // below what it was: what `$position` is for.
        let rows = try await connection.rows("select id, status, version from orders order by id")
        #expect(
            rows == [
                ["1", "delivered", "4"], ["2", "shipped", "4"], ["3", "shipped", "4"], ["4", "paid", "2"],
                ["5", "cancelled", "2"], ["104", "paid", "3"], ["9223372036854775807", "created", "1"],
            ]
        )
        await connection.close()
    }

    @Test
    func anyArrivalOfTheRealLogEndsInTheSameRows() async throws {
        var generator = SeededGenerator.forTest("Debezium arrivals")
        let log = try #require(sharedFile("data/debezium-postgres-3.6.ndjson"))
        let lines = try Data(contentsOf: log).split(separator: UInt8(ascii: "\n"))
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        var digests: [[ReadModelDigest]] = []
        for round in 0..<6 {
            var arrival = lines
            if round == 1 { arrival.reverse() }
            if round > 1 { arrival = (lines + lines.filter { _ in generator.chance(40) }).shuffled(using: &generator) }
            try await withFolder { folder in
                let file = folder.appendingPathComponent("log.ndjson")
                try Data(arrival.joined(separator: [UInt8(ascii: "\n")])).write(to: file)
                _ = try await replay(Self.configuration, [file], on: connection, database) { request in
                    request.configuration.lanes = 1 + round % 3
                    request.configuration.limits.batchEvents = [1, 7, 10_000][round % 3]
                }
            }
            var found: [ReadModelDigest] = []
            for table in ["orders_full", "orders"] {
                found.append(try await ReadModelDigest(table: table, key: "id", on: connection))
            }
            digests.append(found)
            for projection in ["orders_full", "orders"] {
                _ = try await ProjectionRegistry.drop(projection, on: connection)
            }
        }
        #expect(Set(digests).count == 1)
        await connection.close()
    }

    private static let byPosition = """
        sources:
          - { name: shop, type: files, paths: ["*.ndjson"], format: debezium }
        projections:
          - name: orders
            from: [public.orders]
            key: id
            sequence: $position
            state: status
            columns: { id: bigint, status: text, amount: { type: "numeric(12,2)", encoding: decimal_base64 }, version: integer, note: text, doc: text, channel: text }
          - name: orders_full
            from: [public.orders_full]
            key: id
            sequence: $position
            on_truncate: delete
            state: status
            columns: { id: bigint, status: text, doc: text, channel: text }

        """

    /// Unchanged TOAST, columns that a message lacks, a key change and a truncate, in whatever order they come.
    @Test
    func byPositionEveryArrivalEndsAsTheSourceTablesDid() async throws {
        var generator = SeededGenerator.forTest("Debezium arrivals by position")
        let log = try #require(sharedFile("data/debezium-postgres-3.6.ndjson"))
        let lines = try Data(contentsOf: log).split(separator: UInt8(ascii: "\n"))
        let truncate = try #require(lines.firstIndex { String(decoding: $0, as: UTF8.self).contains("\"op\":\"t\"") })
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        var digests: Set<[ReadModelDigest]> = []
        for round in 0..<22 {
            var arrival = Array(lines)
            if round == 1 { arrival.insert(arrival.remove(at: truncate), at: 0) }
            if round > 1 { arrival.shuffle(using: &generator) }
            let name: Comment = "seed \(generator.seed), round \(round)"
            try await withFolder { folder in
                let file = folder.appendingPathComponent("log.ndjson")
                try Data(arrival.joined(separator: [UInt8(ascii: "\n")])).write(to: file)
                let outcome = try await replay(Self.byPosition, [file], on: connection, database) { request in
                    request.configuration.lanes = 1 + round % 3
                    request.configuration.limits.batchEvents = [1, 7, 10_000][round % 3]
                }
                #expect(outcome.summary.deadLetters == 0, name)
            }
            // `doc` of 104 and `channel` of all but 3 were never sent.
            let rows = try await connection.rows(
                """
                select id, status, amount, version, note, left(doc, 3), length(doc), channel, _incomplete
                from orders order by id
                """
            )
            #expect(
                rows == [
                    ["1", "delivered", "1.25", "4", "n\"1", "xxx", "5000", "∅", "{channel}"],
                    ["2", "shipped", "2.50", "4", "n\"2", "zzz", "6000", "∅", "{channel}"],
                    ["3", "shipped", "3.75", "4", "n\"3", "xxx", "5000", "app", "{}"],
                    ["5", "created", "-0.01", "1", "∅", "yyy", "5000", "∅", "{channel}"],
                    ["104", "paid", "5.00", "3", "n\"4", "∅", "∅", "∅", "{channel,doc}"],
                    ["9223372036854775807", "created", "0.00", "1", "∅", "∅", "∅", "∅", "{channel}"],
                ],
                name
            )
            #expect(try await connection.number("select count(*) from orders_full") == 0, name)
            digests.insert([
                try await ReadModelDigest(table: "orders", key: "id", on: connection),
                try await ReadModelDigest(table: "orders_full", key: "id", on: connection),
            ])
            for projection in ["orders", "orders_full"] {
                _ = try await ProjectionRegistry.drop(projection, on: connection)
            }
        }
        #expect(digests.count == 1)
        await connection.close()
    }
}
