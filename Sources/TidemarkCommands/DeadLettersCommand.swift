import ArgumentParser
import Foundation
import LibPQ
import TidemarkStore

struct DeadLettersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deadletters",
        abstract: "List, show, retry or drop dead letters: messages that were set aside.",
        subcommands: [List.self, Show.self, Retry.self, Drop.self]
    )

    struct List: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List dead letters, the newest first."
        )

        @OptionGroup var filter: DeadLetterOptions

        @Option(help: "At most so many.")
        var limit: Int64 = 100

        @Flag(help: "Print JSON.")
        var json = false

        @OptionGroup var source: DatabaseSource

        func validate() throws {
            guard self.limit >= 1 else { throw ValidationError("--limit takes a number from 1 on") }
        }

        func perform() async throws {
            let filter = try self.filter.filter()
            try await self.source.inspect { connection in
                try await self.filter.requireKnown(self.source.config, on: connection)
                let rows = try await DeadLetterStore.list(filter, limit: self.limit, on: connection)
                if self.json {
                    Terminal.print(json: rows.json(numbers: ["id", "row", "count"]))
                    return
                }
                if rows.rows.isEmpty { Terminal.print("no dead letters") }
                for row in rows.rows { Terminal.print(Self.report(row.map { $0 ?? "" })) }
                guard rows.rows.count == Int(self.limit) else { return }
                let all = try await DeadLetterStore.count(filter, on: connection)
                Terminal.printMore(than: rows.rows.count, of: all)
            }
        }

        private static func report(_ cells: [String]) -> String {
            let scope = cells[1].isEmpty ? "" : " \(cells[1])"
            let times = cells[6] == "1" ? "" : ", \(cells[6]) times"
            return Terminal.escaped("#\(cells[0])\(scope) \(cells[2]) at \(cells[4]) row \(cells[5])\(times)") + "\n"
                + Terminal.wrapped(cells[9], indent: 4)
        }
    }

    struct Drop: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "drop",
            abstract: "Drop dead letters for good: those named by number, or with --yes those that filters choose."
        )

        @Argument(help: "Their numbers, as `list` shows them.")
        var ids: [Int64] = []

        @OptionGroup var filter: DeadLetterOptions

        @Flag(help: "All of them; with --yes.")
        var all = false

        @Flag(help: "Yes, drop what the filters choose.")
        var yes = false

        @OptionGroup var source: DatabaseSource

        func validate() throws { try self.filter.validateChoice(ids: self.ids, all: self.all) }

        func perform() async throws {
            let filter = try self.filter.filter(ids: self.ids)
            try await self.source.inspect { connection in
                try await self.filter.requireKnown(self.source.config, on: connection)
                if self.ids.isEmpty, !self.yes {
                    let count = try await DeadLetterStore.count(filter, on: connection)
                    throw CommandFailure(
                        "this drops \(count) dead letter\(count == 1 ? "" : "s") for good; say so with --yes"
                    )
                }
                let dropped = try await DeadLetterStore.drop(filter, on: connection)
                Terminal.print("dropped \(dropped) dead letter\(dropped == 1 ? "" : "s")")
                if dropped < Set(self.ids).count {
                    throw CommandFailure("\(Set(self.ids).count - dropped) of them are not there")
                }
            }
        }
    }
}

/// The options that select dead letters.
struct DeadLetterOptions: ParsableArguments {
    @Option(help: "Only this reason, for example value_invalid.")
    var reason: String?

    @Option(help: "Only this projection's.")
    var projection: String?

    @Option(help: "Only from this source.")
    var source: String?

    @Option(help: ArgumentHelp("Only those seen since: 2h, 7d, 2026-03-01, 2026-03-01T09:30Z.", valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Only those seen before that.", valueName: "time"))
    var until: String?

    func validate() throws {
        for (name, text) in [("since", self.since), ("until", self.until)] {
            guard let text, Moment.microseconds(text) == nil else { continue }
            throw ValidationError("--\(name) takes a time, such as 2026-03-01T09:30Z, or how long ago: 30min, 2h, 7d")
        }
    }

    private var isEmpty: Bool {
        [self.reason, self.projection, self.source, self.since, self.until].allSatisfy { $0 == nil }
    }

    /// Requires numbers, filters or `--all`, and refuses contradictory combinations.
    func validateChoice(ids: [Int64], all: Bool) throws {
        if !ids.isEmpty, all || !self.isEmpty {
            throw ValidationError("name dead letters by number, or choose them by filters or --all, not both")
        }
        if all, !self.isEmpty { throw ValidationError("--all is without filters") }
        if ids.isEmpty, !all, self.isEmpty {
            throw ValidationError("which ones? Give their numbers, filters, or --all")
        }
    }

    func requireKnown(_ config: String?, on connection: Connection) async throws {
        let check = NameCheck(config: config)
        try await check.require(.reason, self.reason, on: connection)
        try await check.require(.projection, self.projection, on: connection)
        try await check.require(.source, self.source, on: connection)
    }

    func filter(ids: [Int64] = []) throws -> DeadLetterFilter {
        var filter = DeadLetterFilter(ids: ids.isEmpty ? nil : ids)
        filter.reason = self.reason
        filter.projection = self.projection
        filter.source = self.source
        filter.since = self.since.flatMap { Moment.microseconds($0) }
        filter.until = self.until.flatMap { Moment.microseconds($0) }
        return filter
    }
}
