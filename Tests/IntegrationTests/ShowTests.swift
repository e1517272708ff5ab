import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// `tidemark show`: why an order is in its state.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct ShowTests {
    private static func order(_ version: Int, _ columns: String, op: String = "update", ts: String = "") -> String {
        let image = op == "delete" ? "before" : "after"
        return #"{"table":"shop.orders","op":"\#(op)","\#(image)":{"id":18446744073709551615,"version":\#(version)"#
            + (columns.isEmpty ? "" : ",") + columns
            + #"},"ts":"2026-03-01T09:0\#(version):00Z","position":[7,\#(version)]}"#
    }

    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: "numeric(20,0)", status: text, version: integer, amount: "numeric(30,10)", note: text }
            lifecycle:
              initial: created
              transitions: { created: [paid], paid: [shipped] }
            milestones:
              paid: { state: paid, notify: [warehouse] }
              shipped: { state: shipped, notify: [warehouse] }
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/", secret: "whsec_dGlkZW1hcmsgdGVzdA==" }

        """

    private static let lines = [
        order(
            2,
            #""status":"paid","amount":12345678901234567890.5,"note":"\u001b[2Jline\n\#(String(repeating: "long ", count: 40))""#
        ),
        order(4, #""status":"shipped""#), order(1, #""status":"created","amount":1,"note":null"#, op: "insert"),
        order(3, #""status":"paid","amount":2,"note":"x""#),
    ]

    /// Each in a commit of its own, so that the order of arrival is what it is.
    private func replayOneByOne(_ lines: [String], _ place: Workplace) async throws {
        for (number, line) in lines.enumerated() {
            _ = try await place.replay(try place.write("\(number).ndjson", lines: [line]))
        }
    }

    @Test
    func everyEventSaysWhenItCameWhatCountedAndWhatItChanged() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            try await self.replayOneByOne(Self.lines, place)
            let entity = try await place.succeed("show", "orders", "18446744073709551615", "--json").json()
            #expect(entity["deleted"] as? Bool == false && entity["state"] as? String == "shipped")
            let events = try #require(entity["events"] as? [[String: Any]])
            #expect(events.map { $0["sequence"] as? String } == ["1", "2", "3", "4"])
            #expect(events.map { $0["arrival"] as? Int } == [3, 1, 4, 2])
            #expect(events.map { $0["verdict"] as? String } == ["late", "applied", "late", "applied"])
            #expect(events.map { $0["position"] as? String } == ["7:1", "7:2", "7:3", "7:4"])
            func changed(_ place: Int) throws -> [String] {
                try #require(events[place]["changes"] as? [[String: Any]]).compactMap { $0["column"] as? String }
            }
            #expect(try changed(0).contains("status"))
            #expect(try changed(1) == ["amount", "note", "status", "version"])
            #expect(try changed(2) == ["amount", "note", "version"])
            #expect(try changed(3) == ["status", "version"])
            #expect(events[3]["missing"] as? [String] == ["amount", "note"])
            let milestones = try #require(entity["milestones"] as? [[String: Any]])
            #expect(milestones.map { $0["milestone"] as? String } == ["paid", "shipped"])
            let deliveries = try #require(milestones[0]["deliveries"] as? [[String: Any]])
            #expect(deliveries.map { $0["status"] as? String } == ["due"])
        }
    }

    @Test
    func itIsReadableInEightyColumnsAndNoDigitIsLost() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            try await self.replayOneByOne(Self.lines, place)
            try await connection.execute(
                "update tidemark_internal.deliveries set status = 'dead', last_error = 'no: ' || repeat('x', 100) || chr(27)"
            )
            let text = try await place.succeed("show", "orders", "18446744073709551615").output
            expectReadable(text)
            for line in [
                "orders [18446744073709551615]: live, state shipped, sequence 4", "  amount = 2.0000000000",
                "  sequence 1: insert, created, 2026-03-01 09:01:00", "    late, arrived 3rd, from files 7:1",
                "> sequence 4: update, shipped, 2026-03-01 09:04:00",
                "    carries some columns; the others are as they were",
                "      status: paid → shipped", "      amount: 1.0000000000 → 12345678901234567890.5000000000",
                "    warehouse: dead, 0 attempts",
            ] { #expect(text.split(separator: "\n").contains { $0 == line }, "\(line)\n\(text)") }
            let arrivals = try #require(text.components(separatedBy: "in the order of arrival\n").last)
            let order = arrivals.split(separator: "\n").prefix(4).map { $0.split(separator: " ").last.map(String.init) }
            #expect(order == ["2", "4", "1", "3"])
            let json = try await place.succeed("show", "orders", "18446744073709551615", "--json").output
            #expect(json.contains("12345678901234567890.5") && json.contains("[18446744073709551615]"))
        }
    }

    /// The events of one commit have one time. Those that were applied came in the order that counts; a late one may have
    /// come before or behind any of them.
    @Test
    func whatCameInOneCommitIsNumberedAsFarAsThatIsKnown() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let version = (0...5).map { Self.order($0, #""status":"paid""#) }
            try await self.replayOneByOne([version[2]], place)
            func replay(_ a: [String], _ b: [String]) async throws {
                let files = [try place.write("a.ndjson", lines: a).path, try place.write("b.ndjson", lines: b).path]
                let result = try await place.run(["replay", "--no-deliver", "--lanes", "1"] + files)
                try #require(result.status == 0, "\(result.error)")
            }
            // The late one comes first, and is written behind the other.
            try await replay([version[1]], [version[3]])
            try await replay([version[4]], [version[5]])
            let text = try await place.succeed("show", "orders", "18446744073709551615").output
            for arrival in [
                "late, arrived 2nd or 3rd, from", "applied, arrived 1st, from", "applied, arrived 2nd or 3rd, from",
                "applied, arrived 4th, from", "applied, arrived 5th, from",
            ] { #expect(text.contains(arrival), "\(arrival)\n\(text)") }
            let entity = try await place.succeed("show", "orders", "18446744073709551615", "--json").json()
            let events = try #require(entity["events"] as? [[String: Any]])
            #expect(events.map { $0["arrival"] as? Int } == [2, 1, 2, 4, 5])
            #expect(events.map { $0["last_arrival"] as? Int } == [3, 1, 3, 4, 5])
        }
    }

    @Test
    func aDeletedEntityAndOneWithoutATimelineHaveTheirStoryToo() async throws {
        let lines = Self.lines + [Self.order(5, "", op: "delete"), Self.order(6, #""status":"paid""#, op: "insert")]
        try await withWorkplace(Self.configuration) { place, connection in
            try await self.replayOneByOne(Array(lines.dropLast()), place)
            let gone = try await place.succeed("show", "orders", "18446744073709551615").output
            #expect(gone.contains(": deleted, sequence 5") && gone.contains("> sequence 5: delete"), "\(gone)")
            _ = try await place.replay(try place.write("back.ndjson", lines: [lines[5]]))
            let back = try await place.succeed("show", "orders", "18446744073709551615").output
            // Nothing is carried over.
            #expect(back.contains("      status = paid") && back.contains("live, state paid, sequence 6"), "\(back)")
            #expect(try await place.run("show", "orders", "7").status == 1)
            #expect(try await place.run("show", "orders", "x").status == 1)
            #expect(try await place.run("show", "others", "7").status == 1)
        }
        try await TestDatabase.with {
            try await withWorkplace(
                Self.configuration.replacing("state: status\n", with: "state: status\n    timeline: false\n")
            ) {
                place,
                connection in
                try await self.replayOneByOne(lines, place)
                let text = try await place.succeed("show", "orders", "18446744073709551615").output
                #expect(text.contains("timeline: false") && text.contains("  status = paid"), "\(text)")
                let json = try await place.succeed("show", "orders", "18446744073709551615", "--json").json()
                #expect(json["events"] is NSNull)
            }
        }
    }
}
