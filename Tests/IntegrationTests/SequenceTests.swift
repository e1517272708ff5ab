import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// Corners in which an arrival order could decide, and must not.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct SequenceTests {
    /// Replays the lines in both orders, in one batch and in batches of one.
    private func inEveryArrival(
        _ configuration: String,
        _ lines: [String],
        _ body: (Connection, PassSummary) async throws -> [[String]]
    ) async throws -> [[String]] {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        var results: Set<[[String]]> = []
        for arrival in [lines, lines.reversed()] {
            for batch in [1, 1000] {
                try await withFolder { folder in
                    let file = folder.appendingPathComponent("log.ndjson")
                    try Data((arrival.joined(separator: "\n") + "\n").utf8).write(to: file)
                    let outcome = try await replay(configuration, [file], on: connection, database) { request in
                        request.configuration.lanes = 2
                        request.configuration.limits.batchEvents = batch
                    }
                    results.insert(try await body(connection, outcome.summary))
                }
                _ = try await ProjectionRegistry.drop("orders", on: connection)
                try await connection.execute("delete from tidemark_internal.dead_letters")
            }
        }
        await connection.close()
        #expect(results.count == 1, "\(results)")
        return results.first ?? []
    }

    @Test
    func aStateThatIsNotAmongTheColumnsTellsEventsApartAllTheSame() async throws {
        let configuration = """
            projections:
              - name: orders
                from: [shop.orders]
                key: id
                sequence: version
                state: status
                columns: { id: bigint, amount: "numeric(12,2)" }

            """
        let lines = ["created", "paid", "lost"].map { status in
            #"{"table":"shop.orders","op":"update","after":{"id":1,"version":1,"amount":5,"status":"\#(status)"}}"#
        }
        let rows = try await self.inEveryArrival(configuration, lines) { connection, summary in
            #expect(summary.duplicate == 0)
            return try await connection.rows("select sequence, state, op from orders_timeline order by id, order_key")
        }
        #expect(Set(rows.map { $0[1] }) == ["created", "paid", "lost"])
    }

    @Test
    func tagsNeverDropTheDeleteThatAKeyChangeIs() async throws {
        let configuration = """
            projections:
              - name: orders
                from: [shop.orders]
                key: id
                sequence: version
                tags: { accept: "keep" }

            """
        let lines = [
            #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1},"tag":"keep"}"#,
            #"{"table":"shop.orders","op":"update","before":{"id":1},"after":{"id":2,"version":2},"tag":"other"}"#,
        ]
        let rows = try await self.inEveryArrival(configuration, lines) { connection, summary in
            #expect(summary.filtered == 1)
            #expect(summary.applied + summary.late == 2)
            return try await connection.rows("select id from orders")
        }
        #expect(rows.isEmpty, "row 1 has another key now")
    }

    // MARK: Kinds of position

    private static func byPosition(_ part: String = "$position") -> String {
        """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: \(part)
            state: status
            columns: { id: bigint, status: text }

        """
    }

    private static func lsn(_ id: Int, _ status: String, at lsn: Int) -> String {
        #"{"op":"u","before":null,"after":{"id":\#(id),"status":"\#(status)"},"source":{"connector":"postgresql","#
            + #""snapshot":"false","db":"shop","schema":"shop","table":"orders","lsn":\#(lsn)},"ts_ms":1772357415000}"#
    }

    private static func numbers(_ id: Int, _ status: String, at number: Int) -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"status":"\#(status)"},"position":[\#(number)]}"#
    }

    private static let mixed = [
        Self.lsn(1, "created", at: 100), Self.numbers(1, "lost", at: 7), Self.lsn(2, "created", at: 101),
        Self.lsn(1, "paid", at: 102), Self.numbers(2, "lost", at: 1 << 50),
    ]

    /// Rows, and which messages are dead letters.
    private static func outcome(on connection: Connection) async throws -> [[String]] {
        try await connection.rows("select id, status from orders order by id")
            + connection.rows(
                "select reason, convert_from(raw, 'UTF8') ~ '\"lsn\"' from tidemark.dead_letters order by 1, 2"
            )
    }

    @Test
    func whichKindOfPositionIsRefusedDoesNotDependOnWhichCameFirst() async throws {
        let found = try await self.inEveryArrival(Self.byPosition(), Self.mixed) { connection, summary in
            #expect(summary.deadLetters == 2)
            return try await Self.outcome(on: connection)
        }
        #expect(found == [["1", "paid"], ["2", "created"], ["sequence_missing", "f"], ["sequence_missing", "f"]])
    }

    @Test
    func aDeclaredKindOfPositionRefusesEveryOther() async throws {
        let configuration = Self.byPosition("{ column: $position, type: numbers }")
        let found = try await self.inEveryArrival(configuration, Self.mixed) { connection, _ in
            try await Self.outcome(on: connection)
        }
        #expect(found == [["1", "lost"], ["2", "lost"]] + Array(repeating: ["sequence_missing", "t"], count: 3))
    }

    @Test
    func theKindOfPositionIsThatOfAllFilesAndStaysWithTheProjection() async throws {
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        try await withFolder { folder in
            func file(_ name: String, _ lines: [String]) throws -> URL {
                let file = folder.appendingPathComponent(name)
                try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
                return file
            }
            let few = try file("a.ndjson", [Self.numbers(1, "lost", at: 7)])
            let many = try file("b.ndjson", Self.mixed.filter { $0.contains("lsn") })
            for files in [[few, many], [many, few]] {
                let outcome = try await replay(Self.byPosition(), files, on: connection, database)
                #expect(outcome.summary.deadLetters == 1 && outcome.summary.applied == 3)
                _ = try await ProjectionRegistry.drop("orders", on: connection)
            }
            _ = try await replay(Self.byPosition(), [few], on: connection, database)
            let other = try await replay(Self.byPosition(), [many], on: connection, database)
            #expect(other.summary.deadLetters == 3)
            // Declared as what it is, it goes on; as anything else it would mix two meanings.
            let same = Self.byPosition("{ column: $position, type: numbers }")
            #expect(try await replay(same, [few], on: connection, database).summary.duplicate == 1)
            await #expect {
                let changed = Self.byPosition("{ column: $position, type: lsn }")
                _ = try await replay(changed, [many], on: connection, database)
            } throws: { error in
                "\(error)".contains("sequence") && "\(error)".contains("tidemark rebuild orders")
            }
        }
        await connection.close()
    }
}
