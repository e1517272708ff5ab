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
        func line(_ label: String, _ value: Int64, _ note: String = "") -> String {
            let number = Terminal.grouped(value)
            let padded = String(repeating: " ", count: max(0, 14 - number.count)) + number
            return label.padding(toLength: 14, withPad: " ", startingAt: 0) + padded + (note.isEmpty ? "" : "  \(note)")
        }
        var lines = [
            line("messages", summary.messages, Terminal.size(summary.bytes)),
            line("events", summary.events),
            line("  applied", summary.applied, "above the entity's high-water mark"),
            line("  late", summary.late, "below it: kept, and learnt from"),
            line("  duplicate", summary.duplicate, "seen before"),
            line("  filtered", summary.filtered, "taken by no projection"),
            line("control", summary.control, "heartbeats, DDL, transaction markers, tombstones"),
            line(
                "dead letters",
                summary.deadLetters,
                summary.deadLetters > 0 && !isDry ? "tidemark deadletters list" : ""
            ),
            line("conflicts", summary.conflicts),
            line("entities", summary.entities),
        ]
        for (name, count) in summary.milestones.sorted(by: { $0.key < $1.key }) {
            lines.append(line("+ \(name)", count, "milestone newly reached"))
        }
        let rate = Terminal.grouped(Int64(Self.rate(summary)))
        lines.append(
            "in \(Terminal.duration(summary.elapsedSeconds)), \(rate) events/s\(summary.isResumed ? ", in several runs" : "")"
                + (isDry ? "; nothing was written" : "")
        )
        return lines.joined(separator: "\n")
    }
}
