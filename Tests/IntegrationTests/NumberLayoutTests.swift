import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// How numbers in order keys are laid out: a projection keeps the layout that it was created with.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct NumberLayoutTests {
    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, version: bigint, status: text }
            milestones: { shipped: { state: shipped } }
        """

    /// Versions of both signs and of one to three digits, in an order of arrival that is none of theirs.
    private static func lines(_ versions: [Int]) -> [String] {
        (1...20).flatMap { id in
            versions.map { version in
                let status = version > 9 ? "shipped" : "paid"
                return
                    #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"status":"\#(status)"}}"#
            }
        }
    }

    private static let orderKeys =
        "select string_agg(id || ' ' || encode(order_key, 'hex'), ',' order by id, order_key) from orders_timeline"
    private static let milestones =
        "select string_agg(id || ' ' || sequence || ' ' || encode(order_key, 'hex'), ',' order by id) from "
        + "tidemark_internal.orders_milestones"

    private func expectOrder(_ connection: Connection) async throws {
        let wrong = try await connection.number(
            """
            select count(*) from (
                select array_agg(sequence::bigint order by order_key) as keys,
                    array_agg(sequence::bigint order by sequence::bigint) as numbers
                from orders_timeline group by id
            ) as entity
            where keys <> numbers
            """
        )
        #expect(wrong == 0)
        let late = "select count(*) from orders where version <> 110 or status <> 'shipped'"
        #expect(try await connection.number(late) == 0)
    }

    @Test func aSmallNumberTakesTwoBytesOfAnOrderKey() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            try await place.succeed("replay", try place.write("log.ndjson", lines: Self.lines([110, 5, -3])).path)
            let short =
                "select count(*) from orders_timeline where octet_length(order_key) = 2 + 19"
            #expect(try await connection.number(short) == 60)
            try await self.expectOrder(connection)
        }
    }

    @Test func aProjectionOfTheFormerLayoutGoesOnWithIt() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            try await place.succeed("migrate")
            try await connection.execute("update tidemark_internal.projections set definition = definition - 'numbers'")
            let first = try place.write("first.ndjson", lines: Self.lines([10, 9, 99, -1, 0]))
            try await place.succeed("replay", first.path)
            try await place.succeed("verify", "orders", "--against", first.path)
            try await place.succeed("forget", "orders", "7")
            let second = try place.write("second.ndjson", lines: Self.lines([110, 100, 8, -12, 11]))
            try await place.succeed("replay", second.path)
            try await place.succeed("migrate")
            let wide = "select count(*) from orders_timeline where get_byte(order_key, 0) not in (1, 2, 3)"
            #expect(try await connection.number(wide) == 0)
            try await self.expectOrder(connection)
            let before = try await connection.query(Self.orderKeys).text(0, 0)
            let reached = try await connection.query(Self.milestones).text(0, 0)
            try await place.succeed("verify", "orders")
            try await place.succeed("rebuild", "orders")
            try await place.succeed("verify", "orders")
            #expect(try await connection.query(Self.orderKeys).text(0, 0) == before)
            #expect(try await connection.query(Self.milestones).text(0, 0) == reached)
            let again = try await place.replay(second)
            #expect(again["duplicate"] as? Int == 100, "\(again)")
            // Milestones that only the live version has reached keep their order keys.
            try await place.succeed("rebuild", "orders", first.path, second.path)
            #expect(try await connection.number(wide) == 0)
            #expect(try await connection.query(Self.milestones).text(0, 0) == reached)
            try await self.expectOrder(connection)
        }
    }
}
