import Foundation
import TidemarkCore

/// Formats a replay's summary as JSON and as text.
enum SummaryText {
    static func json(_ summary: PassSummary) -> String {
        let milestones = summary.milestones.sorted { $0.key < $1.key }.map { (name: $0.key, json: "\($0.value)") }
        return JSONOutput.object([
            ("messages", "\(summary.messages)"), ("events", "\(summary.events)"), ("applied", "\(summary.applied)"),
            ("late", "\(summary.late)"), ("duplicate", "\(summary.duplicate)"), ("filtered", "\(summary.filtered)"),
            ("control", "\(summary.control)"), ("dead_letters", "\(summary.deadLetters)"),
            ("conflicts", "\(summary.conflicts)"), ("entities", "\(summary.entities)"),
            ("milestones", JSONOutput.object(milestones)), ("bytes", "\(summary.bytes)"),
            ("elapsed_seconds", String(format: "%.3f", summary.elapsedSeconds)),
            ("events_per_second", String(format: "%.0f", Self.rate(summary))),
            ("resumed", summary.isResumed ? "true" : "false"),
        ])
    }

    private static func rate(_ summary: PassSummary) -> Double {
        summary.elapsedSeconds > 0 ? Double(summary.events) / summary.elapsedSeconds : 0
    }

    static func human(_ summary: PassSummary, isDry: Bool = false) -> String {
        var lines = [
            Self.line("messages", summary.messages, Terminal.size(summary.bytes)),
            Self.line("events", summary.events),
            Self.line("  applied", summary.applied, "above the entity's high-water mark"),
            Self.line("  late", summary.late, "below it: kept, and learnt from"),
            Self.line("  duplicate", summary.duplicate, "seen before"),
            Self.line("  filtered", summary.filtered, "taken by no projection"),
            Self.line("control", summary.control, "heartbeats, DDL, transaction markers, tombstones"),
            Self.line(
                "dead letters",
                summary.deadLetters,
                summary.deadLetters > 0 && !isDry ? "tidemark deadletters list" : ""
            ),
            Self.line("conflicts", summary.conflicts),
            Self.line("entities", summary.entities),
        ]
        lines += Self.lines(of: summary.milestones)
        let rate = Terminal.grouped(Int64(Self.rate(summary)))
        lines.append(
            "in \(Terminal.duration(summary.elapsedSeconds)), \(rate) events/s\(summary.isResumed ? ", in several runs" : "")"
                + (isDry ? "; nothing was written" : "")
        )
        return lines.joined(separator: "\n")
    }

    /// One line for each milestone, their numbers below each other; a name that leaves no room has a line of its own.
    private static func lines(of milestones: [String: Int64]) -> [String] {
        let rows = milestones.sorted { $0.key < $1.key }.map { ("+ " + Terminal.escaped($0.key), $0.value) }
        let widths = rows.map { Terminal.width($0.0) + 1 }.filter { $0 <= Self.labelMax }
        let width = max(Self.labelWidth, widths.max() ?? 0)
        return rows.flatMap { label, count in
            guard Terminal.width(label) < Self.labelMax else {
                return [Terminal.wrapped(label), Self.line("", count, "milestone newly reached", width: width)]
            }
            return [Self.line(label, count, "milestone newly reached", width: width)]
        }
    }

    private static let labelWidth = 14
    /// With the number and its note a line is at most 80 columns wide.
    private static let labelMax = 40

    private static func line(_ label: String, _ value: Int64, _ note: String = "", width: Int = labelWidth) -> String {
        let number = Terminal.grouped(value)
        let padded = String(repeating: " ", count: max(0, 14 - number.count)) + number
        return Terminal.padded(label, to: width) + padded + (note.isEmpty ? "" : "  \(note)")
    }
}
