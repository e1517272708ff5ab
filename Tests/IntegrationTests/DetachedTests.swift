import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Projections that come to an unfinished replay, and leave it.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct DetachedTests {
    private static let orders = "- { name: orders, from: [shop.orders], key: id, sequence: version }"
    private static let copies =
        "- { name: copies, from: [shop.orders], key: id, sequence: $position, table: copies, on_truncate: delete }"

    private static func yaml(_ projections: String...) -> String {
        "lanes: 2\nprojections:\n" + projections.map { "  \($0)\n" }.joined()
    }

    private static func line(_ id: Int) -> String {
        #"{"table":"shop.orders","op":"update","position":[\#(id)],"after":{"id":\#(id),"version":\#(id)}}"#
    }

    /// `--strict` stops at the broken line.
    private static let lines =
        (1...20).map { line($0) } + [#"{"table":"shop.orders","op":"truncate","position":[10]}"#, "broken"]
        + (21...40).map { line($0) }

    private func stop(_ place: Workplace, _ log: URL, lanes: Int = 2) async throws {
        let result = try await place.run(["replay", "--strict", "--no-deliver", "--lanes", "\(lanes)", log.path])
        try #require(result.status == 65, "\(result.error)")
    }

    private func resume(_ place: Workplace, _ log: URL, lanes: Int = 2) async throws -> [String: Any] {
        let result = try await place.run(["replay", "--json", "--no-deliver", "--lanes", "\(lanes)", log.path])
        try #require(result.status == 0, "\(result.error)")
        return try result.json()
    }

    private func counted(_ projection: String, _ connection: Connection) async throws -> [String] {
        try await connection.rows(
            "select sum(applied), sum(late), sum(duplicate) from tidemark.counters where projection = '\(projection)'"
        )[0]
    }

    @Test(arguments: [2, 3])
    func aProjectionThatComesToAnUnfinishedReplayCatchesUp(_ lanes: Int) async throws {
        try await withWorkplace(Self.yaml(Self.orders)) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            try place.write("tidemark.yaml", lines: [Self.yaml(Self.orders, Self.copies)])
            let summary = try await self.resume(place, log, lanes: lanes)
            #expect(summary["resumed"] as? Bool == true)
            #expect(summary["messages"] as? Int == 42)
            #expect(try await self.counted("orders", connection) == ["40", "0", "0"])
            // The events below the truncate too, which are deleted by it whenever they come.
            #expect(try await self.counted("copies", connection) == ["40", "0", "0"])
            #expect(try await connection.number("select count(*) from orders") == 40)
            #expect(try await connection.number("select count(*) from copies") == 30)
            let versions = try await connection.rows("select max(id), min(id) from copies")
            #expect(versions == [["40", "11"]])
        }
    }

    @Test func aProjectionThatLeavesGoesOnWhereItWasWhenItComesBack() async throws {
        try await withWorkplace(Self.yaml(Self.orders, Self.copies)) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            try place.write("tidemark.yaml", lines: [Self.yaml(Self.orders)])
            try place.write("log.ndjson", lines: Self.lines + ["broken again"] + (41...60).map { Self.line($0) })
            try await self.stop(place, log)
            #expect(try await connection.number("select count(*) from orders") == 40)
            #expect(try await connection.number("select count(*) from copies") == 10)
            let own = try await connection.rows(
                "select distinct projection from tidemark.progress where projection is not null"
            )
            #expect(own == [["copies"]])
            try place.write("tidemark.yaml", lines: [Self.yaml(Self.orders, Self.copies)])
            let summary = try await self.resume(place, log)
            #expect(summary["resumed"] as? Bool == true)
            #expect(try await self.counted("orders", connection) == ["60", "0", "0"])
            #expect(try await self.counted("copies", connection) == ["60", "0", "0"])
            #expect(try await connection.number("select count(*) from copies") == 50)
        }
    }

    @Test func aDroppedProjectionStartsOverAndTheOthersGoOn() async throws {
        try await withWorkplace(Self.yaml(Self.orders, Self.copies)) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            try #require(try await place.run(["drop", "copies", "--yes"]).status == 0)
            let summary = try await self.resume(place, log)
            #expect(summary["resumed"] as? Bool == true)
            #expect(try await self.counted("orders", connection) == ["40", "0", "0"])
            #expect(try await self.counted("copies", connection) == ["40", "0", "0"])
            #expect(try await connection.number("select count(*) from copies") == 30)
        }
    }
}
