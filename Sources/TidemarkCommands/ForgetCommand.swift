import ArgumentParser
import TidemarkCore
import TidemarkService
import TidemarkStore

struct ForgetCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "forget",
        abstract: "Erase a key's content for good: from row, timeline, dead letters and delivery bodies.",
        discussion: """
            Keys, order keys, sequences and operations stay, so that the same events,
            read again, are known and do not bring the content back. docs/maintenance.md
            says what else stays.
            """
    )

    @Argument(help: "The projection's name.")
    var projection: String

    @Argument(help: "The key; a key of several columns as several words. One that begins with - goes behind --.")
    var key: [String]

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: "The configuration file (default: tidemark.yaml).")
    var config: String?

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var logging: LoggingOptions

    func perform() async throws {
        let logger = self.logging.logger
        try await withConfiguredDatabase(self.config, self.database, role: "forget", logger: logger) {
            configuration,
            session,
            connection in
            let forgetter = KeyForgetter(configuration, options: session.options, logger: logger)
            let outcome = try await forgetter.forget(self.key, of: self.projection, on: connection)
            if self.json { Terminal.print(json: Self.json(outcome)) } else { Terminal.print(self.report(outcome)) }
            let erased = outcome.erased
            guard erased.rows + erased.deadLetters + erased.deliveries > 0 else {
                throw CommandFailure(
                    "projection \(self.projection) has seen no event of \(self.key.joined(separator: " "))"
                )
            }
        }
    }

    private static func json(_ outcome: ForgetOutcome) -> String {
        JSONOutput.object([
            ("rows", "\(outcome.erased.rows)"), ("events", "\(outcome.erased.events)"),
            ("deliveries", "\(outcome.erased.deliveries)"), ("dead_letters", "\(outcome.erased.deadLetters)"),
            ("unreadable_dead_letters", "\(outcome.unreadable)"),
        ])
    }

    private func report(_ outcome: ForgetOutcome) -> String {
        func counted(_ count: Int, _ one: String, _ many: String) -> String { "\(count) \(count == 1 ? one : many)" }
        let erased = outcome.erased
        let parts = [
            counted(erased.rows, "row", "rows"), counted(erased.events, "event", "events"),
            counted(erased.deliveries, "delivery body", "delivery bodies"),
            counted(erased.deadLetters, "dead letter", "dead letters"),
        ]
        var text = Terminal.wrapped("erased the content of \(parts.joined(separator: ", "))")
        if outcome.unreadable > 0 {
            text +=
                "\n"
                + Terminal.wrapped(
                    counted(outcome.unreadable, "dead letter", "dead letters")
                        + " of no readable key may hold it too; `tidemark deadletters list` shows them"
                )
        }
        return text
    }
}
