import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// `tidemark status` of a service.
@Suite("status of a service", .freshDatabase, .timeLimit(.minutes(10)))
struct ServiceStatusTests {
    /// It fails while it has no files, and is read to its end a moment after it has one.
    @Test
    func aSourceThatHasFailedRunsOnceItWasReadToItsEnd() async throws {
        let followed = #"paths: ["others/*.ndjson"], follow: true"#
        try #require(FollowedShop.configuration.contains(followed))
        let configuration = FollowedShop.configuration.replacing(followed, with: #"paths: ["others/*.ndjson"]"#)
        try await withWorkplace(configuration) { place, connection in
            let checks = "select string_agg(name || ' ' || status, '; ' order by name) from tidemark.checks"
            try await place.withService {
                try await connection.until(checks, is: "source others failed")
                try place.append("others/b.ndjson", [FollowedShop.line(11)])
                try await connection.until("parts", has: [11])
                try await connection.until(checks, is: "∅")
            }
        }
    }

    /// Nothing has been written into a file that is followed: the source runs, and the service is ready.
    @Test
    func aSourceWhoseOnlyFileIsEmptyRuns() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", [])
            try place.append("others/b.ndjson", [])
            let process = try TidemarkProcess(
                ["run", "--log-format", "text"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            try await wait("the service is ready") {
                try process.errorSoFar().contains("ready: every source and projection runs") || process.isOver
            }
            process.send(SIGTERM)
            let result = try await process.result()
            #expect(result.status == 0 && result.error.contains("ready: every"), "\(result.error)")
        }
    }

    /// The other projection goes on, and so does the report.
    @Test
    func aProjectionWhoseTableWasDroppedIsShownBesideTheOthers() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", [FollowedShop.line(1)])
            try await place.withService {
                try await connection.until("parts", has: [1])
                try await connection.execute("drop table tidemark_internal.parts_entities cascade")
                try place.append("logs/a.ndjson", [FollowedShop.line(2)])
                try await connection.until("orders", has: [1, 2])
                try await connection.until(
                    "select string_agg(name || ' ' || status, '; ' order by name) from tidemark.checks",
                    is: "projection parts failed"
                )
                let human = try await place.succeed("status").output
                for part in [
                    "parts → public.parts: cannot be read\n", "parts_entities", "tidemark drop parts",
                    "orders → public.orders: 2 live", "projection parts: failed since",
                ] {
                    #expect(human.contains(part), "\(part): \(human)")
                }
                #expect(try await place.succeed("status", "--json").output.contains(#""error":"relation"#))
            }
        }
    }

    @Test
    func itShowsProcessesStreamsAndWhatDoesNotRun() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            for number in 1...12 {
                let name = "logs/a-log-with-a-name-that-is-longer-than-most-are-\(number).ndjson"
                try place.append(name, [FollowedShop.line(number)])
            }
            // A damaged file keeps its source from being well.
            try FileManager.default.createDirectory(
                at: place.folder.appendingPathComponent("others"),
                withIntermediateDirectories: true
            )
            try Data([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255] + Array(repeating: 0xFF, count: 64))
                .write(to: place.folder.appendingPathComponent("others/bad.ndjson"))
            try await place.withService {
                try await connection.until("parts", has: Array(1...12))
                try await place.succeed("pause", "parts")
                try await connection.until(
                    "select string_agg(name || ' ' || status, '; ' order by name) from tidemark.checks",
                    is: "projection parts paused; source others failed"
                )
                let human = try await place.succeed("status").output
                expectReadable(human)
                for part in [
                    "\n  1: tidemark run (pid ", "\n    running, started 20",
                    "\npaused (tidemark resume NAME)\n  projection parts, since 20",
                    "\ndoes not run\n  source others: failed since 20", "\n    → ",
                    "\nstreams (the 10 furthest behind of ", " behind, at ", "more (tidemark.leases)",
                ] {
                    #expect(human.contains(part), "\(part): \(human)")
                }
                try await self.checkJSON(place)
            }
            // What a process said that is gone, or was fenced, says nothing of what runs.
            #expect(try await connection.number("select count(*) from tidemark.checks") == 0)
            let stopped = try await place.succeed("status").output
            #expect(stopped.contains("no process reads it") && !stopped.contains("does not run"), "\(stopped)")
        }
    }

    /// As of a full disk: heartbeats still succeed, and rows are not taken.
    @Test
    func aDatabaseThatTakesNoRowsIsTold() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", [FollowedShop.line(1)])
            try await place.withService {
                try await connection.until("parts", has: [1])
                try await connection.execute(
                    """
                    create function full_disk() returns trigger language plpgsql as $$
                    begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$;
                    create trigger full_disk before insert on tidemark_internal.parts_entities
                    execute function full_disk();
                    """
                )
                try place.append("logs/a.ndjson", [FollowedShop.line(2)])
                let told =
                    "select status || ' ' || reason || ' ' || remedy from tidemark.checks where name = 'database'"
                try await wait("it is told", atMost: .seconds(60)) {
                    try await connection.rows(told).first?.first?.contains("could not extend file") == true
                }
                let found = try await connection.rows(told).first?.first ?? ""
                #expect(found.hasPrefix("waiting") && found.contains("free space on the disk"), "\(found)")
                try await connection.execute("drop function full_disk() cascade")
                try await connection.until("parts", has: [1, 2])
                try await connection.until(
                    "select count(*)::text from tidemark.checks where name = 'database'",
                    is: "0"
                )
            }
        }
    }

    private func checkJSON(_ place: Workplace) async throws {
        let status = try await place.succeed("status", "--json").json()
        let projections = try #require(status["projections"] as? [[String: Any]])
        #expect(projections.map { $0["live"] as? Int } == [12, 12])
        #expect(projections.map { $0["deleted"] as? Int } == [0, 0])
        #expect(projections.map { $0["live_is_estimate"] as? Bool } == [false, false])
        let service = try #require(status["service"] as? [String: Any])
        let streams = try #require(service["streams"] as? [[String: Any]])
        #expect(streams.count == service["stream_count"] as? Int && streams.count >= 12)
        let first = try #require(streams.first { $0["source"] as? String == "logs" })
        #expect(
            Set(first.keys) == [
                "pass", "source", "stream", "projection", "process", "process_name", "offset", "behind", "since",
            ]
        )
        #expect(first["behind"] as? Int == 0 && first["process"] as? Int == 1)
        let checks = try #require(service["checks"] as? [[String: Any]])
        #expect(checks.map { $0["name"] as? String } == ["projection parts", "source others"])
        #expect(checks[1]["status"] as? String == "failed" && checks[1]["remedy"] is String)
        let paused = try #require(service["paused"] as? [[String: Any]])
        #expect(paused.map { $0["name"] as? String } == ["parts"])
    }

    #if os(Linux)
        @Test
        func theLimitOfOpenFilesIsNamedAndItGoesOnOnceThatIsRaised() async throws {
            try await withWorkplace(FollowedShop.configuration) { place, connection in
                try place.append("logs/a.ndjson", [FollowedShop.line(1)])
                let service = try TidemarkProcess(
                    ["run", "--lanes", "2", "--log-format", "text"],
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                try await connection.until("parts", has: [1])
                func limitOpenFiles(_ count: Int) throws {
                    // Swift does not see the function of that name.
                    let prlimit = URL(fileURLWithPath: "/usr/bin/prlimit")
                    let arguments = ["--pid", "\(service.identifier)", "--nofile=\(count):"]
                    let process = try Process.run(prlimit, arguments: arguments)
                    process.waitUntilExit()
                    try #require(process.terminationStatus == 0)
                }
                try limitOpenFiles(3)
                try place.append("logs/b.ndjson", [FollowedShop.line(2)])
                let check = "from tidemark.checks where name = 'source logs'"
                try await connection.until("select status \(check)", is: "failed")
                let said = try await connection.value("select reason || ' → ' || remedy \(check)")
                let expected = "Too many open files → raise the limit of open files (ulimit -n, LimitNOFILE=)"
                #expect(said.hasSuffix(expected), "\(said)")
                try limitOpenFiles(512)
                try await connection.until("parts", has: [1, 2])
                service.send(SIGTERM)
                #expect(try await service.result().status == 0)
            }
        }
    #endif

    @Test
    func itIsShownAgainUntilItIsInterrupted() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", [FollowedShop.line(1)])
            try await place.succeed("replay", "--no-deliver", "logs")
            let output = place.folder.appendingPathComponent("watched")
            let watching = try TidemarkProcess(
                ["status", "--watch", "--json"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder,
                output: output
            )
            let deadline = ContinuousClock.now + .seconds(60)
            while try String(contentsOf: output, encoding: .utf8).split(separator: "\n").count < 2 {
                try #require(ContinuousClock.now < deadline && !watching.isOver)
                try await Task.sleep(for: .milliseconds(20))
            }
            watching.send(SIGINT)
            let result = try await watching.result()
            #expect(result.status == 0 && result.error.isEmpty, "\(result.error)")
            let lines = try String(contentsOf: output, encoding: .utf8).split(separator: "\n")
            let looks = try lines.map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
            }
            #expect(looks[0]["rates"] == nil)
            let rates = try #require(looks[1]["rates"] as? [String: Double])
            #expect(rates == ["messages": 0, "applied": 0, "late": 0, "duplicate": 0, "dead_letters": 0])
        }
    }

    /// Large tables are not counted: the server's statistics say about how many rows there are.
    @Test
    func countsOfLargeTablesAreEstimates() async throws {
        let yaml =
            FollowedShop.configuration.replacing(
                "milestones: { shipped: { state: shipped } }",
                with: "milestones: { shipped: { state: shipped, notify: [warehouse] } }"
            )
                + """
                notifiers:
                  warehouse: { type: webhook, url: "https://warehouse.example/hooks", secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ==" }

                """
        try await withWorkplace(yaml) { place, connection in
            let deletes = (1...50).map {
                #"{"table":"shop.orders","op":"delete","before":{"id":\#($0),"status":"shipped","version":2}}"#
            }
            try place.append(
                "logs/a.ndjson",
                (1...200).map { FollowedShop.line($0, 1, "shipped") } + deletes + ["{", "["]
            )
            try await place.succeed("replay", "--no-deliver", "logs")
            try await connection.execute("analyze; select pg_stat_force_next_flush()")
            for isCounted in [true, false] {
                let limit: Int64 = isCounted ? .max : 0
                let counts = try await Inspection.entityCounts(of: "orders", countedBytes: limit, on: connection)
                #expect(counts.live == 150 && counts.deleted == 50 && counts.isEstimate == !isCounted, "\(counts)")
                let milestones = try await Inspection.milestoneCounts(of: "orders", countedBytes: limit, on: connection)
                #expect(milestones.rows.map(\.reached) == [200] && milestones.isEstimate == !isCounted)
                let deliveries = try await Inspection.deliveryCounts(countedBytes: limit, on: connection)
                #expect(deliveries.rows.rows.first == ["orders", "warehouse", "due", "200"])
                #expect(deliveries.rows.rows.count == (isCounted ? 2 : 3) && deliveries.isEstimate == !isCounted)
                let letters = try await Inspection.deadLetterCounts(countedBytes: limit, on: connection)
                #expect(letters.rows.rows.map { $0[1] } == ["malformed_json"] && letters.rows.rows[0][2] == "2")
            }
        }
    }
}
