import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Dead letters looked at, found again and dropped.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct DeadLetterListTests {
    @Test
    func listAndDropTakeFiltersAndDropAsksForAYes() async throws {
        let lines = [
            DeadLetterTests.order(1, 1, "paid", total: "77777.5"), DeadLetterTests.order(2, 1, "paid", total: #""x""#),
            "{",
            #"{"table":"shop.orders","op":"insert","after":{"id":1}}"#,
        ]
        try await withWorkplace(DeadLetterTests.configuration()) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: lines))
            try await connection.execute(
                "update tidemark_internal.dead_letters set first_seen = '2026-01-01', last_seen = '2026-01-02' where id = 1"
            )
            func listed(_ arguments: String...) async throws -> [Int] {
                let result = try await place.run(["deadletters", "list", "--json"] + arguments)
                try #require(result.status == 0, "\(result.error)")
                let array = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]]
                return try #require(array).compactMap { $0["id"] as? Int }
            }
            #expect(try await listed() == [4, 3, 2, 1])
            #expect(try await listed("--reason", "value_invalid") == [2, 1])
            #expect(try await listed("--projection", "orders") == [4, 2, 1])
            #expect(try await listed("--source", "logs", "--limit", "1") == [4])
            #expect(try await listed("--until", "2026-01-01T12:00:00Z") == [1])
            #expect(try await listed("--since", "1h") == [4, 3, 2])
            #expect(try await listed("--since", "2026-01-03", "--reason", "value_invalid") == [2])

            let unsure = try await place.run("deadletters", "drop", "--reason", "value_invalid")
            #expect(unsure.status == 1 && unsure.error.contains("drops 2 dead letters"), "\(unsure.error)")
            #expect(try await listed().count == 4)
            try await place.succeed("deadletters", "drop", "--reason", "value_invalid", "--yes")
            #expect(try await listed() == [4, 3])
            try await place.succeed("deadletters", "drop", "3")
            let missing = try await place.run("deadletters", "drop", "3")
            #expect(missing.status == 1, "\(missing.error)")
            try await place.succeed("deadletters", "drop", "--all", "--yes")
            #expect(try await listed() == [])
            for command in [["drop"], ["retry"], ["drop", "1", "--all"], ["retry", "1", "--reason", "x"]] {
                #expect(try await place.run(["deadletters"] + command).status == 64, "\(command)")
            }
            #expect(try await place.run("deadletters", "list", "--since", "yesterday").status == 64)
        }
    }

    @Test
    func listShowsTheNewestFirstByNumber() async throws {
        try await withWorkplace(DeadLetterTests.configuration()) { place, _ in
            _ = try await place.replay(try place.write("a.ndjson", lines: (1...12).map { "{ broken \($0)" }))
            func listed(_ arguments: String...) async throws -> [Substring] {
                try await place.run(["deadletters", "list"] + arguments).output.split(separator: "\n")
                    .filter { $0.hasPrefix("#") }.map { $0.prefix { $0 != " " } }
            }
            #expect(try await listed("--limit", "3") == ["#12", "#11", "#10"])
            #expect(try await listed() == (1...12).reversed().map { "#\($0)" })
        }
    }

    @Test
    func showMarksTheValueAtFaultInAMessageOfAnyFormat() async throws {
        let wrapped =
            #"{"schema":{"type":"struct","fields":[]},"payload":{"before":null,"after":{"id":4,"status":"paid","version":1,"#
            + #""total":"77777.5"},"source":{"connector":"mysql","db":"shop","table":"orders","ts_ms":1},"op":"c"}}"#
        let canal =
            #"{"id":1,"database":"shop","table":"orders","isDdl":false,"type":"INSERT","es":1000,"ts":1000,"old":null,"data":["#
            + #"{"id":"5","status":"paid","version":"1","total":"1.5"},"#
            + #"{"id":"6","status":"paid","version":"1","total":"88888.5\u001b[31m"}]}"#
        let missing = #"{"table":"shop.orders","op":"insert","after":{"id":7,"status":"paid"}}"#
        let broken = "{\"table\":\"shop.orders\",\u{1B}[31m" + String(repeating: "é", count: 100) + "}"
        try await withWorkplace(DeadLetterTests.configuration()) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: [wrapped, canal, missing, broken]))
            func marked(_ id: Int) async throws -> [String] {
                let result = try await place.succeed("deadletters", "show", "\(id)")
                expectReadable(result.output)
                #expect(result.output.contains("tidemark deadletters retry \(id)"))
                return result.output.split(separator: "\n").filter { $0.hasPrefix(">") }.map(String.init)
            }
            #expect(try await marked(1) == [#">       "total": "77777.5""#])
            #expect(try await marked(2) == [#">       "total": "88888.5\u001b[31m""#])
            #expect(try await marked(3) == [#">   "after": {"#])
            #expect(try await marked(4).count == 1)

            let json = try await place.succeed("deadletters", "show", "2", "--json").json()
            #expect(json["reason"] as? String == "value_invalid" && json["column"] as? String == "total")
            #expect(json["raw"] as? String == canal && json["row"] as? Int == 1 && json["complete"] as? Bool == true)
            #expect(json["line"] as? Int == 2 && json["offset"] as? Int == wrapped.utf8.count + 1)
            #expect(try await place.succeed("deadletters", "show", "4", "--raw").output == broken)
            #expect(try await place.run("deadletters", "show", "99").status == 1)
        }
    }
}
