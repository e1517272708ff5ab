import ArgumentParser
import Foundation
import LibPQ
import TidemarkCore
import TidemarkPostgres
import TidemarkService

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Create or update Tidemark's schema and the configured projections' relations.",
        discussion: "`replay` does the same when it starts. --print shows all SQL instead, and the least rights needed."
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var logging: LoggingOptions

    @Flag(help: "Print the SQL and the least rights the role needs; change nothing.")
    var print = false

    func run() async throws {
        try await self.reportingFailures {
            let loaded = try self.source.loadIfPresent()
            let plans = (loaded?.configuration.projections ?? []).map { ProjectionPlan($0) }
            if self.print {
                try self.printSQL(plans)
                return
            }
            let configured = try loaded.map { _ in
                try self.source.load(ignoresDatabase: self.database.overridesFile).configuration.database
            }
            try await withDatabase(self.database, configured: configured ?? nil, role: "migrate") { session in
                let connection = try await session.connect()
                let applied = try await Migrator.migrate(connection)
                Terminal.print(
                    applied.isEmpty ? "the schema is up to date" : "schema brought to version \(applied.last ?? 0)"
                )
                for plan in plans { try await ReplayStore.lock(plan.name, on: connection) }
                for note in try await ProjectionRegistry.prepare(plans, on: connection) { Terminal.print(note) }
                await connection.close()
            }
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
    }
}

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show projections, milestones, deliveries, dead letters and replays."
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "Show it again every two seconds, until interrupted.")
    var watch = false

    func run() async throws {
        try await self.reportingFailures {
            try await inspect(self.source, self.database) { connection in
                repeat {
                    let status = try await Status(connection)
                    if self.watch, !self.json { Terminal.print("\u{1B}[H\u{1B}[2J") }
                    Terminal.print(self.json ? status.json : status.human)
                    if self.watch { try await Task.sleep(for: .seconds(2)) }
                } while self.watch
            }
        }
    }
}

/// Opens the database for a command that only looks.
func inspect(
    _ source: ConfigurationOptions,
    _ database: DatabaseOptions,
    _ body: (Connection) async throws -> Void
) async throws {
    let configured =
        database.overridesFile ? nil : try source.loadIfPresent().map { _ in try source.load(ignoresDatabase: false) }
    try await withDatabase(database, configured: configured?.configuration.database, role: "inspect") { session in
        let connection = try await session.connectToExisting()
        try await body(connection)
        await connection.close()
    }
}

/// What `status` shows.
struct Status {
    private struct Projection {
        var name: String
        var table: String
        var live: Int64
        var deleted: Int64
        var milestones: [[String?]]
    }

    private var projections: [Projection] = []
    private let deliveries: Inspection.Rows
    private let deadLetters: Inspection.Rows
    private let replays: Inspection.Rows
    private let rebuilds: Inspection.Rows

    init(_ connection: Connection) async throws {
        for row in try await Inspection.projections(on: connection).rows {
            let name = row[0] ?? ""
            let counts = try await Inspection.entityCounts(of: name, on: connection)
            self.projections.append(
                Projection(
                    name: name,
                    table: row[1] ?? "",
                    live: counts.live,
                    deleted: counts.deleted,
                    milestones: try await Inspection.milestoneCounts(of: name, on: connection).rows
                )
            )
        }
        self.deliveries = try await Inspection.deliveryCounts(on: connection)
        self.deadLetters = try await Inspection.deadLetterCounts(on: connection)
        self.replays = try await Inspection.replays(limit: 5, on: connection)
        self.rebuilds = try await RebuildStore.unfinished(on: connection)
    }

    var human: String {
        var parts: [String] = []
        if self.projections.isEmpty { parts.append("no projections yet") }
        for projection in self.projections {
            var line = "\(projection.name) → \(projection.table): \(Terminal.grouped(projection.live)) live"
            if projection.deleted > 0 { line += ", \(Terminal.grouped(projection.deleted)) deleted" }
            for milestone in projection.milestones {
                line += "\n  \(milestone[0] ?? "") reached \(Terminal.grouped(Int64(milestone[1] ?? "") ?? 0))"
            }
            parts.append(Terminal.escapedLines(line))
        }
        for (title, rows) in [
            ("rebuilds (`tidemark rebuild` goes on with one, --abort removes it)", self.rebuilds),
            ("deliveries", self.deliveries), ("dead letters", self.deadLetters),
            ("replays (newest first)", self.replays),
        ] where !rows.rows.isEmpty {
            parts.append("\(title)\n" + Terminal.table([rows.columns] + rows.rows.map { $0.map { $0 ?? "" } }))
        }
        return parts.joined(separator: "\n\n")
    }

    var json: String {
        let projections = self.projections.map { projection in
            JSONOutput.object([
                ("name", JSONOutput.string(projection.name)), ("table", JSONOutput.string(projection.table)),
                ("live", "\(projection.live)"), ("deleted", "\(projection.deleted)"),
                (
                    "milestones",
                    JSONOutput.object(projection.milestones.map { ($0[0] ?? "", $0[1] ?? "0") })
                ),
            ])
        }
        return JSONOutput.object([
            ("projections", "[\(projections.joined(separator: ","))]"),
            ("rebuilds", self.rebuilds.json(numbers: [])),
            ("deliveries", self.deliveries.json(numbers: ["count"])),
            ("dead_letters", self.deadLetters.json(numbers: ["messages", "occurrences"])),
            (
                "replays",
                self.replays.json(numbers: [
                    "replay", "messages", "applied", "late", "duplicate", "dead_letters",
                ])
            ),
        ])
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

struct DropCommand: AsyncParsableCommand {
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

    func run() async throws {
        try await self.reportingFailures {
            try await inspect(self.source, self.database) { connection in
                guard try await Inspection.key(of: self.name, on: connection) != nil else {
                    throw CommandFailure(
                        ExitStatus.failed,
                        "there is no projection \"\(self.name)\"; `tidemark status` lists them"
                    )
                }
                guard self.yes else {
                    throw CommandFailure(
                        ExitStatus.failed,
                        "this drops everything that projection \(self.name) holds, its deliveries and dead letters too; "
                            + "say so with --yes"
                    )
                }
                try await ReplayStore.lock(self.name, on: connection)
                for relation in try await ProjectionRegistry.drop(self.name, on: connection) {
                    Terminal.print("dropped \(Terminal.escaped(relation))")
                }
            }
        }
    }
}

struct DeadLettersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deadletters",
        abstract: "Look at what was set aside.",
        subcommands: [List.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List dead letters, the newest first.")

        @Option(help: "Only this reason, for example value_invalid.")
        var reason: String?

        @Option(help: "Only this projection's.")
        var projection: String?

        @Option(help: "Only from this source.")
        var source: String?

        @Option(help: "At most so many.")
        var limit: Int64 = 100

        @Flag(help: "Print JSON.")
        var json = false

        @Option(help: "The configuration file, for its database.")
        var config: String?

        @OptionGroup var database: DatabaseOptions

        func run() async throws {
            try await self.reportingFailures {
                var filter = Inspection.DeadLetterFilter()
                filter.reason = self.reason
                filter.projection = self.projection
                filter.source = self.source
                filter.limit = self.limit
                try await inspect(config: self.config, self.database) { connection in
                    let rows = try await Inspection.deadLetters(filter, on: connection)
                    if self.json {
                        Terminal.print(rows.json(numbers: ["id", "row", "count"]))
                        return
                    }
                    if rows.rows.isEmpty { Terminal.print("no dead letters") }
                    for row in rows.rows {
                        let cells = row.map { Terminal.escaped($0 ?? "") }
                        let scope = cells[1].isEmpty ? "" : " \(cells[1])"
                        let times = cells[6] == "1" ? "" : ", \(cells[6]) times"
                        Terminal.print("#\(cells[0])\(scope) \(cells[2]) at \(cells[4]) row \(cells[5])\(times)")
                        Terminal.print("    \(cells[9])")
                    }
                }
            }
        }
    }
}

/// As ``inspect(_:_:_:)``, for commands whose options have other meanings for `--source` or `--from`.
func inspect(
    config: String?,
    _ database: DatabaseOptions,
    _ body: (Connection) async throws -> Void
) async throws {
    var source = ConfigurationOptions()
    source.config = config
    try await inspect(source, database, body)
}
