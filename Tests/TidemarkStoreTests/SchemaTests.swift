import Foundation
import LibPQ
import Subprocess
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// A projection with something of everything.
private var sample: ProjectionPlan {
    var definition = ProjectionDefinition(
        name: "orders",
        from: ["shop.orders"],
        key: ["id"],
        sequence: [.column("version", type: nil)]
    )
    definition.columns = [
        .init(name: "id", type: .bigint), .init(name: "status", type: .text),
        .init(name: "amount", type: .numeric(precision: 12, scale: 2)), .init(name: "version", type: .integer),
    ]
    definition.state = .init(column: "status")
    definition.lifecycle = Lifecycle(initial: "created", transitions: ["created": ["shipped"]])
    definition.milestones = [Milestone(name: "shipped", state: "shipped")]
    return ProjectionPlan(definition)
}

@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct SchemaTests {
    @Test func theProgramCarriesTheSQLOfTheSchemaFolder() throws {
        let folder = root.appending(path: "schema")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path())
            .filter { $0.first?.isNumber == true }.sorted()
        #expect(files.count == Migrator.migrations.count)
        for (file, migration) in zip(files, Migrator.migrations) {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            #expect(text == migration.sql + "\n")
        }
    }

    @Test func migratingTwiceChangesNothing() async throws {
        let connection = try await Connection.connect(ConnectionOptions(TestDatabase.current.url))
        #expect(try await Migrator.migrate(connection) == Migrator.migrations.map(\.version))
        #expect(try await Migrator.migrate(connection).isEmpty)
        #expect(try await !ProjectionRegistry.prepare([sample], on: connection).isEmpty)
        #expect(try await ProjectionRegistry.prepare([sample], on: connection).isEmpty)
        await connection.close()
    }

    @Test func anUpgradeThatFailsLeavesNothingBehind() async throws {
        let connection = try await Connection.connect(ConnectionOptions(TestDatabase.current.url))
        // It blocks a later step.
        try await connection.execute(
            "create schema tidemark_internal; create table tidemark_internal.attempts (mine text)"
        )
        await #expect(throws: PostgresError.self) { _ = try await Migrator.migrate(connection) }
        #expect(try await Migrator.currentVersion(connection) == 0)
        let left = try await connection.query("select to_regclass('tidemark_internal.passes') is null")
        #expect(try left.bool(0, 0) == true)
        try await connection.execute("drop table tidemark_internal.attempts")
        #expect(try await Migrator.migrate(connection) == Migrator.migrations.map(\.version))
        await connection.close()
    }

    /// `schema/expected.sql` is what `pg_dump` 15 prints; other versions print views otherwise.
    @Test func theSchemaIsTheExpectedDump() async throws {
        let connection = try await Connection.connect(ConnectionOptions(TestDatabase.current.url))
        _ = try await Migrator.migrate(connection)
        _ = try await ProjectionRegistry.prepare([sample], on: connection)
        let version = try await connection.query("select current_setting('server_version_num')::int8").int64(0, 0) ?? 0
        let major = version / 10_000
        await connection.close()
        let dump = try await Subprocess.run(
            .name("pg_dump"),
            arguments: ["--schema-only", "--no-owner", "--no-privileges", TestDatabase.current.url],
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 16)
        )
        let text = dump.standardOutput
        #expect(dump.terminationStatus.isSuccess, "\(dump.standardError)")
        let statements =
            text.split(separator: "\n").filter { line in
                !line.hasPrefix("--") && !line.hasPrefix("SET ") && !line.hasPrefix("SELECT pg_catalog")
                    && !line.hasPrefix("\\")
            }.joined(separator: "\n") + "\n"
        let file = root.appending(path: "schema/expected.sql")
        if ProcessInfo.processInfo.environment["TIDEMARK_RECORD"] != nil {
            try statements.write(to: file, atomically: true, encoding: .utf8)
        }
        guard major == 15 else { return }
        #expect(try String(contentsOf: file, encoding: .utf8) == statements)
    }

    @Test func aRelationOfTheSameNameThatIsNotTidemarksIsLeftAlone() async throws {
        let connection = try await Connection.connect(ConnectionOptions(TestDatabase.current.url))
        _ = try await Migrator.migrate(connection)
        try await connection.execute(
            "create table public.orders_timeline (mine text); insert into public.orders_timeline values ('kept')"
        )
        await #expect(throws: StoreError.self) { _ = try await ProjectionRegistry.prepare([sample], on: connection) }
        let rows = try await connection.query("select mine from public.orders_timeline")
        #expect(try rows.text(0, 0) == "kept")
        let created = try await connection.query("select to_regclass('public.orders') is null")
        #expect(try created.bool(0, 0) == true)
        await connection.close()
    }

    @Test func anotherMeaningAsksForARebuildAndANewColumnDoesNot() async throws {
        let connection = try await Connection.connect(ConnectionOptions(TestDatabase.current.url))
        _ = try await Migrator.migrate(connection)
        _ = try await ProjectionRegistry.prepare([sample], on: connection)
        var widened = sample.definition
        widened.columns?.append(.init(name: "note", type: .text))
        #expect(
            try await ProjectionRegistry.prepare([ProjectionPlan(widened)], on: connection)
                == ["added column \"note\" to projection orders"]
        )
        _ = try await connection.query("select note from public.orders")
        var reordered = widened
        reordered.sequence = [.position]
        await #expect(throws: StoreError.self) {
            _ = try await ProjectionRegistry.prepare([ProjectionPlan(reordered)], on: connection)
        }
        await connection.close()
    }
}
