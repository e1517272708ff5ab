import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// What operators change of a running service.
@Suite("pause, resume, backfill", .freshDatabase, .timeLimit(.minutes(10)))
struct ServiceCommandTests {
    private static func line(_ id: Int) -> String { FollowedShop.line(id) }

    private static let pausedChecks = """
        select string_agg(name || ' ' || status || ', ' || remedy, '; ' order by name) from tidemark.checks
        """

    @Test
    func aPausedSourceOrProjectionGoesOnWhereItWasAndTheOthersMeanwhile() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            try place.append("others/b.ndjson", (11...13).map(Self.line))
            try await place.withService {
                try await connection.until("parts", has: [1, 2, 3, 11, 12, 13])
                var result = try await place.succeed("pause", "parts")
                #expect(result.output.hasPrefix("projection parts is paused: "))
                result = try await place.succeed("pause", "logs")
                #expect(result.output.hasPrefix("source logs is paused: "))
                try await connection.until(
                    Self.pausedChecks,
                    is: "projection parts paused, tidemark resume parts; source logs paused, tidemark resume logs"
                )
                try place.append("logs/a.ndjson", [4, 5].map(Self.line))
                try place.append("logs/new.ndjson", [6].map(Self.line))
                try place.append("others/b.ndjson", [14, 15].map(Self.line))
                try await connection.until("orders", has: [1, 2, 3, 11, 12, 13, 14, 15])
                #expect(try await connection.value("select max(id) from parts") == "13")

                result = try await place.succeed("resume", "parts", "--json")
                #expect(result.output == #"{"projection":"parts","paused":false,"changed":true}"# + "\n")
                try await connection.until("parts", has: [1, 2, 3, 11, 12, 13, 14, 15])
                try await place.succeed("resume", "logs")
                for table in ["orders", "parts"] {
                    try await connection.until(table, has: [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15])
                }
                try await connection.until(Self.pausedChecks, is: "∅")
            }
            for table in ["orders", "parts"] {
                #expect(try await connection.duplicates(of: table) == 0)
                #expect(
                    try await ReadModelDigest(table: table, key: "id", on: connection) == place.replayed(table),
                    "\(table)"
                )
            }
            let audit = try await connection.rows(
                """
                select action, subject, role = session_user, client ~ ('^tidemark ' || action || ' \\(pid \\d+ on '),
                    at > now() - interval '10 minutes'
                from tidemark.audit order by id
                """
            )
            let expected = [("pause", "parts"), ("pause", "logs"), ("resume", "parts"), ("resume", "logs")]
            #expect(audit == expected.map { [$0.0, $0.1, "t", "t", "t"] })
        }
    }

    /// `others/` is not there yet, which a service waits for.
    @Test
    func checkReadsWhatIsThereAndWarnsOfTheRest() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, _ in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            let output = try await place.succeed("check").output
            #expect(output.contains("warning: source others: "), "\(output)")
            #expect(output.contains("others/*.ndjson"), "\(output)")
            #expect(
                output.contains("the configuration is valid: 2 projections (orders, parts), 1 warning"),
                "\(output)"
            )
        }
    }

    @Test
    func theOthersGoOnWhileAProjectionCatchesUp() async throws {
        try await withWorkplace(FollowedShop.configuration + "lanes: 4\n") { place, connection in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            try await place.withService {
                try await connection.until("parts", has: [1, 2, 3])
                try await place.succeed("pause", "parts")
                try await connection.until("select count(*) from tidemark.checks where status = 'paused'", is: "1")
                try place.append("logs/a.ndjson", [FollowedShop.line(1, 2)])
                try await connection.until("select version from orders where id = 1", is: "2")
                // The lane that has this row cannot go on with what parts has missed.
                let holder = try await TestDatabase.current.connect()
                try await holder.execute("begin; select from parts where id = 1 for update")
                try await place.succeed("resume", "parts")
                try await connection.until(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
                    is: "1"
                )
                try place.append("logs/a.ndjson", (21...40).map(Self.line))
                for table in ["orders", "parts"] {
                    try await connection.until("select count(*) > 0 from \(table) where id > 20", is: "t")
                }
                #expect(try await connection.value("select version from parts where id = 1") == "1")
                try await holder.execute("commit")
                await holder.close()
                for table in ["orders", "parts"] { try await connection.until(table, has: [1, 2, 3] + (21...40)) }
                try await connection.until("select version from parts where id = 1", is: "2")
            }
            for table in ["orders", "parts"] { #expect(try await connection.duplicates(of: table) == 0) }
        }
    }

    /// With all of them paused no process has a pass; the one that is resumed goes on in the one that there is.
    @Test
    func oneOfSeveralPausedProjectionsGoesOnInTheSamePass() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            try await place.withService {
                try await connection.until("parts", has: [1, 2, 3])
                try await place.succeed("pause", "parts")
                try await place.succeed("pause", "orders")
                try await connection.until("select count(*) from tidemark.checks where status = 'paused'", is: "2")
                try place.append("logs/a.ndjson", [4].map(Self.line))
                try await place.succeed("resume", "parts")
                try await connection.until("parts", has: [1, 2, 3, 4])
                try await place.succeed("resume", "orders")
                try await connection.until("orders", has: [1, 2, 3, 4])
            }
            #expect(try await connection.value("select count(*) from tidemark.passes") == "1")
            #expect(try await connection.duplicates(of: "orders") == 0)
            #expect(try await connection.duplicates(of: "parts") == 0)
        }
    }

    /// What is paused stays so when the service starts.
    @Test
    func aServiceThatStartsLeavesAloneWhatIsPaused() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", [1].map(Self.line))
            try place.append("others/b.ndjson", [11].map(Self.line))
            try await place.withService { try await connection.until("parts", has: [1, 11]) }
            try await place.succeed("pause", "logs")
            try await place.succeed("pause", "parts")
            try place.append("logs/a.ndjson", [2].map(Self.line))
            try place.append("others/b.ndjson", [12].map(Self.line))
            try await place.withService {
                try await connection.until("orders", has: [1, 11, 12])
                try await connection.until("select count(*) from tidemark.checks where status = 'paused'", is: "2")
            }
            #expect(try await connection.value("select string_agg(id::text, ',' order by id) from orders") == "1,11,12")
            #expect(try await connection.value("select string_agg(id::text, ',' order by id) from parts") == "1,11")
        }
    }

    @Test
    func namesAreOfSourcesOrProjectionsAndRepeatingSaysSo() async throws {
        let yaml = FollowedShop.configuration.replacing("name: others", with: "name: orders")
        try await withWorkplace(yaml) { place, connection in
            #expect(try await place.fail(78, "pause", "logs").contains("tidemark migrate"))
            try place.append("others/b.ndjson", [1].map(Self.line))
            try await place.withService { try await connection.until("parts", has: [1]) }
            #expect(try await place.fail(1, "pause", "nothing").contains(#"no source or projection "nothing""#))
            #expect(try await place.fail(1, "pause", "parts", "--source").contains(#"no source "parts""#))
            #expect(try await place.fail(64, "pause", "orders").contains("--source or --projection"))
            #expect(try await place.fail(64, "resume", "orders", "--source", "--projection").contains("not both"))
            try await place.succeed("pause", "orders", "--source")
            #expect(
                try await place.succeed("resume", "orders", "--projection").output
                    == "projection orders is not paused\n"
            )
            #expect(
                try await place.succeed("pause", "orders", "--source").output == "source orders is paused already\n"
            )
            let json = try await place.succeed("pause", "orders", "--source", "--json").output
            #expect(json == #"{"source":"orders","paused":true,"changed":false}"# + "\n")
            #expect(
                try await connection.value("select count(*) from tidemark.audit") == "1",
                "only what has changed something"
            )
            #expect(
                try await connection.rows("select name from tidemark.sources where paused_at is not null") == [
                    ["orders"]
                ]
            )
        }
    }

    @Test
    func aBackfillReadsAllStreamsAgainForOneProjection() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", (1...3).map(Self.line))
            try place.append("others/b.ndjson", (11...13).map(Self.line))
            #expect(try await place.fail(78, "backfill", "parts").contains("tidemark migrate"))
            try await place.succeed("replay", "--no-deliver", "logs")
            #expect(try await place.fail(1, "backfill", "parts").contains("tidemark run"), "no service has read yet")
            #expect(try await place.fail(1, "backfill", "nothing").contains("tidemark status"))
            try await place.withService {
                try await connection.until("parts", has: [1, 2, 3, 11, 12, 13])
                let before = try await connection.duplicates(of: "parts")
                let result = try await place.succeed("backfill", "parts")
                #expect(result.output == "2 streams are read again for projection parts, from the beginning\n")
                try await connection.until(
                    "select sum(duplicate) - \(before) from tidemark.counters where projection = 'parts'",
                    is: "6"
                )
                // While it catches up, and behind that, everything is read for both.
                try place.append("logs/a.ndjson", [4].map(Self.line))
                for table in ["orders", "parts"] { try await connection.until(table, has: [1, 2, 3, 4, 11, 12, 13]) }
                #expect(try await connection.duplicates(of: "orders") == before)

                try await place.succeed("pause", "parts")
                try await connection.until("select count(*) from tidemark.checks where status = 'paused'", is: "1")
                let paused = try await place.succeed("backfill", "parts", "--json").output
                #expect(paused == #"{"projection":"parts","streams":2,"paused":true}"# + "\n")
                try await place.succeed("resume", "parts")
                try await connection.until(
                    "select sum(duplicate) - \(before) from tidemark.counters where projection = 'parts'",
                    is: "13"
                )
            }
            #expect(
                try await connection.rows(
                    "select subject, detail ->> 'streams' from tidemark.audit where action = 'backfill'"
                )
                    == [["parts", "2"], ["parts", "2"]]
            )
        }
    }
}
