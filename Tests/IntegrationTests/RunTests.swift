import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// `tidemark run` with followed files, by the command line.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct RunTests {
    /// Runs a body beside a service that is stopped behind it.
    private static func withService(
        _ logs: FollowedLogs,
        _ database: String = TestDatabase.current.url,
        _ body: (TidemarkProcess) async throws -> Void
    ) async throws -> TidemarkProcess.Result {
        let service = try logs.run(database)
        do {
            try await body(service)
        } catch {
            service.kill()
            let result = try await service.result()
            Issue.record("\(error): \(result.error)")
            return result
        }
        service.send(SIGTERM)
        return try await service.result()
    }

    /// Another member, once the file has been read to its end, and one behind that.
    @Test func aCompressedFileThatGrowsAfterItsEndIsReadOn() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(60, seed: 3, in: folder)
            let connection = try await Self.connection()
            let third = lines.count / 3
            func append(_ part: ArraySlice<String>) throws {
                let plain = folder.appendingPathComponent("part")
                try Data(part.map { $0 + "\n" }.joined().utf8).write(to: plain)
                let gzip = Process()
                gzip.executableURL = URL(fileURLWithPath: "/bin/sh")
                gzip.arguments = ["-c", "gzip -c '\(plain.path)' >> '\(logs.file("a").path).gz'"]
                try gzip.run()
                gzip.waitUntilExit()
            }
            let result = try await Self.withService(logs) { _ in
                for end in [third, 2 * third, lines.count] {
                    try append(lines[(end == third ? 0 : end == lines.count ? 2 * third : third)..<end])
                    try await wait("\(end) lines") { try await counted(on: connection) == end }
                    // It ends once it has been quiet for a while.
                    try await connection.until(
                        "select count(*)::text from tidemark_internal.leases where not is_at_end",
                        is: "0",
                        within: .seconds(60)
                    )
                }
            }
            #expect(result.status == 0, "\(result.error)")
            await connection.close()
        }
    }

    /// What a source's settings say of its messages, for the first source of a service as for the others.
    @Test func eachSourceIsReadByItsOwnSettings() async throws {
        let yaml = """
            server: { listen: none }
            sources:
              - { name: one, type: files, paths: [one.ndjson], follow: true, epoch: 3, timezone: "+08:00" }
              - { name: two, type: files, paths: [two.ndjson], follow: true, epoch: 4 }
            projections:
              - { name: orders, from: shop.orders, key: id, sequence: $position, columns: { id: bigint } }
            """
        try await withWorkplace(yaml) { place, connection in
            for (id, name) in [(1, "one"), (2, "two")] {
                let line =
                    #"{"table":"shop.orders","op":"insert","after":{"id":\#(id)},"ts":"2026-03-01T09:30:00","position":[7]}"#
                try place.write("\(name).ndjson", line + "\n")
            }
            let service = try TidemarkProcess(
                ["run", "--no-deliver"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            try await wait("both rows") {
                if service.isOver { return true }
                return (try? await connection.number("select count(*) from orders")) == 2
            }
            service.send(SIGTERM)
            #expect(try await service.result().status == 0)
            let rows = "select id::text, _sequence, (_event_time at time zone 'UTC')::text from orders order by id"
            let found = try await connection.rows(rows)
            #expect(found == [["1", "epoch 3 7", "2026-03-01 01:30:00"], ["2", "epoch 4 7", "2026-03-01 09:30:00"]])
        }
    }

    /// A schema before the service makes it, so that it can be asked.
    private static func connection() async throws -> Connection {
        let connection = try await TestDatabase.current.connect()
        _ = try await Migrator.migrate(connection)
        return connection
    }

    private static func countedEvents(of projection: String, on connection: Connection) async throws -> Int {
        Int(
            try await connection.value(
                "select sum(applied + late + duplicate) from tidemark.counters where projection = '\(projection)'"
            )
        ) ?? 0
    }

    @Test func aFollowedFolderEndsAsOneReplayOfItsLines() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(300, seed: 1, in: folder)
            let connection = try await Self.connection()
            try logs.append(lines[..<100], to: "a")
            let end = try await Self.withService(logs) { _ in
                try await wait("the lines that were there") { try await counted(on: connection) == 100 }
                try logs.append(lines[100..<200], to: "a")
                try logs.rotate("a", .rename)
                try logs.append(lines[200..<300], to: "a")
                try logs.append(lines[300..<400], to: "b")
                try await wait("the lines behind a rotation") { try await counted(on: connection) == 400 }
            }
            #expect(end.status == 0, "\(end.error)")
            // Nothing is read twice by the next run.
            try logs.append(lines[400...], to: "b")
            _ = try await Self.withService(logs) { _ in
                try await wait("the rest") { try await counted(on: connection) == lines.count }
            }
            #expect(try await counted("applied + late + duplicate", on: connection) == lines.count)
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed())
            let held = try await connection.value("select count(*) from tidemark.leases where process is not null")
            #expect(held == "0")
            await connection.close()
        }
    }

    @Test func whatALockKeepsFromBeingCommittedIsDroppedAtTheEndOfTheDrain() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder, drainTimeout: "4s")
            let connection = try await Self.connection()
            let lines = try orderLines(40, seed: 8, in: folder)
            try logs.append(lines[..<1], to: "a")
            let end = try await Self.withService(logs) { _ in
                try await wait("the first line") { try await counted(on: connection) == 1 }
                try await connection.execute("begin; lock table tidemark_internal.orders_entities")
                try logs.append(lines[1...], to: "a")
                let waiting = "select count(*) > 0 from pg_locks where not granted and locktype = 'relation'"
                try await wait("a lane waits") { try await connection.value(waiting) == "t" }
            }
            #expect(end.status == 0, "\(end.error)")
            #expect(end.error.contains("could not be committed in time"), "\(end.error)")
            #expect(end.error.contains("stopped\n"), "\(end.error)")
            try await connection.execute("rollback")
            #expect(try await connection.value("select count(*) from tidemark.leases where process is not null") == "0")
            #expect(try await connection.value("select count(*) from tidemark.processes") == "0")
            _ = try await Self.withService(logs) { _ in
                try await wait("the rest") { try await counted(on: connection) == lines.count }
            }
            await connection.close()
        }
    }

    @Test func aConnectionStringThatCannotBeReadEndsItAtOnce() async throws {
        try await withFolder { folder in
            let result = try await FollowedLogs(folder).run("foo://x").result()
            #expect(result.status == 78, "\(result.error)")
            #expect(result.error.contains("postgresql://"), "\(result.error)")
            for command in ["status", "migrate"] {
                let other = try await TidemarkProcess.run(
                    [command, "--database", "foo://x"],
                    environment: [:],
                    directory: folder
                )
                #expect(other.status == 78, "\(command): \(other.error)")
            }
        }
    }

    @Test func aReloadAppliesLimitsAndNamesWhatCannotChange() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let file = folder.appendingPathComponent("tidemark.yaml")
            let yaml = try String(contentsOf: file, encoding: .utf8)
            let lines = try orderLines(60, seed: 7, in: folder)
            let connection = try await Self.connection()
            try logs.append(lines[..<50], to: "a")
            let end = try await Self.withService(logs) { service in
                func reload(_ text: String, says: String) async throws {
                    try Data(text.utf8).write(to: file)
                    service.send(SIGHUP)
                    try await wait(says) { try service.errorSoFar().contains(says) }
                }
                try await wait("the first lines") { try await counted(on: connection) == 50 }
                try await reload(yaml + "limits: { batch_events: 10 }\n", says: "read again")
                let other = yaml.replacing("key: id", with: "key: [id, status]")
                try await reload(other, says: "projections cannot change")
                try await reload(yaml + "limits: { batch_events: many }\n", says: "is not a whole number")
                try logs.append(lines[50...], to: "a")
                try await wait("the other lines") { try await counted(on: connection) == lines.count }
            }
            #expect(end.status == 0, "\(end.error)")
            await connection.close()
        }
    }

    @Test func aServiceThatIsKilledGoesOnBehindWhatIsCommitted() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(600, seed: 2, in: folder)
            let connection = try await Self.connection()
            let part = lines.count / 6
            for round in 0..<6 {
                let service = try logs.run(TestDatabase.current.url)
                let end = round == 5 ? lines.count : (round + 1) * part
                try logs.append(lines[(round * part)..<end], to: "file-\(round % 2)")
                // Killed in the middle of it, but for the last one.
                let enough = round == 5 ? lines.count : round * part + 1
                try await wait("round \(round)") { try await counted(on: connection) >= enough }
                service.kill()
                _ = try await service.result()
            }
            #expect(try await counted(on: connection) == lines.count)
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed())
            await connection.close()
        }
    }

    @Test func oneProjectionThatCannotBeWrittenDelaysNoOther() async throws {
        try await withFolder { folder in
            let second = Shop.projection.replacingOccurrences(of: "name: orders", with: "name: others")
                .replacingOccurrences(of: "projections:\n", with: "").components(separatedBy: "notifiers:")[0]
            let logs = try FollowedLogs(
                folder,
                Shop.projection.replacingOccurrences(of: "notifiers:", with: second + "notifiers:")
            )
            let lines = try orderLines(200, seed: 3, in: folder)
            let connection = try await Self.connection()
            try logs.append(lines[..<50], to: "a")
            let end = try await Self.withService(logs) { _ in
                try await wait("both projections") {
                    try await counted("applied + late + duplicate", on: connection) == 100
                }
                let storage = try await connection.value(
                    """
                    select format('%I.%I', schema_name, relation_name) from tidemark_internal.relations
                    where projection = 'others' and kind = 'table' and relation_name not like '%events%' limit 1
                    """
                )
                let table = storage
                try await connection.execute(
                    """
                    create function refuse() returns trigger language plpgsql as
                        $$ begin raise exception 'no writing today' using errcode = '42501'; end $$;
                    create trigger refuse before insert or update on \(table) for each row execute function refuse()
                    """
                )
                try logs.append(lines[50...], to: "a")
                try await wait("the other projection") {
                    try await Self.countedEvents(of: "orders", on: connection) == lines.count
                }
                try await connection.execute("drop trigger refuse on \(table)")
                try await wait("the mended projection") {
                    try await Self.countedEvents(of: "others", on: connection) >= lines.count
                }
            }
            #expect(end.error.contains("projection others") && end.error.contains("no writing today"), "\(end.error)")
            #expect(
                try await connection.rows("select id, status, version from orders order by id")
                    == connection.rows("select id, status, version from others order by id")
            )
            await connection.close()
        }
    }

    @Test func cutConnectionsLoseNothing() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(1500, seed: 4, in: folder)
            let connection = try await Self.connection()
            let end = try await Self.withService(logs) { _ in
                var done = 0
                while done < lines.count {
                    let next = min(lines.count, done + 60)
                    try logs.append(lines[done..<next], to: "file-\(done % 3)")
                    done = next
                    _ = try await connection.rows(
                        """
                        select pg_terminate_backend(pid) from pg_stat_activity
                        where application_name like 'tidemark run%' and datname = current_database()
                        order by random() limit 1
                        """
                    )
                }
                try await wait("all lines") { try await counted(on: connection) == lines.count }
            }
            #expect(end.status == 0, "\(end.error)")
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed())
            await connection.close()
        }
    }

    @Test func aSilentProxyIsNoticedWithinTheLease() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(300, seed: 5, in: folder)
            let connection = try await Self.connection()
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: TestDatabase.current.url))
            defer { proxy.close() }
            let half = lines.count / 2
            try logs.append(lines[..<half], to: "a")
            let end = try await Self.withService(logs, proxy.address.replacing(in: TestDatabase.current.url)) { _ in
                try await wait("the first half") { try await counted(on: connection) == half }
                proxy.silence()
                try logs.append(lines[half...], to: "a")
                try await wait("nothing is heard of it for its lease") {
                    try await connection.value("select count(*) from tidemark.processes where status = 'silent'") == "1"
                }
                proxy.cut(refusing: false)
                proxy.speak()
                try await wait("the second half") { try await counted(on: connection) == lines.count }
            }
            #expect(end.status == 0, "\(end.error)")
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed())
            await connection.close()
        }
    }
}
