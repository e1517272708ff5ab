import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// What commands read where little or nothing is said, and what they say of what cannot work.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct CommandInputTests {
    private static let events = [
        #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1}}"#,
        #"{"table":"shop.orders","op":"insert","after":{"id":2,"version":1}}"#,
    ]
    private static let projection = "projections: [{ name: orders, from: shop.orders, key: id, sequence: version }]\n"

    // MARK: Files

    @Test
    func replayWithoutAFileReadsTheSourcesPaths() async throws {
        let yaml = Self.projection + "sources: [{ name: shop, type: files, paths: [logs/*.ndjson] }]"
        try await withWorkplace(yaml) { place, connection in
            let logs = place.folder.appendingPathComponent("logs")
            try FileManager.default.createDirectory(at: logs, withIntermediateDirectories: true)
            let none = try await place.run("replay", "--no-deliver")
            #expect(none.status == 66 && none.error.contains("no file matches"), "\(none.error)")
            for (index, event) in Self.events.enumerated() { try place.write("logs/\(index).ndjson", lines: [event]) }
            let dry = try await place.succeed("replay", "--dry-run", "--json")
            #expect(try dry.json()["applied"] as? Int == 2)
            let replay = try await place.succeed("replay", "--no-deliver", "--json")
            #expect(try replay.json()["applied"] as? Int == 2)
            #expect(try await connection.value("select count(*) from orders") == "2")
            #expect(try await connection.value("select distinct source from orders_timeline") == "shop")
        }
    }

    @Test
    func replayWithNothingToReadIsAUsageErrorThatSaysWhatToName() async throws {
        try await withWorkplace(Self.projection) { place, _ in
            let quick = ["--from", "shop.orders", "--key", "id", "--sequence", "version"]
            for arguments in [["replay"], ["replay", "--dry-run"], ["replay"] + quick] {
                let result = try await place.run(arguments)
                #expect(result.status == 64, "\(result.error)")
                #expect(result.error.contains("there is nothing to read: name files"), "\(result.error)")
            }
        }
    }

    // MARK: Names

    @Test(arguments: ["*.*", "shop.*", "*", "shop.\"?\""])
    func tablesThatGiveNoNameAreRefusedByTheOptionThatNamesThem(_ from: String) async throws {
        try await withWorkplace(Self.projection) { place, connection in
            let log = try place.write("a.ndjson", lines: Self.events)
            let quick = ["replay", "--no-deliver", "--from", from, "--key", "id", "--sequence", "version"]
            let refused = try await place.run(quick + [log.path])
            #expect(refused.status == 78, "\(refused.error)")
            #expect(refused.error.contains("--from") && refused.error.contains("--table public.orders"))
            #expect(!refused.error.contains("--name"), "\(refused.error)")
            guard from != "*", from.contains("*") else { return }
            let named = try await place.run(quick + ["--table", "public.every_order", log.path])
            #expect(named.status == 0, "\(named.error)")
            #expect(try await connection.value("select count(*) from every_order") == "2")
        }
    }

    @Test
    func aTableWhoseNameIsATypeIsRefusedWithAnother() async throws {
        try await withWorkplace(Self.projection) { place, connection in
            let log = try place.write("a.ndjson", lines: Self.events)
            try await connection.execute(
                """
                create domain orders as text;
                create type returns_history as enum ('a', 'b');
                create type lines as (a integer)
                """
            )
            for table in ["orders", "returns", "lines"] {
                let yaml = Self.projection.replacing("key:", with: "table: public.\(table), key:")
                try place.write("tidemark.yaml", yaml)
                let result = try await place.run("replay", "--no-deliver", log.path)
                #expect(result.status == 78, "\(result.error)")
                #expect(result.error.contains("exists and is not Tidemark's"), "\(result.error)")
                #expect(result.error.contains("`table: public.\(table)_current`"), "\(result.error)")
                #expect(!result.error.contains("SQLSTATE"), "\(result.error)")
            }
            // The type of an array gives way.
            try await connection.execute("create type item as enum ('a')")
            try place.write("tidemark.yaml", Self.projection.replacing("key:", with: "table: public._item, key:"))
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await connection.value("select count(*) from _item") == "2")
        }
    }

    /// Such as by a projection's former name.
    @Test
    func aTableOfAnotherProjectionIsNamedAsOne() async throws {
        try await withWorkplace(Self.projection) { place, _ in
            let log = try place.write("a.ndjson", lines: Self.events)
            let yaml = Self.projection.replacing("key:", with: "table: public.same, key:")
            try place.write("tidemark.yaml", yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            let name = try #require(yaml.firstMatch(of: /name: (\w+)/)?.1)
            try place.write("tidemark.yaml", yaml.replacing("name: \(name)", with: "name: renamed"))
            for command in [["replay", "--no-deliver", log.path], ["migrate"]] {
                let result = try await place.run(command)
                #expect(result.status == 78, "\(result)")
                for part in ["public.same belongs to projection \(name)", "`tidemark drop \(name) --yes`", "_current`"]
                {
                    #expect(result.error.contains(part), "\(result.error)")
                }
            }
        }
    }

    /// Views that an operator dropped by mistake.
    @Test
    func halfOfASchemaIsSaidToBeHalf() async throws {
        try await withWorkplace(Self.projection) { place, connection in
            let log = try place.write("a.ndjson", lines: Self.events)
            try await place.succeed("replay", "--no-deliver", log.path)
            try await connection.execute("drop view tidemark.projections")
            let status = try await place.run("status")
            #expect(status.error.contains("restore the schemas tidemark and tidemark_internal"), "\(status)")
            try await connection.execute("set client_min_messages = warning; drop schema tidemark cascade")
            for command in [
                ["status"], ["migrate"], ["replay", "--no-deliver", log.path], ["drop", "orders", "--yes"],
            ] {
                let result = try await place.run(command)
                #expect(result.status == 78 && result.output.isEmpty, "\(command): \(result)")
                #expect(result.error.contains("the schema tidemark is missing"), "\(command): \(result.error)")
                #expect(result.error.contains("restore both from one back-up"), "\(command): \(result.error)")
            }
        }
    }

    @Test
    func aTableInASchemaOfTidemarksOwnIsRefused() async throws {
        try await withWorkplace(Self.projection) { place, _ in
            let log = try place.write("a.ndjson", lines: Self.events)
            for schema in ["tidemark", "tidemark_internal", "pg_catalog", "information_schema"] {
                let result = try await place.run(
                    "replay",
                    "--no-deliver",
                    "--from",
                    "shop.orders",
                    "--key",
                    "id",
                    "--sequence",
                    "version",
                    "--table",
                    "\(schema).x",
                    log.path
                )
                #expect(result.status == 78, "\(result.error)")
                #expect(result.error.contains("a schema that is not for tables of yours"), "\(result.error)")
            }
        }
    }

    /// The most columns are created and filled; one more is refused before the database is asked.
    @Test
    func moreColumnsThanATableHasAreRefused() async throws {
        func yaml(_ count: Int) -> String {
            let columns = ["id: bigint", "version: bigint"] + (2..<count).map { "c\($0): bigint" }
            return Self.projection.replacing(
                "key:",
                with: "contiguous: true, columns: {\(columns.joined(separator: ", "))}, key:"
            )
        }
        try await withWorkplace(yaml(1592)) { place, connection in
            let log = try place.write("a.ndjson", lines: Self.events)
            for command in [["check"], ["replay", "--no-deliver"]] {
                let result = try await place.run(command + [log.path])
                #expect(result.status == 78, "\(result.error)")
                #expect(result.error.contains("are 1592 columns"), "\(result.error)")
                #expect(result.error.contains("at most 1588 can be kept"), "\(result.error)")
            }
            try place.write("tidemark.yaml", yaml(1588))
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await connection.value("select count(*) from orders where c3 is null") == "2")
        }
    }

    @Test
    func namesThatNothingHasAreRefusedWithTheKnownOnes() async throws {
        let yaml = """
            projections: [{
              name: orders, from: shop.orders, key: id, sequence: version, state: status,
              milestones: { paid: { state: paid, notify: warehouse } }
            }]
            sources: [{ name: shop, type: files, paths: [logs] }]
            notifiers: { warehouse: { type: log }, accounts: { type: log } }
            """
        try await withWorkplace(yaml) { place, connection in
            let paid = #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"status":"paid"}}"#
            let keyless = #"{"table":"shop.orders","op":"insert","after":{"version":1}}"#
            try await place.succeed("replay", "--no-deliver", place.write("a.ndjson", lines: [paid, keyless]).path)
            func refuses(_ command: String, _ known: String, status: Int32 = 78) async throws {
                let result = try await place.run(command.split(separator: " ").map(String.init))
                #expect(result.status == status && result.output.isEmpty, "\(command): \(result)")
                #expect(result.error.contains("\"nosuch\"; known: \(known)"), "\(command): \(result.error)")
            }
            for action in ["enable", "disable"] {
                try await refuses("notifiers \(action) nosuch", "accounts, warehouse")
            }
            for command in ["deadletters list", "deadletters drop --yes", "deadletters retry"] {
                try await refuses("\(command) --projection nosuch", "orders")
                // Reasons are a fixed list, which no configuration can extend.
                try await refuses("\(command) --reason nosuch", "key_missing", status: 64)
                try await refuses("\(command) --source nosuch", "shop")
            }
            for command in ["list", "retry", "cancel"] {
                try await refuses("deliveries \(command) --projection nosuch", "orders")
                try await refuses("deliveries \(command) --notifier nosuch", "accounts, warehouse")
                try await refuses("deliveries \(command) --milestone nosuch", "paid")
            }
            #expect(try await connection.number("select count(*) from tidemark.disabled_notifiers") == 0)
            // One that is configured and has no deliveries yet, and one that is not configured any more.
            try await place.succeed("notifiers", "disable", "accounts")
            try place.write("tidemark.yaml", Self.projection.replacing("orders, from", with: "others, from"))
            try await place.succeed("notifiers", "enable", "accounts")
            try await place.succeed("notifiers", "disable", "warehouse")
            for command in ["deadletters", "deliveries"] {
                let left = try await place.succeed(command, "list", "--projection", "orders", "--json")
                #expect(left.output.contains("orders"), "\(left.output)")
            }
            // Without a configuration file a filter's name may be right all the same.
            try FileManager.default.removeItem(at: place.folder.appendingPathComponent("tidemark.yaml"))
            let note = try await place.succeed("deadletters", "list", "--projection", "nosuch")
            #expect(note.output == "no dead letters\n" && note.error.contains("note: there is no projection"))
            try await refuses("notifiers disable nosuch", "warehouse")
        }
    }

    @Test
    func aConfigurationThatIsNestedTooDeepSaysSo() async throws {
        let deep = Self.projection + "limits: " + String(repeating: "[", count: 2000)
        try await withWorkplace(deep) { place, _ in
            let result = try await place.run("check")
            #expect(result.status == 78 && result.error.contains("are nested too deep"), "\(result.error)")
            #expect(result.error.contains("tidemark.yaml:2") && !result.error.contains("yaml_"), "\(result.error)")
        }
    }

    // MARK: What check says of what other commands refuse

    @Test
    func checkRefusesNotifiersThatCannotBeMade() async throws {
        let secret = "type: webhook, secret: whsec_dGlkZW1hcmsgdGVzdA=="
        let yaml =
            Self.projection + """
                notifiers:
                  port: { \(secret), url: "https://wms.example:99999/hooks" }
                  scoped: { \(secret), url: "https://[fe80::1%25eth0]/hooks" }
                  ca: { \(secret), url: "https://wms.example/hooks", ca_file: none.pem }
                  good: { \(secret), url: "https://wms.example/hooks" }
                  listen: { type: postgres, channel: orders, database: "postgres://u:tell@nobody@h/db" }
                """
        try await withWorkplace(yaml) { place, _ in
            let check = try await place.run("check")
            #expect(check.status == 78 && check.output.isEmpty, "\(check)")
            for said in [
                "tidemark.yaml:3: notifiers.port: the URL's port is out of range",
                "tidemark.yaml:4: notifiers.scoped: the URL's host is not written in",
                "tidemark.yaml:5: notifiers.ca: the file \(place.folder.path)/none.pem (ca_file) cannot be read",
                "tidemark.yaml:7: notifiers.listen: database: the connection string cannot be read: it has an @",
            ] { #expect(check.error.contains(said), "\(check.error)") }
            #expect(!check.error.contains("good") && !check.error.contains("nobody"), "\(check.error)")
            let deliver = try await place.run("deliver", "--log-format", "text")
            #expect(deliver.status == 78 && deliver.error.contains("notifier ca: the file"), "\(deliver.error)")
        }
    }

    @Test
    func checkRefusesACertificateThatIsNotThere() async throws {
        let server = #"server: { listen: "127.0.0.1:0", tls: { certificate: none.pem, key: none.key } }"#
        try await withWorkplace(Self.projection + server) { place, _ in
            let check = try await place.run("check")
            #expect(check.status == 78 && check.error.contains("server: tls: cannot use"), "\(check)")
            #expect(check.error.contains("none.pem"), "\(check.error)")
        }
    }

    @Test(arguments: [
        ("${TIDEMARK_NOSUCH", "begins neither ${NAME} nor ${NAME:-default}"),
        ("${TIDEMARK_NOSUCH}", "the environment variable TIDEMARK_NOSUCH is not set"),
        ("postgres://u:tell@nobody@h/db", "write %40 for an @ in a password"),
    ])
    func checkRefusesADatabaseThatOtherCommandsRefuse(_ database: String, _ said: String) async throws {
        try await withWorkplace(Self.projection + "database: \"\(database)\"") { place, _ in
            for command in ["check", "status"] {
                let result = try await TidemarkProcess.run([command], directory: place.folder)
                #expect(result.status == 78 && result.error.contains(said), "\(result)")
                #expect(!result.error.contains("nobody"), "\(result)")
            }
            // Over the file as for other commands.
            try await place.succeed("check")
            let named = try await TidemarkProcess.run(
                ["check", "--database", place.database.url],
                directory: place.folder
            )
            #expect(named.status == 0, "\(named.error)")
        }
    }

    // MARK: What check says of events that no projection would keep

    @Test
    func checkWarnsWhereEveryEventWouldBeADeadLetter() async throws {
        try await withWorkplace(Self.projection.replacing("version", with: "revision")) { place, _ in
            let log = try place.write("a.ndjson", lines: Self.events)
            let all = try await place.succeed("check", log.path)
            let said =
                "projection orders: all 2 events that it takes of the sample would be dead letters: 2 sequence_missing"
            #expect(all.output.contains(said), "\(all.output)")
            #expect(all.output.contains("revision"), "\(all.output)")
            #expect(all.output.contains("none of the 2 messages of the sample would be applied"), "\(all.output)")
            #expect(all.output.contains("a.ndjson:1") && all.output.contains("2 warnings"), "\(all.output)")
            let keyless = #"{"table":"shop.orders","op":"insert","after":{"revision":1}}"#
            let good = #"{"table":"shop.orders","op":"insert","after":{"id":1,"revision":1}}"#
            let mixed = try place.write("b.ndjson", lines: Self.events + [keyless, good])
            let some = try await place.succeed("check", mixed.path)
            let part = "3 of 4 events that it takes of the sample would be dead letters: 2 sequence_missing"
            #expect(some.output.contains(part) && some.output.contains("1 key_missing"), "\(some.output)")
        }
    }

    @Test
    func checkWarnsWhereNoMessageIsRead() async throws {
        try await withWorkplace(Self.projection) { place, _ in
            let log = try place.write("a.ndjson", lines: [#"{"a":1}"#, #"{"b":2}"#, #"{"secret":"#])
            let result = try await place.succeed("check", log.path)
            let said = "all 3 messages of the sample would be dead letters: 2 unknown_format"
            #expect(result.output.contains(said) && result.output.contains("1 malformed_json"), "\(result.output)")
            #expect(!result.output.contains("secret"))
        }
    }
}
