import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// A configuration that gains and loses columns over one log.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(15)))
struct ConfigurationChangeTests {
    private static func yaml(_ columns: String) -> String {
        """
        projections:
          - name: orders
            from: shop.orders
            key: id
            sequence: version
            columns: { id: bigint, version: integer\(columns) }
        """
    }

    private static let log = (1...20).map {
        #"{"database":"shop","table":"orders","type":"insert","ts":1,"#
            + #""data":{"id":\#($0),"status":"created","version":1,"extra":"e\#($0)"}}"#
    }.joined(separator: "\n")

    @Test
    func aColumnThatComesGoesAndComesBackLeavesEveryEventTheSame() async throws {
        try await withFolder { folder in
            let file = folder.appending(path: "orders.ndjson")
            try Self.log.write(to: file, atomically: true, encoding: .utf8)
            let connection = try await TestDatabase.current.connect()
            _ = try await Migrator.migrate(connection)
            let first = try await replay(Self.yaml(", status: text"), [file], on: connection, .current)
            #expect(first.summary.applied == 20)
            for columns in [", status: text, extra: text", "", ", extra: text", ", status: text, extra: text"] {
                let again = try await replay(Self.yaml(columns), [file], on: connection, .current)
                #expect(again.summary.duplicate == 20, "\(columns)")
                #expect(again.summary.conflicts == 0, "\(columns)")
            }
            #expect(try await connection.number("select count(*) from orders_timeline") == 20)
            #expect(try await connection.number("select count(*) from orders where status = 'created'") == 20)
            await connection.close()
        }
    }

    @Test
    func aColumnThatComesBackWithAnotherTypeIsRefused() async throws {
        try await withFolder { folder in
            let file = folder.appending(path: "orders.ndjson")
            try Self.log.write(to: file, atomically: true, encoding: .utf8)
            let connection = try await TestDatabase.current.connect()
            _ = try await Migrator.migrate(connection)
            for columns in [", extra: text", ""] {
                _ = try await replay(Self.yaml(columns), [file], on: connection, .current)
            }
            await #expect(throws: StoreError.self) {
                _ = try await replay(Self.yaml(", extra: bigint"), [file], on: connection, .current)
            }
            await connection.close()
        }
    }

    /// What `migrate --print` shows, run by hand, is what `migrate` does.
    @Test
    func thePrintedSQLMakesADatabaseThatAReplayGoesOnWith() async throws {
        try await withFolder { folder in
            let file = folder.appending(path: "orders.ndjson")
            try Self.log.write(to: file, atomically: true, encoding: .utf8)
            let connection = try await TestDatabase.current.connect()
            let loaded = try ConfigurationLoader.load(
                yaml: Self.yaml(", status: text"),
                fileName: "tidemark.yaml",
                environment: [:],
                ignoresDatabase: true
            )
            for migration in Migrator.migrations {
                try await connection.execute(migration.sql)
                try await connection.execute(Migrator.record(of: migration))
            }
            let plans = loaded.configuration.projections.map { ProjectionPlan($0) }
            for statement in try ProjectionRegistry.script(plans) { try await connection.execute(statement) }
            #expect(try await Migrator.migrate(connection).isEmpty)
            #expect(try await ProjectionRegistry.prepare(plans, on: connection).isEmpty)
            let outcome = try await replay(Self.yaml(", status: text"), [file], on: connection, .current)
            #expect(outcome.summary.applied == 20)
            await connection.close()
        }
    }

    @Test
    func `another version of the reading rules asks for a rebuild`() async throws {
        try await withWorkplace(Self.yaml(", status: text")) { place, connection in
            let file = try place.write("orders.ndjson", Self.log)
            try await place.succeed("replay", file.path)
            let stored = "update tidemark_internal.projections set definition = "
            // Version 1 stored no version, version 2 stored it as "layout".
            let changes = [("definition - 'rules'", 1), (#"definition - 'rules' || '{"layout": 2}'"#, 2)]
            for (change, version) in changes {
                try await connection.execute(stored + change)
                let refused = try await place.run("replay", file.path)
                #expect(refused.status == 78, "\(refused.error)")
                #expect(refused.error.contains("version \(version) in the database"), "\(refused.error)")
                #expect(refused.error.contains("tidemark rebuild orders"), "\(refused.error)")
            }
            try await place.succeed("rebuild", "orders")
            let again = try await place.replay(file)
            #expect(again["duplicate"] as? Int == 20)
        }
    }

    /// Before the third version of the rules the unit of a number was guessed from its size, right from 1990 to 2100.
    @Test
    func `a timeline of older rules is not believed where a time may have been guessed wrong`() async throws {
        try await withWorkplace(Self.yaml(", at: timestamptz")) { place, connection in
            func line(_ id: Int, _ at: String) -> String {
                #"{"database":"shop","table":"orders","type":"insert","ts":1,"data":{"id":\#(id),"version":1,"at":"\#(at)"}}"#
            }
            let older = """
                update tidemark_internal.projections
                set definition = definition - 'rules' - 'readings' || '{"layout": 2}', sources = '{}'
                """
            let sound = try place.write(
                "sound.ndjson",
                lines: [line(1, "2026-03-01 09:30:15"), line(2, "infinity"), line(3, "2099-12-31 23:59:59")]
            )
            try await place.succeed("replay", sound.path)
            try await connection.execute(older)
            try await place.succeed("rebuild", "orders")
            #expect(try await place.replay(sound)["duplicate"] as? Int == 3)

            let odd = try place.write("odd.ndjson", lines: [line(4, "1978-01-11 21:31:40.799")])
            try await place.succeed("replay", odd.path)
            try await connection.execute(older)
            let refused = try await place.run("rebuild", "orders")
            #expect(refused.status == 78 && refused.error.contains("name the files"), "\(refused.error)")
            #expect(refused.error.contains("\"at\" holds times that an earlier version may have read"))
            try await place.succeed("rebuild", "orders", sound.path, odd.path)
            #expect(try await connection.number("select count(*) from orders") == 4)
        }
    }
}
