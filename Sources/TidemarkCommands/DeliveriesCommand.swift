import ArgumentParser
import LibPQ
import TidemarkStore

struct DeliveriesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deliveries",
        abstract: "List, show, retry, cancel or prune deliveries of the outbox.",
        subcommands: [List.self, Show.self, Retry.self, Cancel.self, Prune.self]
    )

    struct List: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List deliveries, the newest first."
        )

        @OptionGroup var filter: DeliveryFilterOptions

        @Option(help: "At most so many.")
        var limit: Int = 100

        @Flag(help: "Print JSON.")
        var json = false

        @OptionGroup var source: DatabaseSource

        func validate() throws {
            guard self.limit >= 1 else { throw ValidationError("--limit takes a number from 1 on") }
        }

        func perform() async throws {
            let filter = self.filter.filter(limit: self.limit)
            try await self.source.inspect { connection in
                try await self.filter.requireKnown(self.source.config, on: connection)
                let rows = try await DeliveryStore.list(filter, on: connection)
                if self.json {
                    Terminal.print(json: "[\(rows.map(\.json).joined(separator: ","))]")
                    return
                }
                if rows.isEmpty { Terminal.print("no deliveries") }
                for row in rows { Terminal.print(Terminal.escapedLines(row.report)) }
                guard rows.count == self.limit else { return }
                Terminal.printMore(than: rows.count, of: try await DeliveryStore.count(filter, on: connection))
            }
        }
    }

    struct Show: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show a delivery: its body, and the result of each attempt."
        )

        @Argument(help: "The delivery's id.")
        var id: String

        @Option(help: "Only the delivery to this notifier, if there are several.")
        var notifier: String?

        @Flag(help: "Print JSON.")
        var json = false

        @OptionGroup var source: DatabaseSource

        func validate() throws { try DeliveryFilterOptions.check([self.id]) }

        func perform() async throws {
            let filter = DeliveryFilter(ids: [self.id], notifier: self.notifier)
            try await self.source.inspect { connection in
                let rows = try await DeliveryStore.list(filter, on: connection)
                guard !rows.isEmpty else { throw CommandFailure("there is no delivery \(self.id)") }
                var objects: [String] = []
                for row in rows {
                    let body = try await DeliveryStore.body(of: row.id, to: row.notifier, on: connection) ?? ""
                    let attempts = try await DeliveryStore.attempts(
                        of: row.id,
                        to: row.notifier,
                        on: connection
                    )
                    if self.json {
                        objects.append(row.json(with: attempts, body: body))
                    } else {
                        Terminal.print(Terminal.escapedLines(row.report(with: attempts, body: body)))
                    }
                }
                if self.json { Terminal.print(json: "[\(objects.joined(separator: ","))]") }
            }
        }
    }

    struct Retry: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "retry",
            abstract: "Send dead, muted or waiting deliveries again: at once, with a new schedule.",
            discussion: """
                What was delivered is sent again only where its id is named, or with
                --status delivered. Held deliveries stay held.
                """
        )

        @OptionGroup var selection: DeliverySelection

        func perform() async throws {
            try await self.selection.change("retry", DeliveryStore.retry) { count in
                "\(Terminal.grouped(Int64(count))) \(count == 1 ? "delivery is" : "deliveries are") due"
            }
        }
    }

    struct Cancel: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "cancel",
            abstract: "Cancel due, held and dead deliveries. They end dead, and do not block later ones.",
            discussion: "One whose attempt is under way may still arrive. `retry` undoes this."
        )

        @OptionGroup var selection: DeliverySelection

        func perform() async throws {
            try await self.selection.change("cancel", DeliveryStore.cancel) { count in
                "\(Terminal.grouped(Int64(count))) \(count == 1 ? "delivery" : "deliveries") cancelled"
            }
        }
    }

    struct Prune: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "prune",
            abstract: "Remove old delivered deliveries, with their attempts.",
            discussion: "Milestones stay reached, and are not delivered again. Other deliveries stay."
        )

        @Option(help: "Days since it was delivered.")
        var olderThanDays: Int

        @OptionGroup var source: DatabaseSource

        func validate() throws {
            guard (0...365_000).contains(self.olderThanDays) else {
                throw ValidationError("--older-than-days takes 0 to 365000")
            }
        }

        func perform() async throws {
            try await self.source.inspect { connection in
                var removed = 0
                while true {
                    // In batches, to hold row locks only briefly.
                    let count = try await DeliveryStore.prune(
                        olderThan: .seconds(86_400) * self.olderThanDays,
                        on: connection
                    )
                    if count == 0 { break }
                    removed += count
                }
                Terminal.print("removed \(Terminal.grouped(Int64(removed)))")
            }
        }
    }
}

/// The options that select deliveries.
struct DeliveryFilterOptions: ParsableArguments {
    @Option(help: "Only these: due, held, delivered, dead or muted.")
    var status: String?

    @Option(help: "Only this projection's.")
    var projection: String?

    @Option(help: "Only this entity's: the key, or its columns one by one.")
    var key: [String] = []

    @Option(help: "Only this milestone's.")
    var milestone: String?

    @Option(help: "Only to this notifier.")
    var notifier: String?

    func validate() throws {
        let known = ["due", "held", "delivered", "dead", "muted"]
        if let status, !known.contains(status) {
            throw ValidationError("--status takes one of \(known.joined(separator: ", "))")
        }
    }

    func requireKnown(_ config: String?, on connection: Connection) async throws {
        let check = NameCheck(config: config)
        try await check.require(.projection, self.projection, on: connection)
        try await check.require(.milestone, self.milestone, on: connection)
        try await check.require(.notifier, self.notifier, on: connection)
    }

    func filter(ids: [String] = [], limit: Int = 100) -> DeliveryFilter {
        DeliveryFilter(
            ids: ids.isEmpty ? nil : ids,
            status: self.status,
            projection: self.projection,
            key: self.key.isEmpty ? nil : self.key,
            milestone: self.milestone,
            notifier: self.notifier,
            limit: limit
        )
    }

    static func check(_ ids: [String]) throws {
        for id in ids where !UUIDText.isUUID(id) {
            throw ValidationError("\"\(id)\" is not the id of a delivery; `tidemark deliveries list` shows them")
        }
    }
}

/// The deliveries that a command changes: by their ids, or by a filter.
struct DeliverySelection: ParsableArguments {
    @Argument(help: "Ids of deliveries.")
    var ids: [String] = []

    @OptionGroup var filter: DeliveryFilterOptions
    @OptionGroup var source: DatabaseSource

    func validate() throws { try DeliveryFilterOptions.check(self.ids) }

    /// With ids, changing nothing is a failure.
    func change(
        _ command: String,
        _ change: (DeliveryFilter, Connection) async throws -> Int,
        report: (Int) -> String
    ) async throws {
        let filter = self.filter.filter(ids: self.ids)
        guard !filter.takesAll else {
            throw CommandFailure(
                ExitStatus.usage,
                "say which deliveries: their ids, or for example `tidemark deliveries \(command) --status dead`"
            )
        }
        try await self.source.inspect { connection in
            try await self.filter.requireKnown(self.source.config, on: connection)
            for id in self.ids {
                guard try await DeliveryStore.list(DeliveryFilter(ids: [id]), on: connection).isEmpty else { continue }
                throw CommandFailure("there is no delivery \(id); `tidemark deliveries list` shows which there are")
            }
            let count = try await change(filter, connection)
            Terminal.print(report(count))
            if !self.ids.isEmpty, count == 0 { throw ExitCode(ExitStatus.failed) }
        }
    }
}

/// The database of a command that reads no sources, or whose options have other meanings for `--source` or `--from`.
struct DatabaseSource: ParsableArguments {
    @Option(help: "The configuration file, for its database.")
    var config: String?

    @OptionGroup var database: DatabaseOptions

    func inspect(_ body: (Connection) async throws -> Void) async throws {
        try await TidemarkCommands.inspect(ConfigurationOptions.file(self.config), self.database, body)
    }
}
