import ArgumentParser
import Foundation
import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkCore
import TidemarkEphemeral
import TidemarkService
import TidemarkStore

/// The options that name the configuration.
struct ConfigurationOptions: ParsableArguments {
    @Option(help: "The configuration file (default: tidemark.yaml, unless --from is given).")
    var config: String?

    @Option(help: "Without a file: the table to read, database.table or schema.table; globs allowed.")
    var from: [String] = []

    @Option(help: "With --from: the key column, or several with commas.")
    var key: [String] = []

    @Option(help: "With --from: what orders the events: columns, $position, $event_time, $received.")
    var sequence: [String] = []

    @Option(help: "With --from: the column that holds the state.")
    var state: String?

    @Option(help: "With --from: the table to keep (default: public.<name>).")
    var table: String?

    func validate() throws {
        if !self.from.isEmpty, self.config != nil {
            throw ValidationError("--from is for use without a configuration file; give it or --config")
        }
        if !self.from.isEmpty, self.key.isEmpty || self.sequence.isEmpty {
            throw ValidationError("--from needs --key and --sequence, for example --key id --sequence version")
        }
    }

    /// The options with only `--config`, or with none.
    static func file(_ config: String?) throws -> ConfigurationOptions {
        // Parsed, because reading an option that was neither parsed nor set traps.
        try Self.parse(config.map { ["--config", $0] } ?? [])
    }

    /// - Parameter ignoresDatabase: the file's `database` is not needed, so its variables need not be set.
    func load(ignoresDatabase: Bool) throws -> LoadedConfiguration {
        guard self.from.isEmpty else {
            return try Configuration.quick(
                from: self.from,
                key: self.key,
                sequence: self.sequence,
                state: self.state,
                table: self.table
            )
        }
        return try ConfigurationLoader.load(path: self.config ?? "tidemark.yaml", ignoresDatabase: ignoresDatabase)
    }

    /// The file if there is one, for commands that only query the database.
    func loadIfPresent() throws -> LoadedConfiguration? {
        if self.from.isEmpty, !self.namesFile { return nil }
        return try self.load(ignoresDatabase: true)
    }

    /// There is a configuration file, or one is named.
    var namesFile: Bool {
        self.config != nil || self.from.isEmpty && FileManager.default.fileExists(atPath: "tidemark.yaml")
    }
}

/// The options that name the database.
struct DatabaseOptions: ParsableArguments {
    @Option(help: "A PostgreSQL URI or keywords; over DATABASE_URL, over the file. PG* variables count too.")
    var database: String?

    @Option(
        help:
            "Start a private PostgreSQL under this folder (Unix socket, no TCP) and use it. replay, run and migrate make it."
    )
    var ephemeral: String?

    @Flag(help: "With --ephemeral: leave the server running and print the psql line.")
    var keepServer = false

    func validate() throws {
        if self.database != nil, self.ephemeral != nil {
            throw ValidationError("--database and --ephemeral name two databases; give one of them")
        }
        if self.database?.isEmpty == true {
            throw ValidationError("--database is empty; write a URI or keywords, or leave the option away")
        }
        if self.keepServer, self.ephemeral == nil { throw ValidationError("--keep-server goes with --ephemeral") }
    }

    /// The configuration file's `database` is not needed.
    var overridesFile: Bool {
        self.database != nil || self.ephemeral != nil || ProcessInfo.processInfo.environment["DATABASE_URL"] != nil
    }

    /// The connection string that counts; `--ephemeral` has another one.
    fileprivate func conninfo(configured: String?) -> String {
        self.database ?? ProcessInfo.processInfo.environment["DATABASE_URL"] ?? configured ?? ""
    }

    /// - Throws: exit 78 where the connection string cannot be read.
    func check(configured: String?) throws(CommandFailure) {
        guard self.ephemeral == nil else { return }
        do throws(PostgresError) {
            try ConnectionOptions(self.conninfo(configured: configured)).check()
        } catch {
            throw CommandFailure(ExitStatus.configuration, "database: \(error.message)")
        }
    }
}

/// The options for writing events and delivering milestones.
struct WritingOptions: ParsableArguments {
    @Option(help: "Parallel writers (default: as configured, else the number of cores).")
    var lanes: Int?

    @Option(help: "Most events in one transaction of one lane (default: as configured, else 20000).")
    var batchEvents: Int?

    @Flag(help: "Reach milestones without delivering them, as for a first backfill.")
    var mute = false

    @Flag(inversion: .prefixedNo, help: "Send what is due, or leave it due.")
    var deliver = true

    @Option(help: "Seconds to continue delivering after the last commit.")
    var deliverWait: Double = 60

    @Flag(help: "Stop at the first dead letter, with exit code 65.")
    var strict = false

    @Option(help: "Seconds to wait for a database that goes away.")
    var databaseWait: Double = 300

    @Flag(
        inversion: .prefixedNo,
        help: "Create and extend schema and relations, or exit with 78 where `tidemark migrate` has to."
    )
    var migrate = true

    func validate() throws {
        if let lanes, !(1...256).contains(lanes) { throw ValidationError("--lanes takes a number from 1 to 256") }
        if let batchEvents, !(1...1_000_000).contains(batchEvents) {
            throw ValidationError("--batch-events takes a number from 1 to 1000000")
        }
        guard self.deliverWait >= 0, self.databaseWait >= 0 else {
            throw ValidationError("--deliver-wait and --database-wait take seconds, 0 or more")
        }
    }

    var databaseWaitLimit: Duration { Self.limit(self.databaseWait) }
    var deliverWaitLimit: Duration { Self.limit(self.deliverWait) }

    /// 30 years are for ever, and so is `inf`.
    private static func limit(_ seconds: Double) -> Duration { .seconds(min(seconds, 1e9)) }

    /// What delivers beside the writing, unless `--no-deliver`.
    func delivery(
        _ configuration: Configuration,
        _ session: DatabaseSession,
        _ logger: Logger
    ) throws -> ReplayDelivery? {
        guard self.deliver else { return nil }
        let version = TidemarkVersion.current
        return try ReplayDelivery(configuration, options: session.options, version: version, logger: logger)
    }

    /// Overrides the configuration by these options.
    func apply(to configuration: inout Configuration) {
        if let lanes = self.lanes { configuration.lanes = lanes }
        if let events = self.batchEvents { configuration.limits.batchEvents = events }
    }
}

/// The database session of one command.
struct DatabaseSession: Sendable {
    var options: ConnectionOptions
    private var server: EphemeralServer?
    private var keepsServer = false
    private var makesServer = false
    private var outage: OutageLog

    /// How long to wait for the first connection.
    static let connectLimit = Duration.seconds(30)

    fileprivate static func open(
        _ database: DatabaseOptions,
        configured: String?,
        role: String,
        makesServer: Bool,
        logger: Logger
    ) async throws -> DatabaseSession {
        let process = ProcessInfo.processInfo
        let name = "tidemark \(role) (pid \(process.processIdentifier) on \(process.hostName))"
        if let directory = database.ephemeral {
            let server = try await EphemeralServer.start(at: directory, makes: makesServer, logger: logger)
            return DatabaseSession(
                options: ConnectionOptions(server.connectionString, applicationName: name),
                server: server,
                keepsServer: database.keepServer,
                makesServer: makesServer,
                outage: OutageLog(logger)
            )
        }
        try database.check(configured: configured)
        let conninfo = database.conninfo(configured: configured)
        let isNamed = ["PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"].contains { process.environment[$0] != nil }
        if conninfo.isEmpty, !isNamed {
            logger.warning(
                "no database is named (--database, DATABASE_URL, `database` in the file), so libpq's own is tried; --ephemeral ./db starts a private one"
            )
        }
        let options = ConnectionOptions(conninfo, applicationName: name)
        return DatabaseSession(options: options, outage: OutageLog(logger))
    }

    /// The `psql` line of a private server.
    var queryCommand: String? { self.server?.psqlCommand }

    /// Connects, waiting for a server that is starting; one that cannot be reached is exit 69, and a database that
    /// cannot be used is exit 78.
    func connect() async throws -> Connection {
        do {
            return try await DatabaseRetry(wait: Self.connectLimit, outage: self.outage).perform {
                let connection = try await Connection.connect(self.options)
                do {
                    try await DatabaseRequirements.check(connection, self.options)
                } catch {
                    await connection.close()
                    throw error
                }
                return connection
            }
        } catch let error as PostgresError {
            throw CommandFailure(
                error.code == .invalidOptions ? ExitStatus.configuration : ExitStatus.databaseUnreachable,
                "database \(self.options.redactedDescription): \(error)\(error.remedy.map { "; \($0)" } ?? "")"
            )
        }
    }

    /// Connects, and brings the schema up to date. All of it is retried when the connection is lost, for
    /// ``connectLimit``, which also limits each connection attempt.
    func connectAsWriter(_ changes: SchemaChanges = .all, logger: Logger) async throws -> Connection {
        let retry = DatabaseRetry(wait: Self.connectLimit, outage: self.outage, isWorthIt: \.isConnectionLoss)
        return try await retry.perform {
            let connection = try await self.connect()
            do {
                let applied = try await Migrator.prepare(changes, on: connection)
                if let version = applied.last { logger.debug("schema brought to version \(version)") }
                return connection
            } catch let error as PostgresError {
                await connection.close()
                throw error
            }
        }
    }

    /// Connects to a database that Tidemark has been used with.
    func connectToExisting() async throws -> Connection {
        let connection = try await self.connect()
        guard try await Migrator.currentVersion(connection) > 0 else {
            throw CommandFailure(
                ExitStatus.configuration,
                "the database has no Tidemark schema yet; `tidemark migrate` or `tidemark replay` makes it"
            )
        }
        // Queries of this version would name relations that are not there.
        try await Migrator.requireCurrent(connection)
        return connection
    }

    /// Stops the private server unless it ran before or is to keep running, and prints how to reach or to stop it.
    func close(quietly: Bool = false) async {
        guard let server else { return }
        if self.keepsServer {
            await server.leaveRunning()
            if !quietly { Terminal.printError("the server keeps running; to query it:\n  \(server.psqlCommand)") }
            return
        }
        if server.wasRunning {
            await server.leaveRunning()
            if !quietly, self.makesServer {
                Terminal.printError("the server ran before and keeps running; to stop it:\n  \(server.stopCommand)")
            }
            return
        }
        do {
            try await server.stop()
            if !quietly { Terminal.printError("to start the server again:\n  \(server.restartCommand)") }
        } catch {
            Terminal.printError("tidemark: \(error)")
        }
    }
}

extension Configuration {
    func projection(_ name: String) throws(CommandFailure) -> ProjectionDefinition {
        if let projection = self.projections.first(where: { $0.name == name }) { return projection }
        let known = self.projections.map(\.name).joined(separator: ", ")
        throw CommandFailure(
            ExitStatus.configuration,
            "the configuration has no projection \"\(name)\"; it has \(known)"
        )
    }
}

/// Runs a body with a database and closes what was opened for it, also when the body fails.
/// - Parameter makesServer: whether `--ephemeral` makes a server where there is none.
func withDatabase(
    _ database: DatabaseOptions,
    configured: String?,
    role: String,
    makesServer: Bool = false,
    logger: Logger = LoggingOptions.standard,
    _ body: (DatabaseSession) async throws -> Void
) async throws {
    let session = try await DatabaseSession.open(
        database,
        configured: configured,
        role: role,
        makesServer: makesServer,
        logger: logger
    )
    do {
        try await body(session)
    } catch {
        await session.close()
        throw error
    }
    await session.close()
}

/// Log lines on standard error, one event a line.
struct StandardErrorLog: LogHandler {
    var logLevel = Logger.Level.info
    var metadata = Logger.Metadata()

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = self.metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let pairs = all.map { " \($0.key)=\($0.value)" }.joined()
        let level = event.level >= .warning ? "\(event.level): " : ""
        Terminal.printError("tidemark: " + Terminal.escaped("\(level)\(event.message)\(pairs)"))
    }
}

struct LoggingOptions: ParsableArguments {
    @Flag(help: "Say more on standard error.")
    var verbose = false

    var logger: Logger {
        self.verbose ? Logger(label: "tidemark") { _ in StandardErrorLog(logLevel: .debug) } : Self.standard
    }

    static let standard = Logger(label: "tidemark") { _ in StandardErrorLog() }
}
