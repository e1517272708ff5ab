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
        discussion: """
            `replay` does the same when it starts. --print only shows the SQL, and the
            least rights of three roles: an owner (migrate, rebuild, drop, prune
            --compact, verify with files), a writer (all other commands) and a reader
            (status, show, verify, and the lists).
            """
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var logging: LoggingOptions

    @Flag(help: "Print the SQL and the least rights the role needs; change nothing.")
    var print = false

    @Option(help: ArgumentHelp("With --print: the rights of the role that owns everything.", valueName: "role"))
    var owner: String?

    @Option(help: ArgumentHelp("Let this role write, and create nothing.", valueName: "role"))
    var writer: String?

    @Option(help: ArgumentHelp("Let this role read, and write nothing.", valueName: "role"))
    var reader: String?

    func validate() throws {
        if self.owner != nil, !self.print {
            throw ValidationError("--owner goes with --print: the database's owner gives that role its rights")
        }
    }

    func perform() async throws {
        let loaded = try self.source.loadIfPresent()
        let plans = (loaded?.configuration.projections ?? []).map { ProjectionPlan($0) }
        if self.print {
            try self.printSQL(plans, configured: loaded?.configuration.database)
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
                try await RoleGrants(plans).grant(toWriter: writer, on: connection)
                Terminal.print("role \(Terminal.escaped(writer)) may write")
            }
            if let reader {
                try await RoleGrants(plans).grant(toReader: reader, on: connection)
                Terminal.print("role \(Terminal.escaped(reader)) may read")
            }
            await connection.close()
        }
    }

    private func printSQL(_ plans: [ProjectionPlan], configured: String?) throws {
        let grants = RoleGrants(plans)
        let conninfo = self.database.database ?? ProcessInfo.processInfo.environment["DATABASE_URL"] ?? configured ?? ""
        let database = ConnectionOptions(conninfo).databaseName
        if let owner {
            guard let database else {
                throw CommandFailure(
                    ExitStatus.usage,
                    "the rights of --owner name the database: say which by --database"
                )
            }
            let others = [self.writer, self.reader].compactMap(\.self)
            Terminal.print(
                "-- To be run by a superuser, or by the owner of the database, who may become the new owner.\n"
            )
            for statement in grants.owner(owner, others: others, database: database) { Terminal.print(statement + ";") }
            Terminal.print("set role \(SQLText.identifier(owner));")
        } else {
            Terminal.print(grants.explanation(database: database ?? "shop"))
        }
        for migration in Migrator.migrations {
            Terminal.print("\n-- Schema version \(migration.version): \(migration.name)\n")
            Terminal.print(migration.sql)
            Terminal.print(Migrator.record(of: migration))
        }
        Terminal.print("\n-- Projections: \(plans.map(\.name).joined(separator: ", "))\n")
        for statement in try ProjectionRegistry.script(plans) { Terminal.print(statement + ";\n") }
        let others = (self.writer.map(grants.writer) ?? []) + (self.reader.map(grants.reader) ?? [])
        for statement in others { Terminal.print(statement + ";") }
        if self.owner != nil { Terminal.print("reset role;") }
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
/// - Parameters:
///   - role: what its sessions call themselves.
///   - endsBySignal: `false` for a command that watches signals itself.
func inspect(
    _ source: ConfigurationOptions,
    _ database: DatabaseOptions,
    role: String,
    endsBySignal: Bool = true,
    _ body: (Connection, ConnectionOptions) async throws -> Void
) async throws {
    let configured =
        database.overridesFile ? nil : try source.loadIfPresent().map { _ in try source.load(ignoresDatabase: false) }
    try await withDatabase(database, configured: configured?.configuration.database, role: role) { session in
        let connection = try await session.connectToExisting()
        if endsBySignal {
            try await endingBySignal(connection) { try await body(connection, session.options) }
        } else {
            try await body(connection, session.options)
        }
        await connection.close()
    }
}

/// Runs queries until the first SIGINT or SIGTERM, which has the server cancel the one that runs. Without that a query of a
/// process that is gone would run to its end.
/// - Parameter others: further connections that the body opens.
/// - Throws: the exit code of the signal.
func endingBySignal<R>(
    _ connection: Connection,
    _ others: ConnectionInterruptions? = nil,
    _ body: () async throws -> R
) async throws -> R {
    let signals = SignalWatch()
    await signals.start {
        others?.interrupt()
        connection.interrupt()
    }
    do {
        let result = try await body()
        guard signals.received == nil else { throw CancellationError() }
        return result
    } catch {
        guard let signal = signals.received else { throw error }
        await connection.close()
        throw ExitCode(128 + signal)
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
