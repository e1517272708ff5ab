import ArgumentParser
import Foundation
import TidemarkCore
import TidemarkStore

struct ShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show why one entity is in its state: its events by sequence, and by arrival.",
        discussion:
            "Each event has its verdict, its origin and its changes; milestones and deliveries follow."
    )

    @Argument(help: "The projection's name.")
    var projection: String

    @Argument(help: "The key; a key of several columns as several words. One that begins with - goes behind --.")
    var key: [String]

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    func perform() async throws {
        try await inspect(self.source, self.database) { connection in
            guard let entity = try await EntityHistory.find(self.key, of: self.projection, on: connection) else {
                throw CommandFailure(
                    "projection \(self.projection) has seen no event of \(self.key.joined(separator: " "))"
                )
            }
            if self.json { Terminal.print(json: entity.json) } else { Terminal.print(EntityReport(entity).text) }
        }
    }
}

/// Formats one entity as text of 80 columns.
struct EntityReport {
    private let entity: EntityHistory

    init(_ entity: EntityHistory) {
        self.entity = entity
    }

    var text: String {
        var parts = [[self.headline] + self.row]
        if let events = self.entity.events {
            parts.append(["in the order that counts"] + events.flatMap { self.lines(of: $0) })
            parts.append(["in the order of arrival"] + Self.arrivals(events))
        } else {
            parts.append(["the projection keeps no events (timeline: false)"])
        }
        if !self.entity.milestones.isEmpty {
            parts.append(["milestones"] + self.entity.milestones.flatMap(Self.lines(of:)))
        }
        return parts.map { $0.map { Terminal.cut($0) }.joined(separator: "\n") }.joined(separator: "\n\n")
    }

    private var headline: String {
        let state = self.entity.state.map { ", state \($0)" } ?? ""
        let isLive = self.entity.isDeleted ? "deleted" : "live"
        return "\(self.entity.projection) \(self.entity.key): \(isLive)\(state), sequence \(self.entity.sequence)"
    }

    private var row: [String] {
        let cells = (self.entity.row ?? []).filter { cell in
            !cell.column.hasPrefix("_") || (cell.column == "_incomplete" && cell.value != "[]")
        }
        return cells.map { "  \($0.column) = \(Self.plain($0.value))" }
    }

    // MARK: Events

    private func lines(of event: EntityHistory.Event) -> [String] {
        let isShown = event.orderKey == self.entity.orderKey
        let words = [event.operation, event.state, event.eventTime.map(Terminal.wholeSeconds)].compactMap { $0 }
        var lines = ["\(isShown ? ">" : " ") sequence \(event.sequence): \(words.joined(separator: ", "))"]
        if let arrival = Self.arrival(of: event) {
            let origin = event.position.map { "\(event.source ?? "") \($0)" } ?? event.source ?? ""
            lines.append("    \(event.isLate ? "late" : "applied"), arrived \(arrival), from \(origin)")
        } else {
            lines.append("    a truncate of its source table")
        }
        if event.missing != nil { lines.append("    carries some columns; the others are as they were") }
        lines += event.changes.map { change in
            let new = change.new.map(Self.plain) ?? "(gone)"
            return change.old.map { "      \(change.column): \(Self.plain($0)) → \(new)" }
                ?? "      \(change.column) = \(new)"
        }
        return lines
    }

    private static func arrivals(_ events: [EntityHistory.Event]) -> [String] {
        let arrived = events.filter { $0.arrival != nil }.sorted { ($0.arrival ?? 0) < ($1.arrival ?? 0) }
        let rows = arrived.map { event in
            [
                "  \(Self.number(of: event))", event.receivedAt.map(Terminal.wholeSeconds) ?? "",
                event.isLate ? "late" : "applied",
                event.operation, "sequence \(event.sequence)",
            ]
        }
        guard !rows.isEmpty else { return ["  (none)"] }
        return Terminal.table(rows).split(separator: "\n").map(String.init)
    }

    /// `2nd`; where the order is not known `2nd or 3rd`, `2nd to 4th`.
    private static func arrival(of event: EntityHistory.Event) -> String? {
        guard let first = event.arrival, let last = event.lastArrival else { return nil }
        guard first < last else { return Self.ordinal(first) }
        return "\(Self.ordinal(first)) \(last == first + 1 ? "or" : "to") \(Self.ordinal(last))"
    }

    private static func number(of event: EntityHistory.Event) -> String {
        guard let first = event.arrival, let last = event.lastArrival else { return "" }
        return first < last ? "\(first)-\(last)" : "\(first)"
    }

    private static func ordinal(_ number: Int) -> String {
        switch (number % 100, number % 10) {
        case (11...13, _): "\(number)th"
        case (_, 1): "\(number)st"
        case (_, 2): "\(number)nd"
        case (_, 3): "\(number)rd"
        default: "\(number)th"
        }
    }

    // MARK: Milestones

    private static func lines(of milestone: EntityHistory.Milestone) -> [String] {
        let muted = milestone.isMuted ? ", muted" : ""
        let state = milestone.state.map { " (\($0))" } ?? ""
        var lines = [
            "  \(milestone.name): reached \(Terminal.wholeSeconds(milestone.reachedAt)) by sequence \(milestone.sequence)\(state)\(muted)"
        ]
        for delivery in milestone.deliveries {
            let attempts = "\(delivery.attempts) attempt\(delivery.attempts == 1 ? "" : "s")"
            var line = "    \(delivery.notifier): \(delivery.status), \(attempts)"
            if let delivered = delivery.deliveredAt { line += ", \(Terminal.wholeSeconds(delivered))" }
            if delivery.status == "due", let next = delivery.nextAttemptAt {
                line += ", next \(Terminal.wholeSeconds(next))"
            }
            lines.append(line)
            if let error = delivery.lastError { lines.append("      \(error)") }
        }
        return lines
    }

    /// A value for display: a text without quotes, where that is unambiguous.
    private static func plain(_ json: String) -> String {
        guard json.begins(with: "\""), let data = json.data(using: .utf8),
            let text = try? JSONDecoder().decode(String.self, from: data)
        else { return json }
        return text.isEmpty || text == "null" || text.begins(with: "\"") ? json : text
    }
}
