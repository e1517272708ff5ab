import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// What ends a command before its time, and the exit code by which scripts know it.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct ExitStatusTests {
    @Test(arguments: [
        ["replay"], ["replay", "--lanes", "0", "x"], ["replay", "--lanes", "many", "x"], ["replay", "--nonsense", "x"],
        ["replay", "--from", "shop.orders", "x"], ["replay", "--batch-events", "0", "x"], ["replay", "-", "-"],
        ["nonsense"],
        ["replay", "--database", "x", "--ephemeral", "y", "x"], ["replay", "--keep-server", "x"],
        ["deliveries", "list", "--status", "lost"],
    ])
    func whatCannotBeMeantIsExit64(_ arguments: [String]) async throws {
        let result = try await TidemarkProcess.run(arguments)
        #expect(result.status == 64, "\(result.error)")
        #expect(!result.error.isEmpty && result.output.isEmpty)
    }

    @Test
    func anInputThatIsNotThereIsExit66BeforeAnythingIsApplied() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            for missing in ["b.ndjson", "*.none"] {
                let result = try await place.run("replay", "--no-deliver", log.path, place.folder.path + "/" + missing)
                #expect(result.status == 66, "\(result.error)")
                #expect(result.error.contains(missing))
            }
            #expect(try await connection.value("select to_regclass('orders')") == "∅")
        }
    }

    @Test
    func aDatabaseThatCannotBeReachedIsExit69WithoutItsPassword() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            let address = ServerAddress(conninfo: place.database.url)
            let conninfo = "host=\(address.host) port=\(address.port) dbname=no_such_database password=tell-nobody"
            let result = try await TidemarkProcess.run(
                ["replay", log.path],
                environment: ["DATABASE_URL": conninfo],
                directory: place.folder
            )
            #expect(result.status == 69, "\(result.error)")
            #expect(result.error.contains("no_such_database"))
            #expect(!result.error.contains("tell-nobody"))
        }
    }

    @Test(arguments: [
        "postgres://tide:S3cr@tPass!@127.0.0.1:54991/op", "postgres://tide:5/tPass!@127.0.0.1:54991/op",
        "postgres://tide:tPass!/x@127.0.0.1/op", "host=127.0.0.1 port=tPass!",
    ])
    func aMistypedURIIsExit78AtOnceWithoutItsPassword(_ database: String) async throws {
        try await withWorkplace(Shop.projection) { place, _ in
            for command in [["status"], ["migrate"], ["deadletters", "list"]] {
                let result = try await place.run(command + ["--database", database])
                #expect(result.status == 78, "\(result.error)")
                #expect(!(result.output + result.error).contains("tPass"), "\(result.error)")
                let isURI = database.hasPrefix("postgres")
                #expect(result.error.contains("write %40 for an @ in a password") == isURI, "\(result.error)")
            }
        }
    }

    @Test
    func aRelationThatIsMissingIsNamedWithWhatToDo() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n")).path
            try await place.succeed("replay", "--no-deliver", log)
            try await connection.execute("drop table tidemark_internal.orders_entities cascade")
            try place.write("b.ndjson", lines: [CommandLineTests.order(3, 1, "created")])
            for command in [
                ["replay", "--no-deliver", "b.ndjson"], ["show", "orders", "1"], ["verify", "orders"],
                ["prune", "--older-than", "1d"], ["forget", "orders", "1"], ["rebuild", "orders", "--no-deliver"],
            ] {
                let result = try await place.run(command)
                #expect(result.status == 1, "\(command): \(result)")
                let remedy =
                    "is missing; restore it from a back-up, or `tidemark drop PROJECTION` and read its logs again"
                #expect(result.error.contains(remedy), "\(command): \(result.error)")
                #expect(result.error.contains("relation ") && result.error.contains(".orders"), "\(result.error)")
                #expect(!result.error.contains("[statement") && !result.error.contains("SQLSTATE"))
            }
            try await place.succeed("drop", "orders", "--yes")
            try await place.succeed("replay", "--no-deliver", log)
            #expect(try await connection.value("select count(*) from orders") == "2")
        }
    }

    @Test
    func aServiceThatFailsSaysSoInTheFormOfItsLog() async throws {
        let yaml = "projections: [{ name: orders, from: shop.orders, key: id, sequence: version }]"
        try await withWorkplace(yaml) { place, connection in
            let message = "the configuration has no notifiers to deliver to"
            let text = try await place.run("deliver", "--log-format", "text")
            #expect(text.status == 78 && text.error == "tidemark: \(message)\n", "\(text.error)")
            let json = try await place.run("deliver")
            #expect(json.status == 78)
            let object = try JSONSerialization.jsonObject(with: Data(json.error.utf8)) as? [String: String]
            #expect(object?["level"] == "error" && object?["message"] == message, "\(json.error)")
        }
    }

    @Test
    func aWrongConfigurationIsExit78AndNamesFileLineAndKey() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            let wrong = try place.write(
                "wrong.yaml",
                "projections:\n  - name: orders\n    from: [shop.orders]\n    kex: id\n"
            )
            let result = try await place.run("replay", "--config", wrong.path, log.path)
            #expect(result.status == 78, "\(result.error)")
            for word in ["wrong.yaml", "4", "kex", "key"] { #expect(result.error.contains(word), "\(result.error)") }
            let missing = try await place.run("check", "--config", "none.yaml")
            #expect(missing.status == 78, "\(missing.error)")
            #expect(missing.error.contains("none.yaml"))
        }
    }

    @Test
    func aTableThatIsNotTidemarksIsNeverTouchedAndExit78() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            for statement in [
                "create table public.orders (id bigint primary key, mine text)",
                "create view public.orders_history as select 1 as x",
            ] {
                try await connection.execute(statement)
                if statement.contains("table") {
                    try await connection.execute("insert into public.orders values (1, 'untouched')")
                }
                let result = try await place.run("replay", "--no-deliver", log.path)
                #expect(result.status == 78, "\(result.error)")
                let name = statement.contains("table") ? "public.orders" : "public.orders_history"
                #expect(result.error.contains(name) && result.error.contains("table:"), "\(result.error)")
                if statement.contains("table") {
                    #expect(try await connection.rows("select * from public.orders") == [["1", "untouched"]])
                    try await connection.execute("drop table public.orders")
                } else {
                    #expect(try await connection.rows("select * from public.orders_history") == [["1"]])
                }
                #expect(try await connection.value("select to_regclass('tidemark_internal.orders_entities')") == "∅")
                #expect(try await connection.number("select count(*) from tidemark.relations") == 0)
            }
        }
    }

    @Test
    func aProjectionThatIsLockedIsExit1AndNamesWhoHoldsItAndSinceWhen() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            let holder = try await place.database.connect("tidemark replay (pid 4711 on elsewhere)")
            _ = try await Migrator.migrate(holder)
            try await PassStore.lock("orders", on: holder)
            for command in [["replay", "--no-deliver", log.path], ["migrate"]] {
                let result = try await place.run(command)
                #expect(result.status == 1, "\(result.error)")
                for word in ["orders", "pid 4711 on elsewhere", "since 20"] {
                    #expect(result.error.contains(word), "\(result.error)")
                }
            }
            await holder.close()
            // The server lets go of the lock a moment after the connection.
            while try await connection.number("select count(*) from pg_locks where pid = \(holder.backendPID)") > 0 {
                try Task.checkCancellation()
            }
            let result = try await place.run("replay", "--no-deliver", "--json", log.path)
            #expect(result.status == 0, "\(result.error)")
        }
    }
}
