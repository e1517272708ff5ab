import ArgumentParser
import Foundation
import TidemarkPostgres

struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show why one entity is in its state: its events in the order that counts, and how they arrived."
    )

    @Argument(help: "The projection's name.")
    var projection: String

    @Argument(help: "The key; a key of several columns as several words.")
    var key: [String]

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    func run() async throws {
        try await self.reportingFailures {
            try await inspect(self.source, self.database) { connection in
                guard let entity = try await Inspection.entity(self.key, of: self.projection, on: connection) else {
                    throw CommandFailure(
                        ExitStatus.failed,
                        "projection \(self.projection) has seen no event of \(self.key.joined(separator: " "))"
                    )
                }
                Terminal.print(self.json ? entity : try EntityReport(json: entity).text)
            }
        }
    }
}

/// One entity for a person, in 80 columns.
struct EntityReport {
    private struct Event: Decodable {
        var order_key: String
        var sequence: String
        var op: String
        var state: String?
        var event_time: String?
        var late: Bool
        var source: String
        var position: String?
        var arrival: Int
    }

    private struct Milestone: Decodable {
        var milestone: String
        var sequence: String
        var reached_at: String
        var muted: Bool
    }

    private struct Delivery: Decodable {
        var milestone: String
        var notifier: String
        var status: String
        var attempts: Int
        var last_error: String?
    }

    private struct Entity: Decodable {
        var projection: String
        var deleted: Bool
        var state: String?
        var sequence: String
        var order_key: String
        var events: [Event]?
        var milestones: [Milestone]
        var deliveries: [Delivery]
    }

    private let entity: Entity
    private let rowText: String?

    init(json: String) throws {
        let data = Data(json.utf8)
        self.entity = try JSONDecoder().decode(Entity.self, from: data)
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        let row = object?["row"] as? [String: Any]
        self.rowText = row.map { row in
            row.sorted { $0.key < $1.key }.filter { !$0.key.hasPrefix("_") }
                .map { Self.line($0.key, Self.plain($0.value)) }.joined(separator: "\n")
        }
    }

    /// One column of the row, in one line of the terminal.
    private static func line(_ name: String, _ value: String) -> String {
        let line = "  \(Terminal.escaped(name)) = \(Terminal.escaped(value))"
        return line.count > 80 ? line.prefix(79) + "…" : line
    }

    private static func plain(_ value: Any) -> String {
        switch value {
        case is NSNull: "null"
        case let text as String: text
        case let other:
            (try? JSONSerialization.data(withJSONObject: other, options: [.fragmentsAllowed, .sortedKeys]))
                .map { String(decoding: $0, as: UTF8.self) } ?? "\(other)"
        }
    }

    var text: String {
        let state = self.entity.state.map { ", state \(Terminal.escaped($0))" } ?? ""
        var parts = [
            "\(self.entity.projection): \(self.entity.deleted ? "deleted" : "live")\(state), sequence \(Terminal.escaped(self.entity.sequence))"
        ]
        if let rowText { parts.append(rowText) }
        if let events = self.entity.events {
            var rows = [["", "sequence", "op", "state", "arrived", "event time", "position"]]
            for event in events {
                let isCurrent = event.order_key == self.entity.order_key
                rows.append([
                    isCurrent ? ">" : "", event.sequence, event.op, event.state ?? "",
                    event.late ? "\(event.arrival) late" : "\(event.arrival)", Self.short(event.event_time),
                    event.position ?? event.source,
                ])
            }
            parts.append("events, in the order that counts (arrived: which commit brought it)\n" + Terminal.table(rows))
        }
        for milestone in self.entity.milestones {
            var line =
                "milestone \(milestone.milestone): by sequence \(Terminal.escaped(milestone.sequence)), reached "
                + Self.short(milestone.reached_at) + (milestone.muted ? ", muted" : "")
            for delivery in self.entity.deliveries where delivery.milestone == milestone.milestone {
                line += "\n  \(delivery.notifier): \(delivery.status), \(delivery.attempts) attempts"
                if let error = delivery.last_error { line += ", \(Terminal.escaped(error))" }
            }
            parts.append(Terminal.escapedLines(line))
        }
        return parts.map(Terminal.escapedLines).joined(separator: "\n\n")
    }

    private static func short(_ time: String?) -> String {
        time.map { String($0.prefix(19)).replacingOccurrences(of: "T", with: " ") } ?? ""
    }
}
