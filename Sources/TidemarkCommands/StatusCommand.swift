import ArgumentParser
import Foundation
import LibPQ
import Synchronization
import TidemarkStore

struct StatusCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show projections, milestones, processes, streams, deliveries, dead letters and replays.",
        discussion: """
            Large tables are not counted: their numbers are estimates of the server, and
            are said to be. --watch shows it again every two seconds, with rates, until
            interrupted, and ends with 0.
            """
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON: one object, with --watch one in each line.")
    var json = false

    @Flag(help: "Show it again every two seconds, until interrupted.")
    var watch = false

    func perform() async throws {
        try await inspect(self.source, self.database, role: "inspect", endsBySignal: !self.watch) { connection, _ in
            // Programs get all streams, within reason.
            let streams = self.json ? 1000 : 10
            guard self.watch else {
                let status = try await Status(streams: streams, connection)
                return self.json ? Terminal.print(json: status.json) : Terminal.print(status.human)
            }
            try await self.watch(streams, connection)
        }
    }

    private func watch(_ streams: Int, _ connection: Connection) async throws {
        let screen = self.json ? nil : Screen()
        let task = Task {
            var before: (counts: [(String, Int64)], seconds: Double)?
            while Terminal.outputFailure == nil {
                var status = try await Status(streams: streams, connection)
                let now = try await Inspection.totals(on: connection)
                status.rates = before.flatMap { StatusRates(from: $0, to: now) }
                before = now
                if let screen { screen.show(status.human) } else { Terminal.print(json: status.json) }
                try await Task.sleep(for: .seconds(2))
            }
        }
        await SignalWatch().start {
            task.cancel()
            connection.interrupt()
        }
        defer { screen?.leave() }
        do {
            try await task.value
        } catch  where task.isCancelled {}
    }
}

/// Shows one text after another in place, where standard output is a terminal; else one behind the other.
struct Screen {
    private let isTerminal = isatty(STDOUT_FILENO) == 1

    init() {
        // The cursor would be seen to run over the screen.
        if self.isTerminal { Self.write("\u{1B}[?25l\u{1B}[2J") }
    }

    func show(_ text: String) {
        guard self.isTerminal else { return Self.write(text + "\n\n") }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let height = Self.height
        if lines.count > height {
            lines = lines.prefix(height - 1) + ["and \(lines.count - height + 1) more lines: tidemark status"]
        }
        // Lines are written over and then cleared to their ends, in one call: an empty screen is never seen.
        Self.write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
    }

    func leave() {
        if self.isTerminal { Self.write("\u{1B}[?25h\n") }
    }

    private static var height: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 1 else { return 24 }
        return Int(size.ws_row)
    }

    private static func write(_ text: String) {
        Terminal.write(Data(text.utf8))
    }
}
