import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// What a command says while the database is away, or makes it wait: one line when it goes and one when it is back, and
/// progress that counts what is committed.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct DatabaseAwayTests {
    private static let configuration = """
        lanes: 4
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint, status: text }

        """

    private static let lines = (1...400).map {
        #"{"table":"shop.orders","op":"update","after":{"id":\#($0),"version":2,"status":"paid"}}"#
    }

    private static func count(_ text: String, in output: String) -> Int {
        output.split(separator: "\n").count { $0.contains(text) }
    }

    @Test func oneThatIsAwayAtTheStartIsSaidAtOnce() async throws {
        let process = try TidemarkProcess(["status", "--database", "host=127.0.0.1 port=1 dbname=shop"])
        try await wait("a line on standard error", atMost: .seconds(20)) {
            try Self.count("database not available; trying again", in: process.errorSoFar()) == 1
        }
        #expect(!process.isOver)
        process.send(SIGINT)
        let result = try await process.result()
        #expect(result.signal == SIGINT, "\(result.error)")
        #expect(result.error.contains("cannot connect") && result.error.contains("127.0.0.1"), "\(result.error)")
        #expect(Self.count("trying again", in: result.error) == 1, "\(result.error)")
    }

    /// However many connections try again.
    @Test func anOutageIsTwoLines() async throws {
        try await withWorkplace(Self.configuration) { place, _ in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await place.succeed("migrate")
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: place.database.url))
            defer { proxy.close() }
            // The answer to a lane's commit never comes.
            proxy.holdCommits(after: 12)
            let process = try TidemarkProcess(
                ["replay", "--no-deliver", "--no-migrate", "--batch-events", "10", log.path],
                environment: ["DATABASE_URL": proxy.address.replacing(in: place.database.url)],
                directory: place.folder
            ) { proxy.poke() }
            try #require(await proxy.untilCommitIsHeld(orUntil: { process.isOver }))
            proxy.cut(refusing: true)
            await proxy.untilRefused(16, orUntil: { process.isOver })
            proxy.accept()
            let result = try await process.result()
            #expect(result.status == 0, "\(result.error)")
            let (gone, back) = (Self.count("not available", in: result.error), Self.count("is back", in: result.error))
            // A connection that comes late may meet it once more.
            #expect((1...2).contains(gone) && gone == back, "\(result.error)")
        }
    }

    /// What is not committed then is read again, so nothing is gained by waiting.
    @Test(arguments: ["replay", "rebuild"])
    func aSignalEndsTheWaitForADatabaseThatIsAway(_ command: String) async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await place.succeed("migrate")
            if command == "rebuild" { try await place.succeed("replay", "--no-deliver", log.path) }
            let arguments = command == "replay" ? ["replay"] : ["rebuild", "orders"]
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: place.database.url))
            defer { proxy.close() }
            proxy.holdCommits(after: 12)
            let process = try TidemarkProcess(
                arguments + ["--no-deliver", "--no-migrate", "--batch-events", "10", log.path],
                environment: ["DATABASE_URL": proxy.address.replacing(in: place.database.url)],
                directory: place.folder
            ) { proxy.poke() }
            try #require(await proxy.untilCommitIsHeld(orUntil: { process.isOver }))
            proxy.cut(refusing: true)
            await proxy.untilRefused(4, orUntil: { process.isOver })
            process.send(SIGTERM)
            try await wait("its end", atMost: .seconds(60)) { process.isOver }
            let result = try await process.result()
            #expect(result.status == 128 + SIGTERM && result.signal == nil, "\(result.error)")
            #expect(result.error.contains("interrupted while the database was away ("), "\(result.error)")
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await connection.number("select count(*) from orders") == Self.lines.count)
        }
    }

    /// What was read and waits for its commit is not counted yet.
    @Test func progressIsWhatIsCommitted() async throws {
        try await withWorkplace(Self.configuration) { place, _ in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await place.succeed("migrate")
            let holder = try await place.database.connect("holder")
            try await holder.execute("begin; lock table tidemark_internal.orders_entities in exclusive mode")
            let process = try TidemarkProcess(
                ["replay", "--no-deliver", "--no-migrate", log.path],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            try await wait("a line of progress", atMost: .seconds(60)) {
                try Self.count("events, ", in: process.errorSoFar()) >= 1
            }
            let line = try #require(try process.errorSoFar().split(separator: "\n").first { $0.contains("events, ") })
            #expect(line.contains("tidemark:   0% [") && line.contains("] 0 events, 0/s"), "\(line)")
            #expect(!line.contains("left"), "\(line)")
            try await holder.execute("rollback")
            await holder.close()
            let result = try await process.result()
            #expect(result.status == 0, "\(result.error)")
        }
    }

    /// The session in the way, by its name, and the end of the wait.
    @Test(arguments: ["replay", "rebuild"])
    func whoHoldsALockIsSaid(_ command: String) async throws {
        try await withWorkplace(Self.configuration + "service: { lease_ttl: 1s }\n") { place, _ in
            let log = try place.write("log.ndjson", lines: Self.lines)
            if command == "rebuild" {
                try await place.succeed("replay", "--no-deliver", log.path)
            } else {
                try await place.succeed("migrate")
            }
            let holder = try await place.database.connect("nightly report")
            try await holder.execute("begin; lock table tidemark_internal.counters in exclusive mode")
            let process = try TidemarkProcess(
                command == "replay"
                    ? ["replay", "--no-deliver", log.path] : ["rebuild", "orders", "--no-deliver", log.path],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            try await wait("the holder's name", atMost: .seconds(60)) {
                try Self.count("waiting for a lock", in: process.errorSoFar()) >= 1
            }
            #expect(try process.errorSoFar().contains("nightly report"))
            try await holder.execute("rollback")
            await holder.close()
            let result = try await process.result()
            #expect(result.status == 0, "\(result.error)")
        }
    }

    /// The projection whose table is gone fails by itself, and goes on once the table is back.
    @Test func aMissingTableFailsItsProjectionAlone() async throws {
        let yaml =
            Self.configuration + """
                  - name: others
                    from: [shop.orders]
                    key: id
                    sequence: version
                    columns: { id: bigint, version: bigint }
                service: { lease_ttl: 1s }
                server: { listen: none }
                sources: [{ name: logs, type: files, paths: ["l/*"], follow: true }]

                """
        try await withWorkplace(yaml) { place, connection in
            try FileManager.default.createDirectory(
                at: place.folder.appendingPathComponent("l"),
                withIntermediateDirectories: false
            )
            _ = try place.write("l/a.ndjson", lines: Array(Self.lines[..<100]))
            let process = try TidemarkProcess(
                ["run", "--no-deliver"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            try await connection.until("select count(*)::text from others", is: "100", within: .seconds(60))
            try await connection.execute("alter table tidemark_internal.orders_entities rename to kept")
            _ = try place.write("l/b.ndjson", lines: Array(Self.lines[100...]))
            try await connection.until("select count(*)::text from others", is: "400", within: .seconds(60))
            try await wait("the reason is said", atMost: .seconds(30)) {
                try Self.count("projection orders: failed", in: process.errorSoFar()) >= 1
            }
            let said = try process.errorSoFar()
            #expect(said.contains("tidemark drop orders"), "\(said)")
            try await connection.execute("alter table tidemark_internal.kept rename to orders_entities")
            try await connection.until("select count(*)::text from orders", is: "400", within: .seconds(90))
            process.send(SIGTERM)
            #expect(try await process.result().status == 0)
        }
    }
}
