import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A log of which one line in a hundred is broken: every good event is applied, every bad one is set aside.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct BrokenLogTests {
    /// A way to be broken, and what is said of it.
    private struct Damage: Sendable {
        var name: String
        var reason: String
        /// Words of the sentence.
        var says: [String]
        var line: @Sendable (Int) -> [UInt8]
    }

    private static func message(
        id: String = "7",
        customer: String = "c-1",
        version: String = "1",
        amount: String = "12.50",
        updated: String = "2026-03-01 09:30:15.000001",
        number: Int
    ) -> String {
        #"{"database":"shop","table":"orders","type":"update","ts":1772357415,"xid":\#(number),"commit":true,"#
            + #""position":"mysql-bin.000042:\#(number)","data":{\#(id.isEmpty ? "" : "\"id\":\(id),")"customer":"\#(customer)","#
            + #""status":"paid","version":\#(version),"amount":\#(amount),"updated_at":"\#(updated)"}}"#
    }

    private static let damages: [Damage] = [
        Damage(name: "cut", reason: "malformed_json", says: []) { Array(Self.message(number: $0).utf8.dropLast(40)) },
        Damage(name: "no key", reason: "key_missing", says: ["\"id\""]) {
            Array(Self.message(id: "", number: $0).utf8)
        },
        Damage(name: "null key", reason: "key_missing", says: ["\"id\""]) {
            Array(Self.message(id: "null", number: $0).utf8)
        },
        Damage(name: "text for a number", reason: "value_invalid", says: ["\"amount\"", "twelve", "number"]) {
            Array(Self.message(amount: "\"twelve\"", number: $0).utf8)
        },
        Damage(name: "a digit too many", reason: "value_invalid", says: ["\"amount\"", "12.505"]) {
            Array(Self.message(amount: "12.505", number: $0).utf8)
        },
        Damage(name: "no such date", reason: "value_invalid", says: ["\"updated_at\"", "2026-02-30", "timestamp"]) {
            Array(Self.message(updated: "2026-02-30 10:00:00", number: $0).utf8)
        },
        Damage(name: "invalid UTF-8", reason: "malformed_json", says: ["UTF-8"]) { number in
            let parts = Self.message(customer: "~", number: number).split(separator: "~").map { Array($0.utf8) }
            return parts[0] + [0xC3, 0x28, 0xFF] + parts[1]
        },
        Damage(name: "NUL in a text", reason: "value_invalid", says: ["\"customer\"", "U+0000"]) {
            Array(Self.message(customer: "a\\u0000b", number: $0).utf8)
        },
        Damage(name: "2^64 in a bigint", reason: "value_invalid", says: ["\"id\"", "18446744073709551616"]) {
            Array(Self.message(id: "18446744073709551616", number: $0).utf8)
        },
        Damage(name: "a name twice", reason: "malformed_json", says: ["status"]) { number in
            Array(Self.message(number: number).replacing("\"amount\":", with: "\"status\":\"x\",\"amount\":").utf8)
        },
        Damage(name: "no number to go by", reason: "sequence_missing", says: ["\"version\"", "$position"]) {
            Array(Self.message(version: "\"seven\"", number: $0).utf8)
        },
        Damage(name: "no sequence", reason: "sequence_missing", says: ["\"version\"", "null"]) {
            Array(Self.message(version: "null", number: $0).utf8)
        },
        Damage(name: "not a message", reason: "unknown_format", says: []) { Array("{\"hello\":\($0)}".utf8) },
        Damage(name: "not JSON at all", reason: "malformed_json", says: []) { Array("Traceback, line \($0)".utf8) },
    ]

    private struct Broken {
        var totals: GeneratedLog.Totals
        /// By the number of their line, from 1.
        var lines: [Int: (damage: Damage, bytes: [UInt8])] = [:]
        var lineCount = 0
    }

    /// Writes a generated log with broken lines put between the good ones.
    private static func write(
        orders: Int,
        every: Int,
        to file: URL,
        _ generator: inout SeededGenerator
    ) throws -> Broken {
        let good = file.deletingLastPathComponent().appendingPathComponent("good.ndjson")
        var broken = Broken(totals: try GeneratedLog(orders: orders, seed: generator.next()).write(to: good.path))
        var output = Data()
        for line in try Data(contentsOf: good).split(separator: UInt8(ascii: "\n")) {
            if Int.random(in: 0..<every, using: &generator) == 0 {
                let damage = Self.damages[broken.lines.count % Self.damages.count]
                let bytes = damage.line(1_000_000 + broken.lines.count)
                broken.lineCount += 1
                broken.lines[broken.lineCount] = (damage, bytes)
                output += bytes + [UInt8(ascii: "\n")]
            }
            broken.lineCount += 1
            output += line + [UInt8(ascii: "\n")]
        }
        try output.write(to: file)
        return broken
    }

    /// Every good event is there, every bad line is set aside with its place, its bytes, a reason and a sentence.
    private static func verify(_ broken: Broken, in file: URL, on connection: Connection) async throws {
        #expect(try await connection.number("select count(*) from orders") == broken.totals.entities)
        #expect(try await connection.number("select count(*) from orders_history") == broken.totals.historyRows)
        #expect(try await connection.number("select count(*) from orders_milestones") == broken.totals.shipped)
        let rows = try await connection.rows(
            "select position, reason, detail, encode(raw, 'hex'), count, coalesce(projection, '') from tidemark.dead_letters"
        )
        #expect(rows.count == broken.lines.count)
        let found = Dictionary(grouping: rows) { $0[0] }
        for (number, (damage, bytes)) in broken.lines {
            let letters = found["\(file.path):\(number)"] ?? []
            guard letters.count == 1, let letter = letters.first else {
                Issue.record("line \(number) (\(damage.name)): \(letters.count) dead letters")
                continue
            }
            #expect(letter[1] == damage.reason, "\(damage.name): \(letter[2])")
            for word in damage.says { #expect(letter[2].contains(word), "\(damage.name): \(letter[2])") }
            #expect(letter[3] == bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(), "\(damage.name)")
            #expect(letter[4] == "1")
            let isOfNoProjection = damage.reason == "malformed_json" || damage.reason == "unknown_format"
            #expect(letter[5] == (isOfNoProjection ? "" : "orders"), "\(damage.name)")
        }
    }

    @Test
    func oneBadLineInAHundredNeitherStopsNorLosesTheOthers() async throws {
        var generator = SeededGenerator.forTest("broken log")
        try await withFolder { folder in
            let file = folder.appendingPathComponent("orders.ndjson")
            let broken = try Self.write(orders: 2500, every: 100, to: file, &generator)
            try #require(broken.lines.count > Self.damages.count)
            let configuration = folder.appendingPathComponent("tidemark.yaml")
            try Data(Shop.projection.utf8).write(to: configuration)
            let database = TestDatabase.current
            let result = try await TidemarkProcess.run(
                [
                    "replay", "--config", configuration.path, "--json", "--no-deliver", "--lanes", "3",
                    "--batch-events", "250", file.path,
                ],
                environment: ["DATABASE_URL": database.url]
            )
            try #require(result.status == 0, "\(result.error)")
            let summary = try result.json()
            #expect(summary["messages"] as? Int == broken.lineCount)
            #expect(summary["dead_letters"] as? Int == broken.lines.count)
            #expect(summary["events"] as? Int == broken.totals.events)
            #expect(summary["applied"] as? Int == broken.totals.events)
            let connection = try await database.connect()
            try await Self.verify(broken, in: file, on: connection)
            await connection.close()
            #expect(!result.error.contains("twelve"), "a value of a row in the log")
        }
    }

    @Test
    func strictStopsAtEachBadLineAndGoesOnBehindIt() async throws {
        var generator = SeededGenerator.forTest("strict")
        try await withFolder { folder in
            let file = folder.appendingPathComponent("orders.ndjson")
            let broken = try Self.write(orders: 120, every: 80, to: file, &generator)
            let configuration = folder.appendingPathComponent("tidemark.yaml")
            try Data(Shop.projection.utf8).write(to: configuration)
            let database = TestDatabase.current
            let connection = try await database.connect()
            for stop in 1...(broken.lines.count + 1) {
                let result = try await TidemarkProcess.run(
                    [
                        "replay", "--config", configuration.path, "--json", "--no-deliver", "--strict", "--lanes", "3",
                        file.path,
                    ],
                    environment: ["DATABASE_URL": database.url]
                )
                let summary = try result.json()
                #expect(summary["dead_letters"] as? Int == min(stop, broken.lines.count))
                if stop <= broken.lines.count {
                    #expect(result.status == 65, "\(result.error)")
                    #expect(result.error.contains("--strict"))
                    let lines = broken.lines.keys.sorted()
                    #expect(summary["messages"] as? Int == lines[stop - 1])
                } else {
                    #expect(result.status == 0, "\(result.error)")
                    #expect(summary["messages"] as? Int == broken.lineCount)
                    #expect(summary["events"] as? Int == broken.totals.events)
                    #expect(summary["resumed"] as? Bool == !broken.lines.isEmpty)
                }
            }
            try await Self.verify(broken, in: file, on: connection)
            await connection.close()
        }
    }

    /// One block holds all of it: the first run reads to the end, and only what has been counted can stop the second.
    @Test
    func tooManyDeadLettersStopAReplayAgainThatHasReadAllThereIs() async throws {
        try await withFolder { folder in
            let file = folder.appendingPathComponent("orders.ndjson")
            try Data("no JSON\n{\"op\":1}\nnor this\n".utf8).write(to: file)
            let configuration = folder.appendingPathComponent("tidemark.yaml")
            for (limit, status) in [("2", 65), ("2", 65), ("3", 0)] as [(String, Int32)] {
                try Data((Shop.projection + "limits: { max_dead_letters: \(limit) }\n").utf8).write(to: configuration)
                let result = try await TidemarkProcess.run(
                    ["replay", "--config", configuration.path, "--json", "--no-deliver", file.path],
                    environment: ["DATABASE_URL": TestDatabase.current.url]
                )
                #expect(result.status == status, "\(limit): \(result.error)")
                #expect(try result.json()["dead_letters"] as? Int == 3)
            }
        }
    }

    @Test(arguments: ["30", "10%"])
    func tooManyDeadLettersStopTheReplayWhichGoesOnWithTheLimitRaised(_ limit: String) async throws {
        var generator = SeededGenerator.forTest("max_dead_letters \(limit)")
        try await withFolder { folder in
            let file = folder.appendingPathComponent("orders.ndjson")
            // A share is looked at once there are 10,000 messages.
            let broken = try Self.write(
                orders: limit == "30" ? 400 : 3000,
                every: limit == "30" ? 20 : 6,
                to: file,
                &generator
            )
            let configuration = folder.appendingPathComponent("tidemark.yaml")
            let database = TestDatabase.current
            func run(_ limit: String) async throws -> TidemarkProcess.Result {
                try Data((Shop.projection + "limits: { max_dead_letters: \(limit) }\n").utf8).write(to: configuration)
                return try await TidemarkProcess.run(
                    ["replay", "--config", configuration.path, "--json", "--no-deliver", "--lanes", "2", file.path],
                    environment: ["DATABASE_URL": database.url]
                )
            }
            let first = try await run(limit)
            #expect(first.status == 65, "\(first.error)")
            #expect(first.error.contains("max_dead_letters"))
            let stopped = try first.json()
            let letters = try #require(stopped["dead_letters"] as? Int)
            #expect(letters < broken.lines.count || limit == "30")
            // Going on without a change stops again.
            let again = try await run(limit)
            #expect(again.status == 65, "\(again.error)")
            let second = try await run("100%")
            #expect(second.status == 0, "\(second.error)")
            let summary = try second.json()
            #expect(summary["dead_letters"] as? Int == broken.lines.count)
            #expect(summary["messages"] as? Int == broken.lineCount)
            #expect(summary["events"] as? Int == broken.totals.events)
            let connection = try await database.connect()
            try await Self.verify(broken, in: file, on: connection)
            await connection.close()
        }
    }
}
