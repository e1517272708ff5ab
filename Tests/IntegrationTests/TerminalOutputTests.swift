import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// What commands print for people: names in full, columns below each other, nothing that hides, and no list that ends
/// as if it were whole.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct TerminalOutputTests {
    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: text, status: text, version: integer, note: text }
            milestones:
              shipped_to_the_customer: { state: shipped, notify: [warehouse] }
              shipped_to_the_customer_who_has_waited_for_it_since_last_year: { state: shipped }
              versandt_漢字: { state: shipped }
              paid: { state: paid }
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/", secret: "whsec_dGlkZW1hcmsgdGVzdA==" }

        """

    private static func line(_ id: String, _ version: Int, _ status: String, note: String = "") -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":"\#(id)","version":\#(version),"status":"\#(status)","note":"\#(note)"}}"#
    }

    @Test func aSummaryNamesMilestonesInFull() async throws {
        try await withWorkplace(Self.configuration) { place, _ in
            let log = try place.write("log.ndjson", lines: [Self.line("1", 1, "paid"), Self.line("1", 2, "shipped")])
            let summary = try await place.succeed("replay", "--no-deliver", log.path).output
            expectReadable(summary)
            let lines = summary.split(separator: "\n")
            let reached = lines.filter { $0.hasSuffix("1  milestone newly reached") }
            #expect(reached.count == 4, "\(summary)")
            #expect(reached.contains { $0.hasPrefix("+ paid ") } && reached.contains { $0.hasPrefix("+ versandt_漢字 ") })
            #expect(reached.contains { $0.hasPrefix("+ shipped_to_the_customer ") })
            #expect(lines.contains("+ shipped_to_the_customer_who_has_waited_for_it_since_last_year"), "\(summary)")
        }
    }

    /// The argument parser repeats what it refuses.
    @Test func argumentsThatAreRefusedAreEscaped() async throws {
        try await withWorkplace(Self.configuration) { place, _ in
            for arguments in [
                ["replay", "--\u{1B}[2J"], ["\u{1B}]0;title\u{7}"], ["check", "--x\u{202E}"],
            ] {
                let refused = try await place.run(arguments)
                #expect(refused.status == 64, "\(refused.error)")
                #expect(refused.error.contains("\\u{"), "\(refused.error)")
                expectReadable(refused.error)
            }
        }
    }

    /// Characters that are invisible, or change how others are shown.
    @Test func nothingThatHidesComesThrough() async throws {
        let hidden = [
            "\u{61C}", "\u{FEFF}", "\u{2028}", "\u{2029}", "\u{200B}", "\u{2060}", "\u{AD}", "\u{202E}", "\u{2066}",
            "\u{200F}", "\u{180E}", "\u{E0041}", "\u{9B}",
        ]
        try await withWorkplace(Self.configuration) { place, _ in
            let note = hidden.joined(separator: "|")
            let log = try place.write(
                "log.ndjson",
                lines: [Self.line("k\(note)", 1, "paid", note: "👩‍👧 \(note)"), "no message \(note)"]
            )
            var outputs = [try await place.succeed("replay", "--no-deliver", log.path)]
            outputs.append(try await place.succeed("show", "orders", "k\(note)"))
            outputs.append(try await place.succeed("deadletters", "list"))
            outputs.append(try await place.succeed("deadletters", "show", "1"))
            outputs.append(try await place.run("show", "orders", note))
            let printed = outputs.count
            outputs.append(try await place.succeed("show", "orders", "k\(note)", "--json"))
            outputs.append(try await place.succeed("deadletters", "list", "--json"))
            outputs.append(try await place.succeed("deadletters", "show", "1", "--json"))
            for output in outputs {
                let text = (output.output + output.error).unicodeScalars
                for scalar in hidden.flatMap(\.unicodeScalars) { #expect(!text.contains(scalar), "\(scalar.value)") }
            }
            // JSON has escapes of its own, and says the same.
            let shown = try outputs[printed].json()
            #expect((shown["row"] as? [String: Any])?["note"] as? String == "👩‍👧 \(note)", "\(outputs[printed].output)")
            #expect(outputs[1].output.contains(#"👩‍👧 \u{61c}|\u{feff}|\u{2028}|\u{2029}|"#), "\(outputs[1].output)")
        }
    }

    @Test func aListThatIsCutSaysHowManyMoreThereAre() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let lines = (1...7).map { Self.line("\($0)", 1, "shipped") } + (1...5).map { "no message \($0)" }
            let log = try place.write("log.ndjson", lines: lines)
            try await place.succeed("replay", "--no-deliver", log.path)
            func end(_ arguments: String...) async throws -> Substring? {
                try await place.succeedOrDiffer(arguments).split(separator: "\n").last
            }
            #expect(try await end("deadletters", "list", "--limit", "2") == "and 3 more (--limit 5)")
            #expect(try await end("deadletters", "list", "--limit", "5")?.hasPrefix("and") == false)
            #expect(try await end("deliveries", "list", "--limit", "3") == "and 4 more (--limit 7)")
            #expect(try await end("deliveries", "list")?.hasPrefix("and") == false)
            for list in ["deadletters", "deliveries"] {
                #expect(try await place.run(list, "list", "--limit", "0").status == 64)
            }
            try await connection.execute("update tidemark_internal.orders_entities set note = 'else'")
            let verified = try await place.succeedOrDiffer(["verify", "orders", "--limit", "2"])
            #expect(verified.contains("\nand 5 more (--limit 7)\n"), "\(verified)")
            for number in 1...6 {
                let more = try place.write("\(number).ndjson", lines: [Self.line("1", 2 + number, "shipped")])
                try await place.succeed("replay", "--no-deliver", more.path)
            }
            #expect(try await end("status") == "and 2 more (tidemark.passes)")
        }
    }

    /// A program that reads the pipe has no use for a moved cursor.
    @Test func watchingIntoAPipeMovesNoCursor() async throws {
        try await withWorkplace(Self.configuration) { place, _ in
            let log = try place.write("log.ndjson", lines: [Self.line("1", 1, "paid")])
            try await place.succeed("replay", "--no-deliver", log.path)
            let output = place.folder.appendingPathComponent("watched")
            let watching = try TidemarkProcess(
                ["status", "--watch"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder,
                output: output
            )
            func text() throws -> String { try String(contentsOf: output, encoding: .utf8) }
            try await wait("a look") { try text().contains("replays and services") || watching.isOver }
            watching.send(SIGINT)
            let result = try await watching.result()
            #expect(result.status == 0, "\(result.error)")
            expectReadable(try text())
            #expect(try !text().contains("\u{1B}"))
        }
    }
}

extension Workplace {
    /// The output of a command that ends with 0, or finds differences.
    fileprivate func succeedOrDiffer(_ arguments: [String]) async throws -> String {
        let result = try await self.run(arguments)
        try #require([0, 65].contains(result.status), "\(result.error)")
        return result.output
    }
}
