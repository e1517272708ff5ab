import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Three roles with the rights that `migrate --print` names, and nothing else, run every command.
@Suite("rights of roles", .freshDatabase, .timeLimit(.minutes(10)))
struct RightsTests {
    private static let configuration = """
        sources:
          - { name: logs, type: files, paths: ["logs/*.ndjson"], follow: true }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            contiguous: true
            table: shop_floor.orders
            columns: { id: bigint, version: bigint, status: text }
            milestones: { shipped: { state: shipped, notify: [warehouse] } }
          - name: items
            from: [shop.items]
            key: id
            sequence: $position
            columns: { id: bigint }
        notifiers:
          warehouse: { type: webhook, url: "http://127.0.0.1:9/", secret: "whsec_dGlkZW1hcmsgdGVzdA==", allow_private: true }
        service: { lease_ttl: 2s }

        """

    private static func line(_ id: Int, _ version: Int = 1) -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"status":"shipped"}}"#
    }

    /// The roles' names need quotes.
    private struct Roles {
        let place: Workplace
        let number = UInt32.random(in: .min ... .max)

        func name(_ role: String) -> String { "\(role)-\(self.number)" }

        func environment(_ role: String) -> [String: String] {
            ["DATABASE_URL": self.place.database.url.replacing("tidemark@", with: "\(self.name(role))@")]
        }

        @discardableResult
        func run(
            _ role: String,
            _ arguments: String...,
            status: Int32 = 0,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> TidemarkProcess.Result {
            let result = try await TidemarkProcess.run(
                arguments,
                environment: self.environment(role),
                directory: self.place.folder
            )
            #expect(
                result.status == status && !result.error.contains("permission denied"),
                "\(role) \(arguments): \(result.status) \(result.error)",
                sourceLocation: sourceLocation
            )
            return result
        }
    }

    private func withRoles(_ body: (Roles, Workplace, Connection) async throws -> Void) async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let roles = Roles(place: place)
            let names = ["owner", "writer", "reader"].map(roles.name)
            let quoted = names.map { "\"\($0)\"" }
            try await connection.execute(
                """
                do $$ begin
                    execute format('revoke all on database %I from public', current_database());
                end $$;
                revoke all on schema public from public;
                """ + quoted.map { "create role \($0) login" }.joined(separator: ";\n")
            )
            let printed = try await place.succeed(
                "migrate",
                "--print",
                "--owner",
                names[0],
                "--writer",
                names[1],
                "--reader",
                names[2]
            ).output
            try await connection.execute(printed)
            try await body(roles, place, connection)
            for role in quoted {
                try await connection.execute("drop owned by \(role) cascade; drop role \(role)")
            }
        }
    }

    private func reads(_ roles: Roles, _ connection: Connection) async throws {
        for command in [
            "status", "deadletters list", "deliveries list", "verify orders", "show orders 2",
        ] {
            let words = command.split(separator: " ").map(String.init)
            let result = try await TidemarkProcess.run(
                words + ["--json"],
                environment: roles.environment("reader"),
                directory: roles.place.folder
            )
            #expect(result.status == 0, "\(command): \(result.error)")
        }
        try await roles.run("reader", "status")
        try await roles.run("reader", "notifiers", "list")
        try await roles.run(
            "reader",
            "deadletters",
            "show",
            connection.value("select max(id) from tidemark.dead_letters")
        )
        try await roles.run(
            "reader",
            "deliveries",
            "show",
            connection.value("select id from tidemark.deliveries limit 1")
        )
        let reader = try await Connection.connect(ConnectionOptions(roles.environment("reader")["DATABASE_URL"] ?? ""))
        for view in [
            "shop_floor.orders", "shop_floor.orders_timeline", "shop_floor.orders_history", "shop_floor.orders_gaps",
            "shop_floor.orders_milestones", "public.items", "tidemark.anomalies", "tidemark.processes",
            "tidemark.leases", "shop_floor.orders_as_of(now())", "shop_floor.orders_known_at(now())",
        ] { _ = try await reader.query("select * from \(view)") }
        await reader.close()
        // Neither relation nor schema that the reader could write or create in.
        let written = try await connection.rows(
            """
            select c.oid::regclass::text
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname !~ '^(pg_|information_schema)' and c.relkind in ('r', 'v', 'S')
                and case c.relkind
                    when 'S' then has_sequence_privilege('\(roles.name("reader"))', c.oid, 'usage, update')
                    else has_table_privilege('\(roles.name("reader"))', c.oid, 'insert, update, delete, truncate, trigger')
                end
            union all
            select nspname::text from pg_namespace where has_schema_privilege('\(roles.name("reader"))', oid, 'create')
            """
        )
        #expect(written.isEmpty, "\(written)")
    }

    @Test func eachRoleRunsItsCommandsWithWhatIsPrinted() async throws {
        try await self.withRoles { roles, place, connection in
            #expect(try await roles.run("owner", "migrate").output == "the schema is up to date\n")
            let log = try place.write("log.ndjson", lines: (1...50).map { Self.line($0) } + ["no message"])
            try await roles.run("writer", "replay", "--no-migrate", "--no-deliver", log.path)
            try await self.reads(roles, connection)
            try await roles.run("owner", "verify", "orders", "--against", log.path)
            try await roles.run("owner", "verify", "orders", "--shuffle", "1", log.path)
            try await self.serves(roles, place, connection)
            try await roles.run("writer", "prune", "--older-than", "1d")
            try await roles.run("writer", "prune", "--older-than", "1d", "--compact", status: 1)
            try await roles.run("owner", "prune", "--older-than", "1d", "--compact")
            try await roles.run("writer", "deadletters", "retry", "--all", status: 65)
            try await roles.run("writer", "notifiers", "disable", "warehouse")
            try await roles.run("writer", "notifiers", "enable", "warehouse")
            let due = "select id from tidemark.deliveries where status = 'due' limit 1"
            try await roles.run("writer", "deliveries", "cancel", connection.value(due))
            let dead = "select id from tidemark.deliveries where status = 'dead' limit 1"
            try await roles.run("writer", "deliveries", "retry", connection.value(dead))
            try await roles.run("writer", "deliveries", "prune", "--older-than-days", "1")
            for arguments in [["--dry-run"], [], [log.path]] {
                let result = try await TidemarkProcess.run(
                    ["rebuild", "orders", "--no-deliver"] + arguments,
                    environment: roles.environment("owner"),
                    directory: place.folder
                )
                #expect(result.status == 0, "\(arguments): \(result.error)")
            }
            try await roles.run("owner", "rebuild", "orders", "--abort", status: 1)
            try await roles.run("writer", "forget", "orders", "7")
            // Their rights are those on the new version too.
            try await self.reads(roles, connection)
            try await roles.run("writer", "replay", "--no-migrate", "--no-deliver", log.path)
            try await roles.run("writer", "deadletters", "drop", "--all", "--yes")
            try await roles.run("owner", "drop", "items", "--yes")
        }
    }

    /// `run`, what is done beside it, and `deliver`.
    private func serves(_ roles: Roles, _ place: Workplace, _ connection: Connection) async throws {
        try place.append("logs/a.ndjson", (51...60).map { Self.line($0) })
        let service = try TidemarkProcess(
            ["run", "--no-deliver", "--listen", "none"],
            environment: roles.environment("writer"),
            directory: place.folder
        )
        try await connection.until("select count(*)::text from shop_floor.orders", is: "60")
        try await roles.run("writer", "pause", "orders")
        try await roles.run("writer", "resume", "orders")
        try await roles.run("writer", "backfill", "orders")
        try await roles.run("writer", "seek", "logs", "--to", "start")
        try await roles.run("reader", "status")
        try place.append("logs/a.ndjson", [Self.line(61)])
        try await connection.until("select count(*)::text from shop_floor.orders", is: "61")
        service.send(SIGTERM)
        let served = try await service.result()
        #expect(served.status == 0 && !served.error.contains("permission denied"), "\(served.error)")
        let relay = try TidemarkProcess(["deliver"], environment: roles.environment("writer"), directory: place.folder)
        try await connection.until("select (sum(attempts) > 0)::text from tidemark.deliveries", is: "true")
        relay.send(SIGTERM)
        let delivered = try await relay.result()
        #expect(delivered.status == 143 && !delivered.error.contains("permission denied"), "\(delivered.error)")
    }

    @Test func aReaderChangesNothing() async throws {
        try await self.withRoles { roles, place, connection in
            let log = try place.write("log.ndjson", lines: [Self.line(1), "no message"])
            try await roles.run("writer", "replay", "--no-migrate", "--no-deliver", log.path)
            for command in [
                "replay --no-migrate --no-deliver log.ndjson", "forget orders 1", "prune --older-than 1min",
                "pause orders",
                "deadletters drop 1", "notifiers disable warehouse", "drop orders --yes", "rebuild orders",
                "migrate --writer x",
            ] {
                let result = try await TidemarkProcess.run(
                    command.split(separator: " ").map(String.init),
                    environment: roles.environment("reader"),
                    directory: place.folder
                )
                #expect(result.status == 78, "\(command): \(result)")
                #expect(result.error.contains("`tidemark migrate --print` prints the rights"), "\(result.error)")
                #expect(!result.error.contains("[statement"), "\(result.error)")
            }
            #expect(try await connection.number("select count(*) from shop_floor.orders") == 1)
        }
    }
}
