import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// What creates and extends relations, and what a run that may not says.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct MigrateTests {
    private static func yaml(_ columns: String) -> String {
        """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint\(columns) }
        """
    }

    private static let line = #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"note":"a"}}"#

    @Test func withoutMigratingARunNamesTheCommandThatMakesWhatIsMissing() async throws {
        try await withWorkplace(Self.yaml("")) { place, connection in
            let log = try place.write("log.ndjson", lines: [Self.line])
            func refused(_ what: String) async throws {
                let result = try await place.run("replay", "--no-migrate", "--no-deliver", log.path)
                #expect(result.status == 78)
                #expect(
                    result.error.contains(what) && result.error.contains("run `tidemark migrate`"),
                    "\(result.error)"
                )
            }
            try await refused("the database has no Tidemark schema")
            let schemas = "select count(*) from pg_namespace where nspname like 'tidemark%'"
            #expect(try await connection.number(schemas) == 0)
            try await place.succeed("migrate")
            try await place.succeed("replay", "--no-migrate", "--no-deliver", log.path)
            try place.write("tidemark.yaml", Self.yaml(", note: text"))
            try await refused("the relations of projection orders lack \"note\"")
            try await place.succeed("migrate")
            try await place.succeed("replay", "--no-migrate", "--no-deliver", log.path)
            #expect(try await connection.rows("select id, note from orders") == [["1", "∅"]])
            try place.write("tidemark.yaml", Self.yaml("").replacing("name: orders", with: "name: others"))
            try await refused("the relations of projection others are not there")
        }
    }

    /// A command that is refused has given the projection no other definition, under which others would stop to write it.
    @Test(arguments: ["replay", "run"])
    func aRefusedReadingChangesNothing(_ command: String) async throws {
        let source = """

            server: { listen: none }
            sources: [{ name: logs, type: files, paths: [log.ndjson], follow: true }]
            """
        try await withWorkplace(Self.yaml(", note: text") + source) { place, connection in
            let log = try place.write("log.ndjson", lines: [Self.line])
            try await place.succeed("replay", "--no-deliver", log.path)
            let stored = "select definition::text from tidemark_internal.projections"
            let before = try await connection.value(stored)
            try place.write("tidemark.yaml", Self.yaml("") + source.replacing("follow: true", with: "absent: 'null'"))
            if command == "replay" {
                let result = try await place.run("replay", "--no-deliver", log.path)
                #expect(result.status == 78 && result.error.contains("absent (was unchanged"), "\(result.error)")
            } else {
                let service = try TidemarkProcess(
                    ["run", "--no-deliver", "--migrate", "--log-format", "text"],
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                defer { service.kill() }
                try await wait("the setting is named") {
                    try service.errorSoFar().contains("absent (was unchanged")
                }
            }
            #expect(try await connection.value(stored) == before)
        }
    }

    /// It makes what an empty database lacks, and changes what is there only with `--migrate`.
    @Test func aServiceChangesTheSchemaWhenItIsTold() async throws {
        let source = """

            server: { listen: none }
            sources: [{ name: logs, type: files, paths: [log.ndjson], follow: true }]
            """
        try await withWorkplace(Self.yaml("") + source) { place, connection in
            try place.write("log.ndjson", lines: [Self.line])
            func serve(_ arguments: [String] = [], until sql: String, is value: String) async throws -> String {
                let service = try TidemarkProcess(
                    ["run", "--no-deliver", "--log-format", "text"] + arguments,
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                defer { service.kill() }
                try await connection.until(sql, is: value)
                service.send(SIGTERM)
                let result = try await service.result()
                #expect(result.status == 0, "\(result.error)")
                return result.error
            }
            let refusal =
                "select substring(reason from 'lack \"note\"; run `tidemark migrate`') from tidemark.checks where reason <> ''"
            let columns = """
                select string_agg(attname, ' ' order by attnum) from pg_attribute
                where attrelid = 'orders'::regclass and attname in ('id', 'note')
                """
            _ = try await serve(until: "select count(*)::text from orders", is: "1")
            try place.write("tidemark.yaml", Self.yaml(", note: text") + source)
            _ = try await serve(until: refusal, is: "lack \"note\"; run `tidemark migrate`")
            #expect(try await connection.value(columns) == "id")
            _ = try await serve(["--migrate"], until: columns, is: "id note")
            // A wider type is another column too.
            let types =
                "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'orders'::regclass and attname = 'n'"
            try place.write("tidemark.yaml", Self.yaml(", note: text, n: integer") + source)
            _ = try await serve(["--migrate"], until: types, is: "integer")
            try place.write("tidemark.yaml", Self.yaml(", note: text, n: bigint") + source)
            let others =
                "select substring(reason from 'columns of projection orders') from tidemark.checks where reason <> ''"
            _ = try await serve(until: others, is: "columns of projection orders")
            _ = try await serve(["--migrate"], until: types, is: "bigint")
            try await connection.execute(
                "delete from tidemark_internal.migrations where version = (select max(version) from tidemark_internal.migrations)"
            )
            let older = try TidemarkProcess(
                ["run", "--no-deliver", "--log-format", "text"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            defer { older.kill() }
            try await wait("the version is named") {
                try older.errorSoFar().contains("the database lacks schema version")
            }
        }
    }

    /// What is compared under another configuration than it was written under would look damaged.
    @Test func verifyRefusesAConfigurationThatIsNotTheStoredOne() async throws {
        try await withWorkplace(Self.yaml("")) { place, _ in
            let log = try place.write("log.ndjson", lines: [Self.line])
            try await place.succeed("replay", "--no-deliver", log.path)
            try await place.succeed("verify", "orders")
            for (yaml, complaint) in [
                (Self.yaml(", amount: bigint"), "`tidemark migrate` adopts this one"),
                (
                    Self.yaml("").replacing("sequence: version", with: "sequence: version\n    contiguous: true"),
                    "contiguous"
                ),
                (
                    Self.yaml("").replacing("sequence: version", with: "sequence: version\n    table: public.zzz"),
                    "table"
                ),
            ] {
                try place.write("tidemark.yaml", yaml)
                for arguments in [["verify", "orders"], ["verify", "orders", "--against", log.path]] {
                    let result = try await place.run(arguments)
                    #expect(result.status == 78 && result.error.contains(complaint), "\(arguments): \(result)")
                }
            }
        }
    }

    @Test func aRoleThatMayCreateNothingIsToldSo() async throws {
        try await withWorkplace(Self.yaml("")) { place, connection in
            let role = "reader_\(UInt32.random(in: .min ... .max))"
            try await connection.execute("create role \(role) login")
            let log = try place.write("log.ndjson", lines: [Self.line])
            let result = try await TidemarkProcess.run(
                ["replay", "--no-deliver", log.path],
                environment: ["DATABASE_URL": place.database.url.replacing("tidemark@", with: "\(role)@")],
                directory: place.folder
            )
            try await connection.execute("drop role \(role)")
            #expect(result.status == 78, "\(result.error)")
            #expect(result.error.contains("this role may not make what is missing (permission denied"))
            #expect(result.error.contains("run `tidemark migrate`"))
        }
    }

    /// What a role may have set otherwise, and a writer that may create nothing.
    @Test func anOwnerThatMigratesAndAWriterThatOnlyWritesSuffice() async throws {
        let yaml = Self.yaml(", status: text").replacing(
            "sequence: version",
            with: "sequence: version\n    state: status\n    milestones: { shipped: { state: shipped } }"
        )
        try await withWorkplace(yaml) { place, connection in
            let role = "writer_\(UInt32.random(in: .min ... .max))"
            try await connection.execute("create role \(role) login")
            for setting in [
                "search_path = nowhere", "statement_timeout = 1", "lock_timeout = 1", "datestyle = 'German'",
                "default_transaction_isolation = serializable", "default_transaction_read_only = on",
                "timezone = 'Asia/Tokyo'", "intervalstyle = sql_standard", "idle_in_transaction_session_timeout = 1",
            ] { try await connection.execute("alter role \(role) set \(setting)") }
            try await place.succeed("migrate", "--writer", role)
            let log = try place.write(
                "log.ndjson",
                lines: (1...50).map {
                    #"{"table":"shop.orders","op":"insert","after":{"id":\#($0),"version":1,"status":"shipped"}}"#
                } + ["no message"]
            )
            for arguments in [
                ["replay", "--no-migrate", "--no-deliver", log.path], ["prune", "--older-than", "1d"],
                ["forget", "orders", "7"], ["status"], ["verify", "orders"], ["show", "orders", "8"],
                ["deadletters", "drop", "--all", "--yes"], ["deliveries", "list"],
            ] {
                let result = try await TidemarkProcess.run(
                    arguments,
                    environment: ["DATABASE_URL": place.database.url.replacing("tidemark@", with: "\(role)@")],
                    directory: place.folder
                )
                #expect(result.status == 0, "\(arguments): \(result.error)\(result.output)")
            }
            #expect(try await connection.number("select count(*) from orders_milestones") == 50)
            #expect(try await connection.value("select status from orders where id = 7") == "∅")
            try await connection.execute("drop owned by \(role) cascade; drop role \(role)")
        }
    }

    /// PostgreSQL asks for CREATE on the database even of `create schema if not exists` for a schema that is there.
    @Test func inSchemasThatAreThereNoRightOnTheDatabaseIsNeeded() async throws {
        func yaml(_ table: String) -> String {
            Self.yaml("").replacing("sequence: version", with: "sequence: version\n    table: \(table)")
        }
        try await withWorkplace(yaml("shop.orders")) { place, connection in
            let role = "writer_\(UInt32.random(in: .min ... .max))"
            let schemas = ["tidemark", "tidemark_internal", "shop", "archive"]
            try await connection.execute(
                "create role \(role) login; "
                    + schemas.map { "create schema \($0) authorization \(role)" }.joined(separator: "; ")
            )
            let url = place.database.url.replacing("tidemark@", with: "\(role)@")
            func run(_ arguments: String...) async throws -> TidemarkProcess.Result {
                try await TidemarkProcess.run(
                    arguments,
                    environment: ["DATABASE_URL": url],
                    directory: place.folder
                )
            }
            func succeed(_ result: TidemarkProcess.Result) { #expect(result.status == 0, "\(result.error)") }
            let log = try place.write("log.ndjson", lines: [Self.line])
            succeed(try await run("replay", "--no-deliver", log.path))
            succeed(try await run("drop", "orders", "--yes"))
            succeed(try await run("replay", "--no-deliver", log.path))
            #expect(try await connection.number("select count(*) from shop.orders") == 1)
            try place.write("tidemark.yaml", yaml("archive.orders"))
            succeed(try await run("rebuild", "orders", "--no-deliver"))
            #expect(try await connection.number("select count(*) from archive.orders") == 1)

            try place.write("tidemark.yaml", yaml("missing.orders"))
            let refused = try await run("rebuild", "orders", "--no-deliver")
            #expect(refused.status != 0 && refused.error.contains("permission denied for database"), "\(refused.error)")
            try await connection.execute("drop owned by \(role) cascade; drop role \(role)")
        }
    }
}
