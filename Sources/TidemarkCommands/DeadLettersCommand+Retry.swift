import ArgumentParser
import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore

extension DeadLettersCommand {
    struct Retry: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "retry",
            abstract: "Run dead letters again, after the configuration or a column's type was corrected.",
            discussion: """
                Each is replayed at the offset of its first reading, for its own projection
                and row. An accepted letter is removed; a refused one keeps its number and
                gets the new reason. A retry can run at any time, because its row is
                compared like any other. The next replay sends the milestones it reaches.

                Exit codes: 0 all were accepted, 65 some were refused.
                """
        )

        @Argument(help: "Their numbers, as `list` shows them.")
        var ids: [Int64] = []

        @OptionGroup var filter: DeadLetterOptions

        @Flag(help: "All of them.")
        var all = false

        @Flag(help: "Print the outcome as JSON.")
        var json = false

        @Option(help: "The configuration file (default: tidemark.yaml).")
        var config: String?

        @OptionGroup var database: DatabaseOptions
        @OptionGroup var logging: LoggingOptions

        func validate() throws { try self.filter.validateChoice(ids: self.ids, all: self.all) }

        func perform() async throws {
            let filter = try self.filter.filter(ids: self.ids)
            let logger = self.logging.logger
            try await withConfiguredDatabase(self.config, self.database, role: "deadletters retry", logger: logger) {
                configuration,
                session,
                connection in
                try await self.filter.requireKnown(self.config, on: connection)
                let found = try await DeadLetterStore.count(filter, on: connection)
                let retry = DeadLetterRetry(configuration, options: session.options, logger: logger)
                let outcome = try await retry.run(filter, on: connection)
                if self.json { Terminal.print(json: Self.json(outcome)) } else { Terminal.print(Self.report(outcome)) }
                let missing = Set(self.ids).count - found
                if !self.ids.isEmpty, missing > 0 { throw CommandFailure("\(missing) of them are not there") }
                let left = outcome.refused.count + outcome.skipped.count
                if left > 0 {
                    throw CommandFailure(
                        ExitStatus.badData,
                        "\(left) dead letter\(left == 1 ? "" : "s") of \(found) did not go through"
                    )
                }
            }
        }

        private static func json(_ outcome: RetryOutcome) -> String {
            func list(_ letters: [RetryOutcome.Remaining]) -> String {
                let objects = letters.map { letter in
                    JSONOutput.object([
                        ("id", "\(letter.id)"), ("reason", JSONOutput.string(letter.reason)),
                        ("detail", JSONOutput.string(letter.detail)),
                    ])
                }
                return "[\(objects.joined(separator: ","))]"
            }
            let summary = outcome.summary
            let milestones = summary.milestones.sorted { $0.key < $1.key }.map { (name: $0.key, json: "\($0.value)") }
            return JSONOutput.object([
                ("retried", "\(outcome.retried)"), ("resolved", "\(outcome.resolved)"),
                ("applied", "\(summary.applied)"), ("late", "\(summary.late)"), ("duplicate", "\(summary.duplicate)"),
                ("filtered", "\(summary.filtered)"), ("milestones", JSONOutput.object(milestones)),
                ("refused", list(outcome.refused)), ("skipped", list(outcome.skipped)),
            ])
        }

        private static let shownMax = 20

        private static func report(_ outcome: RetryOutcome) -> String {
            guard outcome.retried + outcome.skipped.count > 0 else { return "no dead letters" }
            let summary = outcome.summary
            var lines = [
                "\(outcome.resolved) went through: \(summary.applied) applied, \(summary.late) late, "
                    + "\(summary.duplicate) duplicate, \(summary.filtered) filtered"
            ]
            for (name, count) in summary.milestones.sorted(by: { $0.key < $1.key }) where count > 0 {
                lines.append(
                    "\(Terminal.escaped(name)) newly reached by \(count); what is due goes out with the next replay"
                )
            }
            for (title, letters) in [("refused again", outcome.refused), ("not tried", outcome.skipped)]
            where !letters.isEmpty {
                lines.append("\(letters.count) \(title)")
                for letter in letters.prefix(Self.shownMax) {
                    lines.append("  #\(letter.id) \(Terminal.escaped(letter.reason))")
                    lines.append(Terminal.wrapped(letter.detail, indent: 4))
                }
                if letters.count > Self.shownMax {
                    lines.append("  and \(letters.count - Self.shownMax) more; `tidemark deadletters list`")
                }
            }
            return lines.joined(separator: "\n")
        }
    }
}

/// A configuration and a database that Tidemark has been used with, brought to this program's schema.
func withConfiguredDatabase(
    _ config: String?,
    _ database: DatabaseOptions,
    role: String,
    logger: Logger,
    _ body: (Configuration, DatabaseSession, Connection) async throws -> Void
) async throws {
    let loaded = try ConfigurationOptions.file(config).load(ignoresDatabase: database.overridesFile)
    for warning in loaded.warnings { logger.debug("\(warning)") }
    let configuration = loaded.configuration
    try await withDatabase(database, configured: configuration.database, role: role, logger: logger) { session in
        let connection = try await session.connectToExisting()
        _ = try await Migrator.migrate(connection)
        try await body(configuration, session, connection)
        await connection.close()
    }
}
