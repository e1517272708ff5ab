import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// `tidemark seek` beside a running service, which goes on from the new offsets.
@Suite("seek", .freshDatabase, .timeLimit(.minutes(10)))
struct SeekTests {
    private static func line(_ id: Int) -> String { FollowedShop.line(id, second: id) }
    /// Of each line up to the ninth.
    private static let size = line(1).utf8.count + 1

    /// Runs a body beside a service that has read three messages of each source.
    private func withService(_ body: (Workplace, Connection) async throws -> Void) async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            try place.append("others/b.ndjson", (11...13).map(Self.line))
            try await place.withService {
                try await connection.until("parts", has: [1, 2, 3, 11, 12, 13])
                try await body(place, connection)
            }
        }
    }

    private static func untilDuplicates(_ count: Int, _ connection: Connection) async throws {
        for projection in ["orders", "parts"] {
            try await connection.until(
                "select sum(duplicate) from tidemark.counters where projection = '\(projection)'",
                is: "\(count)"
            )
        }
    }

    @Test
    func aSeekIntoALongFileOutlivesRestarts() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            let lines = (1...900).map { FollowedShop.line($0) }
            let offset = lines[..<800].reduce(0) { $0 + $1.utf8.count + 1 }
            // Of more than is looked at to know a file again.
            try #require(offset > 66_000)
            try place.append("logs/a.ndjson", lines)
            let duplicates = "select sum(duplicate) from tidemark.counters where projection = 'orders'"
            try await place.withService {
                try await connection.until("select count(*) from orders", is: "900")
                try await place.succeed("seek", "logs", "--to", "\(offset)")
                try await connection.until(duplicates, is: "100")
            }
            for id in [901, 902] {
                try await place.withService {
                    try place.append("logs/a.ndjson", [FollowedShop.line(id)])
                    try await connection.until("select count(*) from orders", is: "\(id)")
                }
            }
            #expect(try await connection.value(duplicates) == "100")
            let streams = "select count(*) from tidemark_internal.streams where name like '%/logs/a.ndjson'"
            #expect(try await connection.value(streams) == "1")
        }
    }

    @Test
    func aFileThatCannotBeReadHoldsUpNoOther() async throws {
        try await self.withService { place, connection in
            try place.append("logs/b.ndjson", [4, 5].map(Self.line))
            try await connection.until("select count(*) from orders", is: "8")
            // Known by its content, and then something else behind it.
            let whole = try TidemarkProcess.gzip(place.write("c.ndjson", lines: [Self.line(6)]))
            try (Data(contentsOf: whole) + Data("junk".utf8)).write(
                to: place.folder.appendingPathComponent("logs/c.ndjson")
            )
            try await connection.until("select count(*) from orders", is: "9")
            let result = try await place.succeed("seek", "logs", "--to", "2026-03-01T09:30:05Z")
            #expect(
                result.output.contains("logs/b.ndjson: from \(2 * Self.size) to \(Self.size)\n"),
                "\(result.output)"
            )
            let end = try await place.succeed("seek", "logs", "--to", "end", "--skip")
            #expect(end.error.contains("logs/c.ndjson: ") && end.error.contains("; the stream stays where it is"))
            let json = try await place.succeed("seek", "logs", "--to", "end", "--skip", "--json").json()
            #expect((json["unreadable"] as? [String])?.count == 1 && json["gone"] as? [String] == [])
        }
    }

    @Test
    func itGoesBackToTheStartToATimeAndToAnOffset() async throws {
        try await self.withService { place, connection in
            let result = try await place.succeed("seek", "logs", "--to", "start")
            #expect(result.output.contains("logs/a.ndjson: from \(3 * Self.size) to 0\n"), "\(result.output)")
            try await Self.untilDuplicates(3, connection)

            let json = try await place.succeed("seek", "logs", "--to", "\(Self.size)", "--json").json()
            let streams = try #require(json["streams"] as? [[String: Any]])
            #expect(streams.count == 1 && json["gone"] as? [String] == [])
            #expect(streams[0]["from"] as? Int == 3 * Self.size && streams[0]["to"] as? Int == Self.size)
            #expect(streams[0]["messages_left_out"] as? Int == 0)
            try await Self.untilDuplicates(5, connection)

            try await place.succeed("seek", "logs", "--to", "2026-03-01T09:30:03Z")
            try await Self.untilDuplicates(6, connection)

            // Live again.
            try place.append("logs/a.ndjson", [4].map(Self.line))
            try await connection.until("orders", has: [1, 2, 3, 4, 11, 12, 13])
            try await Self.untilDuplicates(6, connection)
            #expect(try await place.succeed("seek", "logs", "--to", "end").output.hasPrefix("nothing to do"))

            let passes = try await connection.rows(
                "select finished_at is null, is_service from tidemark.passes order by id"
            )
            #expect(passes == [["f", "t"], ["f", "t"], ["f", "t"], ["t", "t"]])
            let audit = try await connection.rows(
                "select action, subject, detail ->> 'to' from tidemark.audit order by id"
            )
            #expect(audit == ["start", "\(Self.size)", "2026-03-01T09:30:03Z"].map { ["seek", "logs", $0] })
        }
    }

    @Test
    func itLeavesMessagesOutOnlyWhenItIsToldToAndRecordsThem() async throws {
        try await self.withService { place, connection in
            try await place.succeed("pause", "logs")
            try await connection.until(
                "select count(*) from tidemark.leases where source = 'logs' and process is null",
                is: "1"
            )
            try place.append("logs/a.ndjson", (4...6).map(Self.line), half: String(Self.line(7).dropLast(5)))
            var error = try await place.fail(1, "seek", "logs", "--to", "end")
            #expect(
                error.contains("leave out 3 messages") && error.contains("tidemark seek logs --to end --skip"),
                "\(error)"
            )
            #expect(error.contains("logs/a.ndjson: from \(3 * Self.size) to \(6 * Self.size), 3 messages left out"))
            error = try await place.fail(1, "seek", "logs", "--to", "\(4 * Self.size)", "--stream", "a.ndjson")
            #expect(error.contains("leave out 1 message, ") && error.contains("--stream a.ndjson --skip"), "\(error)")
            #expect(try await connection.value("select count(*) from tidemark.passes") == "1", "nothing was changed")

            let result = try await place.succeed("seek", "logs", "--to", "2026-03-01T09:30:06Z", "--skip")
            #expect(result.output.contains("2 messages left out"), "\(result.output)")
            try await place.succeed("resume", "logs")
            try await connection.until("orders", has: [1, 2, 3, 6, 11, 12, 13])
            let detail = try await connection.rows(
                """
                select detail ->> 'to', stream ->> 'from', stream ->> 'to', stream ->> 'messages',
                    stream ->> 'stream' like '/%/logs/a.ndjson'
                from tidemark.audit, jsonb_array_elements(detail -> 'streams') as stream where action = 'seek'
                """
            )
            #expect(detail == [["2026-03-01T09:30:06Z", "\(3 * Self.size)", "\(5 * Self.size)", "2", "t"]])
            // What was left out can be had all the same.
            try await place.succeed("seek", "logs", "--to", "start")
            try await connection.until("orders", has: [1, 2, 3, 4, 5, 6, 11, 12, 13])
        }
    }

    /// A move back leaves nothing out for a paused projection that is behind; one that is not reads with the others.
    @Test
    func projectionsThatAreReadByThemselvesMoveToo() async throws {
        try await self.withService { place, connection in
            try await place.succeed("pause", "parts")
            try await connection.until("select count(*) from tidemark.checks where status = 'paused'", is: "1")
            try place.append("logs/a.ndjson", [4, 5].map(Self.line))
            try await connection.until("orders", has: [1, 2, 3, 4, 5, 11, 12, 13])
            try await place.succeed("seek", "logs", "--to", "\(4 * Self.size)")
            try await connection.until(
                "select sum(duplicate) from tidemark.counters where projection = 'orders'",
                is: "1"
            )
            try await place.succeed("resume", "parts")
            try await connection.until("parts", has: [1, 2, 3, 4, 5, 11, 12, 13])
            #expect(try await connection.duplicates(of: "parts") == 0)
            try await place.succeed("backfill", "parts")
            try await place.succeed("seek", "logs", "--to", "start")
            try await connection.until("parts", has: [1, 2, 3, 4, 5, 11, 12, 13])
            let own = "select count(*) from tidemark.leases where projection is not null and source = 'logs'"
            #expect(try await connection.value(own) == "0")
        }
    }

    /// Two processes, lines that come all the while, and ten seeks: the rows are those of one replay.
    @Test
    func seeksUnderLoadLoseNothing() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            var version = 0
            func write() throws {
                version += 1
                for file in 1...4 {
                    let source = file < 3 ? "logs" : "others"
                    try place.append(
                        "\(source)/\(file).ndjson",
                        (1...100).map {
                            FollowedShop.line(file * 1000 + $0, version, version % 7 == 3 ? "shipped" : "paid")
                        }
                    )
                }
            }
            try write()
            try await place.withService {
                try await place.withService {
                    try await connection.until("select count(*) from parts", is: "400")
                    for round in 0..<10 {
                        try write()
                        try await place.succeed("seek", round % 2 == 0 ? "logs" : "others", "--to", "start")
                        try write()
                    }
                    for table in ["orders", "parts"] {
                        try await connection.until(
                            "select count(*) || ' ' || min(version) || ' ' || max(version) from \(table)",
                            is: "400 \(version) \(version)"
                        )
                    }
                }
            }
            for table in ["orders", "parts"] {
                #expect(
                    try await ReadModelDigest(table: table, key: "id", on: connection) == place.replayed(table),
                    "\(table)"
                )
            }
        }
    }

    @Test
    func whatItRefusesAndWhy() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            try await place.succeed("migrate")
            #expect(try await place.fail(1, "seek", "logs", "--to", "start").contains("tidemark run"))
            try await place.withService { try await connection.until("parts", has: [1, 2, 3]) }
            var error = try await place.fail(1, "seek", "logs", "--to", "5")
            #expect(
                error.contains("begins at byte 5; the nearest is at 0 before it, and \(Self.size) behind it"),
                "\(error)"
            )
            error = try await place.fail(1, "seek", "logs", "--to", "99999")
            #expect(error.contains("the nearest is at \(3 * Self.size) before it\n"), "\(error)")
            #expect(try await place.fail(78, "seek", "nothing", "--to", "end").contains("it has logs, others"))
            #expect(try await place.fail(64, "seek", "logs", "--to", "yesterday").contains("--to takes"))
            #expect(
                try await place.fail(66, "seek", "logs", "--to", "end", "--stream", "x").contains("tidemark.streams")
            )
            try place.append("logs/b.ndjson", [4].map(Self.line))
            try await place.withService { try await connection.until("parts", has: [1, 2, 3, 4]) }
            #expect(try await place.fail(64, "seek", "logs", "--to", "0").contains("2 streams"))

            // One file is gone, and one is another now.
            let files = place.folder.appendingPathComponent("logs")
            try FileManager.default.removeItem(at: files.appendingPathComponent("a.ndjson"))
            let result = try await place.succeed("seek", "logs", "--to", "start")
            #expect(result.error.contains("logs/a.ndjson: the file is gone"), "\(result.error)")
            #expect(result.output.contains("logs/b.ndjson: from \(Self.size) to 0"), "\(result.output)")
            try Data((Self.line(5) + "\n").utf8).write(to: files.appendingPathComponent("b.ndjson"))
            error = try await place.fail(66, "seek", "logs", "--to", "2026-03-01T09:30:00Z")
            #expect(error.split(separator: "\n").count == 2, "\(error)")
        }
    }
}
