import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// The command line as scripts rely on it: exit codes, JSON, what is said and what is not.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct CommandLineTests {
    private struct Workplace {
        var folder: URL
        var database = TestDatabase.current

        func write(_ name: String, _ text: String) throws -> URL { try self.write(name, Data(text.utf8)) }

        func write(_ name: String, _ data: Data) throws -> URL {
            let file = self.folder.appendingPathComponent(name)
            try data.write(to: file)
            return file
        }

        func run(
            _ arguments: String...,
            input: Data? = nil,
            environment: [String: String]? = nil
        ) async throws -> TidemarkProcess.Result {
            try await TidemarkProcess.run(
                arguments,
                input: input,
                environment: environment ?? ["DATABASE_URL": self.database.url],
                directory: self.folder
            )
        }

        func connect() async throws -> Connection { try await self.database.connect() }
    }

    private func withWorkplace(_ body: (Workplace) async throws -> Void) async throws {
        try await withFolder { folder in
            let place = Workplace(folder: folder)
            _ = try place.write("tidemark.yaml", Shop.projection)
            try await body(place)
        }
    }

    static func order(_ id: Int, _ version: Int, _ status: String, customer: String = "c-1") -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"customer":"\#(customer)","status":"\#(status)","#
            + #""version":\#(version),"amount":1.5,"updated_at":"2026-03-01T09:30:15Z"},"ts":"2026-03-01T09:30:15Z"}"#
    }

    static let three = [order(1, 1, "created"), order(1, 2, "paid"), order(2, 1, "shipped")]

    /// gzip without compression: a header, one stored block, the checksum and the length.
    private static func gzip(_ data: Data) -> Data {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in data {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        func little(_ value: UInt32, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(value >> UInt32(8 * $0) & 0xFF) }
        }
        let length = UInt32(data.count)
        return Data([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255, 1] + little(length, 2) + little(length ^ 0xFFFF, 2)) + data
            + Data(little(~crc, 4) + little(length, 4))
    }

    // MARK: Input

    @Test
    func theJSONSummaryHasTheFieldsOfTheContractAndNoOthers() async throws {
        try await self.withWorkplace { place in
            let heartbeat = #"{"type":"bootstrap-start","database":"shop","table":"orders","ts":1,"data":{}}"#
            let other = #"{"table":"shop.others","op":"insert","after":{"id":1}}"#
            let lines = Self.three + [Self.three[0], heartbeat, other, "{", "", Self.order(2, 1, "paid")]
            let log = try place.write("a.ndjson", lines.joined(separator: "\n"))
            for options in [["--no-deliver"], ["--dry-run"]] {
                let result = try await TidemarkProcess.run(
                    ["replay", "--json", "--lanes", "1"] + options + [log.path],
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                try #require(result.status == 0, "\(result.error)")
                let summary = try result.json()
                #expect(
                    Set(summary.keys) == [
                        "messages", "events", "applied", "late", "duplicate", "filtered", "control", "dead_letters",
                        "conflicts", "entities", "milestones", "bytes", "elapsed_seconds", "events_per_second",
                        "resumed",
                    ]
                )
                let expected = [
                    "messages": 8, "events": 6, "applied": 3, "late": 1, "duplicate": 1, "filtered": 1, "control": 1,
                    "dead_letters": 1, "entities": 2, "bytes": Int(try Data(contentsOf: log).count),
                ]
                for (name, value) in expected {
                    #expect(summary[name] as? Int == value, "\(options) \(name)")
                }
                if options == ["--no-deliver"] { #expect(summary["conflicts"] as? Int == 1) }
                #expect(summary["milestones"] as? [String: Int] == ["shipped": 1])
                #expect(summary["resumed"] as? Bool == false)
                #expect(summary["elapsed_seconds"] is Double || summary["elapsed_seconds"] is Int)
                #expect(result.output.split(separator: "\n").count == 1)
            }
        }
    }

    @Test
    func standardInputGzipMembersCarriageReturnsAndAMissingLastNewlineAreAllRead() async throws {
        try await self.withWorkplace { place in
            let lines = Self.three
            let plain = Data(lines.joined(separator: "\n").utf8)
            let windows = try place.write("windows.ndjson", lines.joined(separator: "\r\n"))
            var members = Data()
            // A member may end in the middle of a line.
            for start in stride(from: 0, to: plain.count, by: 100) {
                members += Self.gzip(plain[start..<min(start + 100, plain.count)])
            }
            let compressed = try place.write("members.ndjson.gz", members)
            let first = try await place.run("replay", "--json", "--no-deliver", "-", input: plain)
            #expect(first.status == 0, "\(first.error)")
            #expect(try first.json()["applied"] as? Int == 3)
            for file in [windows, compressed] {
                let result = try await place.run("replay", "--json", "--no-deliver", file.path)
                #expect(result.status == 0, "\(result.error)")
                let summary = try result.json()
                #expect(summary["messages"] as? Int == 3, "\(file.lastPathComponent)")
                #expect(summary["duplicate"] as? Int == 3, "\(file.lastPathComponent)")
                #expect(summary["dead_letters"] as? Int == 0, "\(file.lastPathComponent)")
            }
            // Named twice, a file is read once; a folder is read in the order of names.
            let folder = try await place.run(
                "replay",
                "--dry-run",
                "--json",
                place.folder.path + "/*.ndjson*",
                windows.path
            )
            #expect(try folder.json()["messages"] as? Int == 6, "\(folder.error)")
        }
    }

    @Test
    func aGzipFileThatIsCutShortIsExit65AndEverythingBeforeIsApplied() async throws {
        try await self.withWorkplace { place in
            let whole = Self.gzip(Data((Self.three.joined(separator: "\n") + "\n").utf8))
            let log = try place.write("cut.ndjson.gz", whole.dropLast(60))
            let result = try await place.run("replay", "--json", "--no-deliver", log.path)
            #expect(result.status == 65, "\(result.error)")
            #expect(result.error.contains("cut.ndjson.gz"))
            #expect(try result.json()["applied"] as? Int == 2)
        }
    }

    // MARK: Exit codes

    @Test
    func checkSaysWhichMessagesCarryNoPosition() async throws {
        try await self.withWorkplace { place in
            let row = #"{"database":"shop","table":"orders","type":"insert","ts":1,"data":{"id":1}"#
            let log = try place.write("a.ndjson", "\(row)}\n\(row),\"position\":\"b.1:4\"}\n")
            let configuration = try place.write(
                "positions.yaml",
                "projections:\n  - { name: orders, from: [shop.orders], key: id, sequence: $position }\n"
            )
            let result = try await place.run("check", "--config", configuration.path, log.path)
            #expect(result.status == 0, "\(result.error)")
            #expect(result.output.contains("of 2 events of shop.orders 1 have none"), "\(result.output)")
            #expect(result.output.contains("output_binlog_position"), "\(result.output)")
        }
    }

    @Test
    func checkSaysWhichKindsOfPositionAProjectionMixes() async throws {
        try await self.withWorkplace { place in
            let row = #"{"database":"shop","table":"orders","type":"insert","ts":1,"data":{"id":1},"position":"b.1:4"}"#
            let own = #"{"table":"shop.orders","op":"insert","after":{"id":1},"position":[1]}"#
            let log = try place.write("a.ndjson", "\(row)\n\(own)\n\(row)\n")
            for (part, isMixed) in [("$position", true), ("{ column: $position, type: binlog }", false)] {
                let configuration = try place.write(
                    "positions.yaml",
                    "projections:\n  - { name: orders, from: [shop.orders], key: id, sequence: \(part) }\n"
                )
                let result = try await place.run("check", "--config", configuration.path, log.path)
                #expect(result.status == 0, "\(result.error)")
                #expect(result.output.contains("binlog (2), numbers (1)") == isMixed, "\(result.output)")
                #expect(result.output.contains("{ column: $position, type: binlog }") == isMixed, "\(result.output)")
            }
        }
    }

    @Test
    func aSignalEndsTheReplayInOrderAndTheNextRunGoesOn() async throws {
        var generator = SeededGenerator.forTest("signals")
        try await self.withWorkplace { place in
            let log = place.folder.appendingPathComponent("orders.ndjson")
            let totals = try GeneratedLog(orders: 3000, seed: generator.next()).write(to: log.path)
            let connection = try await place.connect()
            _ = try await Migrator.migrate(connection)
            for (signal, status) in [(SIGINT, Int32(130)), (SIGTERM, 143)] {
                let process = try TidemarkProcess(
                    ["replay", "--json", "--no-deliver", "--batch-events", "20", log.path],
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                let before = try await connection.number(
                    "select coalesce(sum(\"offset\"), 0) from tidemark.checkpoints"
                )
                while !process.isOver,
                    try await connection.number("select coalesce(sum(\"offset\"), 0) from tidemark.checkpoints")
                        == before
                { try Task.checkCancellation() }
                process.send(signal)
                let result = try await process.result()
                #expect(result.status == status, "\(result.error)")
                let messages = try #require(try result.json()["messages"] as? Int)
                #expect(messages > 0 && messages < totals.lines)
            }
            let result = try await place.run("replay", "--json", "--no-deliver", log.path)
            #expect(result.status == 0, "\(result.error)")
            let summary = try result.json()
            #expect(summary["messages"] as? Int == totals.lines)
            #expect(summary["applied"] as? Int == totals.events)
            #expect(summary["resumed"] as? Bool == true)
            await connection.close()
        }
    }

    // MARK: What people read

    @Test
    func controlCharactersInDataNeverReachATerminal() async throws {
        try await self.withWorkplace { place in
            let evil = #"\u001b[2J\u0007\u202edetsurt\u009b31m"#
            let lines = [
                Self.order(1, 1, "created", customer: evil), Self.order(1, 2, evil),
                Self.order(1, 3, "paid").replacing("1.5", with: "\"\(evil)\""),
                #"{"table":"shop.\#(evil)","op":"insert","after":{"id":1}}"#,
            ]
            let log = try place.write("a.ndjson", lines.joined(separator: "\n"))
            let replay = try await place.run("replay", "--no-deliver", log.path)
            #expect(replay.status == 0, "\(replay.error)")
            var outputs = [replay]
            outputs.append(try await place.run("deadletters", "list"))
            outputs.append(try await place.run("show", "orders", "1"))
            outputs.append(try await place.run("status"))
            outputs.append(try await place.run("check", log.path))
            outputs.append(try await place.run("deadletters", "list", "--reason", "\u{1B}[31m"))
            outputs.append(try await place.run("show", "orders", "\u{1B}[31m"))
            outputs.append(try await place.run("show", "\u{1B}[31m", "1"))
            outputs.append(try await place.run("drop", "\u{1B}[31m"))
            for output in outputs {
                for scalar in (output.output + output.error).unicodeScalars {
                    let isControl = scalar.value < 0x20 && scalar != "\n" || (0x7F..<0xA0).contains(scalar.value)
                    #expect(!isControl && scalar.value != 0x202E, "\(output.output) \(output.error)")
                }
            }
            #expect(outputs[1].output.contains(#"\u{1b}"#), "\(outputs[1].output)")
            #expect(outputs[2].output.contains(#"\u{1b}"#), "\(outputs[2].output)")
        }
    }

    @Test(arguments: [
        ([], "change events"), (["replay"], "event logs"), (["migrate"], "schema"), (["check"], "configuration"),
        (["status"], "projections"), (["show"], "entity"), (["drop"], "projection"), (["deadletters"], "set aside"),
        (["deadletters", "list"], "dead letters"), (["deadletters", "show"], "message"),
        (["deadletters", "retry"], "again"), (["deadletters", "drop"], "for good"), (["forget"], "erase"),
        (["disorder"], "reordered"), (["deliveries"], "outbox"), (["deliveries", "list"], "deliveries"),
        (["notifiers"], "notifiers"), (["pause"], "stop reading"), (["resume"], "paused"),
        (["backfill"], "all streams again"), (["seek"], "another place"),
    ])
    func helpSaysWhatTheCommandDoes(_ command: [String], _ word: String) async throws {
        let result = try await TidemarkProcess.run(command + ["--help"], environment: ["COLUMNS": "80"])
        #expect(result.status == 0)
        #expect(result.output.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(result.output)")
        let overview = try #require(result.output.split(separator: "\n").first { $0.hasPrefix("OVERVIEW") })
        #expect(overview.lowercased().contains(word), "\(overview)")
        #expect(result.output.contains("USAGE"))
    }

    @Test(arguments: ["-5", "0", "1", "20", "39"])
    func helpFitsATerminalOfAnyWidth(_ columns: String) async throws {
        for arguments in [["replay", "--help"], ["check", "--nope"]] {
            let result = try await TidemarkProcess.run(arguments, environment: ["COLUMNS": columns])
            #expect(result.status == (arguments[0] == "replay" ? 0 : 64), "\(result.error)")
            #expect((result.output + result.error).lowercased().contains("usage: tidemark"))
        }
    }

    @Test
    func notifiersHasAnEarlierNameThatHelpDoesNotShow() async throws {
        let help = try await TidemarkProcess.run(["--help"])
        let names = help.output.split(separator: "\n").compactMap { $0.split(separator: " ").first }
        #expect(names.contains("notifiers") && !names.contains("notify"), "\(help.output)")
        try await self.withWorkplace { place in
            #expect(try await place.run("migrate").status == 0)
            for (word, other) in [("notifiers", "notify"), ("notify", "notifiers")] {
                #expect(try await place.run(word, "disable", "warehouse").output == "warehouse is disabled\n")
                let list = try await place.run(other, "list")
                #expect(list.output.contains("warehouse: disabled since "), "\(list)")
                #expect(try await place.run(other, "enable", "warehouse").output == "warehouse is enabled\n")
                #expect(try await place.run(word, "test", "nobody").status == 78)
                #expect(try await place.run(word, "--help").output.contains("enable"))
            }
        }
    }

    @Test
    func replayNeedsNoConfigurationFile() async throws {
        try await self.withWorkplace { place in
            let log = try place.write("a.ndjson", Self.three.joined(separator: "\n"))
            let result = try await place.run(
                "replay",
                "--json",
                "--from",
                "shop.orders",
                "--key",
                "id",
                "--sequence",
                "version",
                "--state",
                "status",
                "--table",
                "quick.orders",
                log.path
            )
            #expect(result.status == 0, "\(result.error)")
            let connection = try await place.connect()
            let rows = try await connection.rows("select id, state, row ->> 'version' from quick.orders order by id")
            #expect(rows == [["1", "paid", "2"], ["2", "shipped", "1"]])
            await connection.close()
        }
    }
}
