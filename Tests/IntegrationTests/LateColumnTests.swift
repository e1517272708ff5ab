import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Columns that are configured after events have been seen.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct LateColumnTests {
    private static func yaml(_ columns: String, timeline: Bool = true) -> String {
        """
        projections:
          - name: orders
            from: shop.orders
            key: id
            sequence: v
            timeline: \(timeline)
            columns: { id: bigint, v: bigint\(columns) }

        """
    }

    private static func event(_ op: String, _ id: Int, _ version: Int, _ columns: String = "") -> String {
        let image = "{\"id\":\(id),\"v\":\(version)\(columns)}"
        return #"{"table":"shop.orders","op":"\#(op)","\#(op == "delete" ? "before" : "after")":\#(image)}"#
    }

    /// A row that one whole image explains keeps nothing of its deletes, and they count all the same.
    @Test(arguments: [true, false])
    func noneIsTakenFromBelowADelete(_ timeline: Bool) async throws {
        try await withWorkplace(Self.yaml("", timeline: timeline)) { place, connection in
            let first = try place.write(
                "1.ndjson",
                lines: [
                    Self.event("delete", 4, 2), Self.event("insert", 4, 4),
                    Self.event("insert", 5, 1), Self.event("delete", 5, 2), Self.event("insert", 5, 4),
                    Self.event("delete", 6, 2), Self.event("insert", 6, 4),
                ]
            )
            try await place.succeed("replay", "--no-deliver", first.path)
            try place.write("tidemark.yaml", Self.yaml(", x: text", timeline: timeline))
            let late = try place.write(
                "2.ndjson",
                lines: [
                    Self.event("update", 4, 1, #","x":"below the delete""#),
                    Self.event("update", 5, 3, #","x":"above the delete""#),
                ]
            )
            try await place.succeed("replay", "--no-deliver", late.path)
            let rows = "select id, v, x, _incomplete from orders order by id"
            // Without a timeline nothing tells a late event from one that is read again, which does not carry the column.
            let second = timeline ? ["5", "4", "above the delete", "{}"] : ["5", "4", "∅", "{x}"]
            let expected = [["4", "4", "∅", "{x}"], second, ["6", "4", "∅", "{x}"]]
            #expect(try await connection.rows(rows) == expected)
            for log in [first, late] { try await place.succeed("replay", "--no-deliver", log.path) }
            #expect(try await connection.rows(rows) == expected)
            if timeline {
                #expect(try await place.run("verify", "orders").status == 0)
                try await place.succeed("rebuild", "orders", "--no-deliver")
                #expect(
                    try await connection.rows("select id, v, x from orders order by id")
                        == expected.map { Array($0.prefix(3)) }
                )
            }
        }
    }
}
