import ArgumentParser
import Foundation
import LibPQ
import TidemarkConfiguration
import TidemarkCore
import TidemarkStore

struct MigrateCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Create or update Tidemark's schema and the configured projections' relations.",
        discussion: "`replay` does the same when it starts. --print only shows the SQL, and the least rights."
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var logging: LoggingOptions

    @Flag(help: "Print the SQL and the least rights the role needs; change nothing.")
    var print = false

    @Option(help: ArgumentHelp("Let this role write, and create nothing.", valueName: "role"))
    var writer: String?

    func perform() async throws {
        let loaded = try self.source.loadIfPresent()
        let plans = (loaded?.configuration.projections ?? []).map { ProjectionPlan($0) }
        if self.print {
            try self.printSQL(plans)
            return
        }
        let configured = try loaded.map { _ in
            try self.source.load(ignoresDatabase: self.database.overridesFile).configuration.database
        }
        let logger = self.logging.logger
        try await withDatabase(
            self.database,
            configured: configured ?? nil,
            role: "migrate",
            makesServer: true,
            logger: logger
        ) {
            session in
            let connection = try await session.connect()
            let applied = try await Migrator.migrate(connection)
            Terminal.print(
                applied.isEmpty ? "the schema is up to date" : "schema brought to version \(applied.last ?? 0)"
            )
            let settings = ProcessSession.Settings(
                session.options,
                projections: plans.map(\.name),
                leaseTTL: loaded?.configuration.service.leaseTTL ?? ServiceSettings().leaseTTL,
                logger: logger
            )
            let notes = try await ProcessSession.with(connection, settings) { _ in
                try await ProjectionRegistry.prepare(plans, on: connection)
            }
            for note in notes { Terminal.print(note) }
            if let writer {
                try await Migrator.grant(writer: writer, plans, on: connection)
                Terminal.print("role \(Terminal.escaped(writer)) may write")
            }
            await connection.close()
        }
    }

    private func printSQL(_ plans: [ProjectionPlan]) throws {
        Terminal.print(Migrator.leastRights)
        for migration in Migrator.migrations {
            Terminal.print("\n-- Schema version \(migration.version): \(migration.name)\n")
            Terminal.print(migration.sql)
            Terminal.print(Migrator.record(of: migration))
        }
        Terminal.print("\n-- Projections: \(plans.map(\.name).joined(separator: ", "))\n")
        for statement in try ProjectionRegistry.script(plans) { Terminal.print(statement + ";\n") }
        guard let writer else { return }
        for statement in Migrator.grants(toWriter: writer, plans) { Terminal.print(statement + ";") }
    }
}

/// Opens the database for a command that only reads.
func inspect(
    _ source: ConfigurationOptions,
    _ database: DatabaseOptions,
    _ body: (Connection) async throws -> Void
) async throws {
    try await inspect(source, database, role: "inspect") { connection, _ in try await body(connection) }
}

/// As ``inspect(_:_:_:)``, for a command that opens sessions of its own.
/// - Parameter role: what its sessions call themselves.
func inspect(
    _ source: ConfigurationOptions,
    _ database: DatabaseOptions,
    role: String,
    _ body: (Connection, ConnectionOptions) async throws -> Void
) async throws {
    let configured =
        database.overridesFile ? nil : try source.loadIfPresent().map { _ in try source.load(ignoresDatabase: false) }
    try await withDatabase(database, configured: configured?.configuration.database, role: role) { session in
        let connection = try await session.connectToExisting()
        try await body(connection, session.options)
        await connection.close()
    }
}

extension Inspection.Rows {
    /// An array of objects; columns among `numbers` are written as numbers.
    func json(numbers: Set<String>) -> String {
        let objects = self.rows.map { row in
            JSONOutput.object(
                zip(self.columns, row).map { column, cell in
                    guard let cell else { return (column, "null") }
                    return (column, numbers.contains(column) ? cell : JSONOutput.string(cell))
                }
            )
        }
        return "[\(objects.joined(separator: ","))]"
    }
}

struct DropCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop",
        abstract: "Drop a projection: its relations, deliveries and dead letters. Only what Tidemark created."
    )

    @Argument(help: "The projection's name.")
    var name: String

    @Flag(help: "Yes, drop it.")
    var yes = false

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    func perform() async throws {
        try await inspect(self.source, self.database) { connection in
            guard try await Inspection.key(of: self.name, on: connection) != nil else {
                throw CommandFailure("there is no projection \"\(self.name)\"; `tidemark status` lists them")
            }
            guard self.yes else {
                throw CommandFailure(
                    "this drops everything that projection \(self.name) holds, its deliveries and dead letters too; "
                        + "say so with --yes"
                )
            }
            try await ProjectionLocks.lockOperations(on: self.name, with: connection)
            try await PassStore.lock(self.name, on: connection)
            for relation in try await ProjectionRegistry.drop(self.name, on: connection) {
                Terminal.print("dropped \(Terminal.escaped(relation))")
            }
        }
    }
}
