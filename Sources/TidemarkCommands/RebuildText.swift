import Foundation
import Synchronization
import TidemarkCore
import TidemarkProjector
import TidemarkService
import TidemarkStore

/// A rebuild's progress: that of its replay, once it has begun.
final class RebuildMeter: Sendable {
    private let meter = Mutex<ProgressMeter?>(nil)

    func show(_ progress: PassProgress) {
        let meter = ProgressMeter(progress)
        self.meter.withLock { $0 = meter }
        meter.start()
    }

    func stop() { self.meter.withLock { $0 }?.stop() }
}

/// Formats a rebuild's outcome as JSON and as text.
struct RebuildText {
    private let projection: String
    private let outcome: RebuildOutcome

    init(_ projection: String, _ outcome: RebuildOutcome) {
        self.projection = projection
        self.outcome = outcome
    }

    // MARK: JSON

    var json: String {
        let summary = self.outcome.summary
        return JSONOutput.object([
            ("projection", JSONOutput.string(self.projection)),
            ("source", JSONOutput.string(self.outcome.source.rawValue)),
            ("messages", "\(summary.messages)"), ("events", "\(summary.events)"),
            ("dead_letters", "\(summary.deadLetters)"), ("entities", "\(summary.entities)"),
            ("rows", self.outcome.comparison.map(Self.rows) ?? "null"),
            ("differences", self.outcome.comparison.map(Self.differences) ?? "null"),
            ("milestones", self.outcome.comparison.map(Self.milestones) ?? "null"),
            ("built", self.outcome.comparison == nil ? "false" : "true"),
            ("swapped", self.outcome.swap == nil ? "false" : "true"),
            ("refused", "\(self.outcome.refused.count)"),
            ("refused_events", Self.refused(self.outcome.refused)),
            ("resumed", self.outcome.isResumed ? "true" : "false"),
            ("elapsed_seconds", String(format: "%.3f", summary.elapsedSeconds)),
        ])
    }

    private static func refused(_ refused: RebuildStore.Refused) -> String {
        let events = refused.samples.map { sample in
            JSONOutput.object([
                ("event", JSONOutput.string(sample.event)), ("detail", JSONOutput.string(sample.why)),
            ])
        }
        return "[\(events.joined(separator: ","))]"
    }

    private static func rows(_ comparison: VersionComparison) -> String {
        let columns = comparison.columns.map { (name: $0.name, json: "\($0.rows)") }
        return JSONOutput.object([
            ("old", "\(comparison.oldRows)"), ("new", "\(comparison.newRows)"),
            ("only_old", "\(comparison.onlyOld)"), ("only_new", "\(comparison.onlyNew)"),
            ("changed", "\(comparison.changed)"), ("columns", JSONOutput.object(columns)),
            ("added_columns", JSONOutput.array(comparison.addedColumns)),
            ("removed_columns", JSONOutput.array(comparison.removedColumns)),
            ("compared", comparison.isKeyComparable ? "true" : "false"),
        ])
    }

    private static func differences(_ comparison: VersionComparison) -> String {
        let samples = comparison.samples.map { sample in
            var members = [
                (name: "kind", json: JSONOutput.string(sample.kind.rawValue)), (name: "key", json: sample.key),
            ]
            if let column = sample.column {
                members += [
                    ("column", JSONOutput.string(column)), ("old", sample.old.map(JSONOutput.string) ?? "null"),
                    ("new", sample.new.map(JSONOutput.string) ?? "null"),
                ]
            }
            return JSONOutput.object(members)
        }
        return "[\(samples.joined(separator: ","))]"
    }

    private static func milestones(_ comparison: VersionComparison) -> String {
        JSONOutput.object(
            comparison.milestones.map { milestone in
                let keys = "[\(milestone.keys.joined(separator: ","))]"
                return (milestone.name, JSONOutput.object([("new", "\(milestone.count)"), ("keys", keys)]))
            }
        )
    }

    // MARK: Text

    var human: String {
        let summary = self.outcome.summary
        let source = self.outcome.source == .timeline ? "its timeline" : "files"
        var lines = [
            "\(Terminal.escaped(self.projection)) from \(source): \(Terminal.grouped(summary.events)) events, "
                + "\(Terminal.grouped(summary.entities)) entities"
        ]
        if summary.deadLetters > 0 { lines.append("\(Terminal.grouped(summary.deadLetters)) dead letters") }
        guard let comparison = self.outcome.comparison else {
            return (lines + ["not built to the end; the same command resumes it"]).joined(separator: "\n")
        }
        lines += Self.described(comparison)
        for sample in self.outcome.refused.samples {
            lines.append("refused: \(Terminal.escaped(sample.event)): \(Terminal.escaped(sample.why))")
        }
        if self.outcome.refused.count > Int64(self.outcome.refused.samples.count) {
            let more = self.outcome.refused.count - Int64(self.outcome.refused.samples.count)
            lines.append("refused: \(Terminal.grouped(more)) more stored events")
        }
        if self.outcome.swap != nil {
            lines.append("swapped: readers see the new rows")
        } else if self.outcome.ending == .finished, self.outcome.refused.count > 0 {
            lines.append("not swapped: the rows are as they were")
        } else if self.outcome.ending == .finished {
            lines.append("dry run: the new version was removed, and the rows are as they were")
        } else {
            lines.append("not swapped; the same command resumes it")
        }
        return lines.joined(separator: "\n")
    }

    private static func described(_ comparison: VersionComparison) -> [String] {
        let counts = "rows: \(Terminal.grouped(comparison.oldRows)) now, \(Terminal.grouped(comparison.newRows)) new"
        var lines = [
            comparison.isKeyComparable
                ? counts
                    + "; \(Terminal.grouped(comparison.onlyOld)) go, \(Terminal.grouped(comparison.onlyNew)) come, "
                    + "\(Terminal.grouped(comparison.changed)) change"
                : counts + "; with another key they cannot be compared"
        ]
        if !comparison.addedColumns.isEmpty {
            lines.append("new columns: \(Terminal.escaped(comparison.addedColumns.joined(separator: ", ")))")
        }
        if !comparison.removedColumns.isEmpty {
            lines.append("columns that go: \(Terminal.escaped(comparison.removedColumns.joined(separator: ", ")))")
        }
        for column in comparison.columns {
            lines.append("  \(Terminal.escaped(column.name)) differs in \(Terminal.grouped(column.rows)) rows")
        }
        lines += Self.samples(of: comparison)
        for milestone in comparison.milestones where milestone.count > 0 {
            let keys = milestone.keys.prefix(5).map(Terminal.escaped).joined(separator: " ")
            let more = milestone.count > 5 ? " and \(Terminal.grouped(milestone.count - 5)) more" : ""
            lines.append(
                "milestone \(Terminal.escaped(milestone.name)) reached by \(Terminal.grouped(milestone.count)) more: "
                    + keys + more
            )
        }
        return lines
    }

    /// Some rows that differ, and how many more there are.
    private static func samples(of comparison: VersionComparison) -> [String] {
        var lines = comparison.samples.map { sample in
            let key = Terminal.escaped(sample.key)
            switch sample.kind {
            case .onlyOld: return "  - \(key)"
            case .onlyNew: return "  + \(key)"
            case .changed:
                let values = [sample.old, sample.new].map { Self.short($0) }
                return "  ~ \(key) \(Terminal.escaped(sample.column ?? "")): \(values[0]) → \(values[1])"
            }
        }
        guard comparison.isKeyComparable else { return lines }
        let shown = Set(comparison.samples.map { [$0.kind.rawValue, $0.key] }).count
        let more = comparison.onlyOld + comparison.onlyNew + comparison.changed - Int64(shown)
        if more > 0 { lines.append("  and \(Terminal.grouped(more)) more rows") }
        return lines
    }

    private static func short(_ value: String?) -> String {
        guard let value else { return "null" }
        return Terminal.shortened(Terminal.escaped(value), to: 40)
    }
}
