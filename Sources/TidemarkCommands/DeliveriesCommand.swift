import ArgumentParser
import TidemarkCore
import TidemarkPostgres

struct DeliveriesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deliveries",
        abstract: "Look at the outbox.",
        subcommands: [List.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List deliveries, the newest first.")

        @Option(help: "Only these: due, held, delivered, dead or muted.")
        var status: String?

        @Option(help: "Only this projection's.")
        var projection: String?

        @Option(help: "Only this milestone's.")
        var milestone: String?

        @Option(help: "Only to this notifier.")
        var notifier: String?

        @Option(help: "At most so many.")
        var limit: Int = 100

        @Flag(help: "Print JSON.")
        var json = false

        @Option(help: "The configuration file, for its database.")
        var config: String?

        @OptionGroup var database: DatabaseOptions

        func validate() throws {
            let known = ["due", "held", "delivered", "dead", "muted"]
            if let status, !known.contains(status) {
                throw ValidationError("--status takes one of \(known.joined(separator: ", "))")
            }
        }

        func run() async throws {
            try await self.reportingFailures {
                let filter = DeliveryFilter(
                    status: self.status,
                    projection: self.projection,
                    milestone: self.milestone,
                    notifier: self.notifier,
                    limit: self.limit
                )
                try await inspect(config: self.config, self.database) { connection in
                    let rows = try await DeliveryStore.list(filter, on: connection)
                    if self.json {
                        Terminal.print("[\(rows.map(\.json).joined(separator: ","))]")
                        return
                    }
                    if rows.isEmpty { Terminal.print("no deliveries") }
                    for row in rows { Terminal.print(Terminal.escapedLines(row.report)) }
                }
            }
        }
    }
}

extension DeliveryRow {
    /// An instant as ISO 8601, in UTC.
    private static func text(_ microseconds: Int64) -> String {
        var output: [UInt8] = []
        CalendarText.appendTimestamp(microseconds: microseconds, hasZone: true, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    fileprivate var json: String {
        func time(_ value: Int64?) -> String { value.map { JSONOutput.string(Self.text($0)) } ?? "null" }
        return JSONOutput.object([
            ("id", JSONOutput.string(self.id)), ("projection", JSONOutput.string(self.projection)),
            ("key", self.key), ("milestone", JSONOutput.string(self.milestone)),
            ("notifier", JSONOutput.string(self.notifier)), ("status", JSONOutput.string(self.status)),
            ("attempts", "\(self.attempts)"), ("next_attempt_at", time(self.nextAttemptAt)),
            ("last_error", self.lastError.map(JSONOutput.string) ?? "null"), ("created_at", time(self.createdAt)),
            ("delivered_at", time(self.deliveredAt)),
        ])
    }

    /// Two or three lines of 80 columns.
    fileprivate var report: String {
        func time(_ value: Int64) -> String {
            String(Self.text(value).prefix(19)).replacing("T", with: " ")
        }
        var lines = ["\(self.id)  \(self.projection) \(self.key) \(self.milestone) → \(self.notifier)"]
        var state = "    \(self.status), \(self.attempts) attempts, created \(time(self.createdAt))"
        if let delivered = self.deliveredAt { state += ", delivered \(time(delivered))" }
        if self.status == "due", let next = self.nextAttemptAt { state += ", next \(time(next))" }
        lines.append(state)
        if let error = self.lastError { lines.append("    \(Terminal.escaped(error))") }
        return lines.joined(separator: "\n")
    }
}
