import Foundation
import LibPQ
import Testing
import TidemarkPostgres
import TidemarkService
import TidemarkTesting

/// Corners in which an arrival order could decide, and must not.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct SequenceTests {
    /// Replays the lines in both orders, in one batch and in batches of one.
    private func inEveryArrival(
        _ configuration: String,
        _ lines: [String],
        _ body: (Connection, ReplaySummary) async throws -> [[String]]
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
}
