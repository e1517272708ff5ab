import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// A lane knows which rows do not exist, as long as no other process writes.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct SeenFilterTests {
    @Test("What was noted is known, and hardly anything else")
    func knowsWhatWasNoted() throws {
        let filter = try SeenFilter(byteCount: 1 << 20)
        func entity(_ number: Int) -> KeyHash {
            withUnsafeBytes(of: number) { SipHash128.process.hash(Array($0).span) }
        }
        func sequence(_ number: Int) -> ArraySlice<UInt8> { Array("03\(number)".utf8)[...] }
        var wrong = 0
        for number in 0..<200_000 {
            if filter.note(sequence(number % 9), of: entity(number / 9)) { wrong += 1 }
        }
        #expect(wrong < 200)
        let known = (0..<200_000).filter { filter.note(sequence($0 % 9), of: entity($0 / 9)) }
        #expect(known.count == 200_000)
    }

    @Test("What another writer has stored meanwhile is found: a duplicate, a conflict, an entity that is further")
    func asksOnceSomebodyElseHasWritten() async throws {
        let definition = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("version", type: nil)]
        )
        let bench = try await StoreBench([definition])
        func isEmpty() async throws -> EmptyRelations {
            try await PassStore.emptyRelations(of: bench.plans, on: bench.connection)
        }
        let empty = try await isEmpty()
        #expect(empty.timelines == ["orders"])
        #expect(empty.rows == ["orders"])
        func commit(_ lane: LaneStore, _ events: [(version: Int, note: String)], of id: Int = 1) async throws {
            let changes = events.map { version, note in
                Change([("id", "\(id)", .number), ("version", "\(version)", .number), ("note", note, .string)])
            }
            try await lane.commit(try bench.batch(Block(bench.streams[0], from: 0, changes)))
        }

        let first = try bench.lane(empty: empty, closing: { _ in [] })
        let other = try bench.lane(closing: { _ in [] })
        try await commit(first, [(1, "a"), (4, "d")])
        #expect(try await isEmpty() == EmptyRelations())
        try await commit(other, [(2, "b"), (3, "c")])
        // The first lane has seen neither 2 nor 3, and is wrong about both.
        try await commit(first, [(2, "b"), (3, "another"), (5, "e")])

        let counts = try await bench.connection.rows(
            "select sum(applied), sum(late), sum(duplicate), sum(conflicts) from tidemark.counters"
        )
        #expect(counts == [["3", "3", "1", "1"]])
        let timeline = try await bench.connection.rows(
            "select sequence, image ->> 'note' from orders_timeline order by 1, 2"
        )
        #expect(timeline == [["1", "a"], ["2", "b"], ["3", "another"], ["3", "c"], ["4", "d"], ["5", "e"]])

        // Nor has a lane that takes the table for empty seen an entity that is there, and further.
        let third = try bench.lane(empty: empty, closing: { _ in [] })
        try await commit(other, [(7, "g")], of: 2)
        try await commit(third, [(6, "f")], of: 2)
        let rows = try await bench.connection.rows("select id, _sequence from orders order by id")
        #expect(rows == [["1", "5"], ["2", "7"]])
        for lane in [first, other, third] { await lane.close() }
        await bench.connection.close()
    }
}
