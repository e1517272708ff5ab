import ArgumentParser
import LibPQ
import TidemarkCore
import TidemarkStore

struct StatusCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show projections, milestones, deliveries, dead letters and replays."
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "Show it again every two seconds, until interrupted.")
    var watch = false

    func perform() async throws {
        try await inspect(self.source, self.database) { connection in
            repeat {
                let status = try await Status(connection)
                if self.watch, !self.json { Terminal.print("\u{1B}[H\u{1B}[2J") }
                Terminal.print(self.json ? status.json : status.human)
                if self.watch { try await Task.sleep(for: .seconds(2)) }
            } while self.watch
        }
    }
}

/// The report of `status`.
struct Status {
    private struct Projection {
        var name: String
        var table: String
        var live: Int64
        var deleted: Int64
        var milestones: [[String?]]
        var holes: Inspection.Holes
        /// Columns that were added after events had been seen.
        var late: String
        /// The same as a JSON list.
        var lateJSON: String
        var ignoredSnapshots: Int64
        /// `nil` in a schema of an earlier version.
        var revision: Int64?
    }

    private var projections: [Projection] = []
    private let deliveries: Inspection.Rows
    private let disabledNotifiers: Inspection.Rows
    private let deadLetters: Inspection.Rows
    private let replays: Inspection.Rows
    private let rebuilds: Inspection.Rows
    private let processes: [ProcessStatus]

    init(_ connection: Connection) async throws {
        for row in try await Inspection.projections(on: connection).rows {
            let name = row[0] ?? ""
            let counts = try await Inspection.entityCounts(of: name, on: connection)
            self.projections.append(
                Projection(
                    name: name,
                    table: row[1] ?? "",
                    live: counts.live,
                    deleted: counts.deleted,
                    milestones: try await Inspection.milestoneCounts(of: name, on: connection).rows,
                    holes: try await Inspection.holes(of: name, on: connection),
                    late: row[3] ?? "",
                    lateJSON: row[4] ?? "[]",
                    ignoredSnapshots: try await Inspection.ignoredSnapshots(of: name, on: connection),
                    revision: try await Inspection.revision(of: name, on: connection)
                )
            )
        }
        self.deliveries = try await Inspection.deliveryCounts(on: connection)
        self.disabledNotifiers = try await Inspection.disabledNotifiers(on: connection)
        self.deadLetters = try await Inspection.deadLetterCounts(on: connection)
        self.replays = try await Inspection.replays(limit: 5, on: connection)
        self.rebuilds = try await RebuildStore.unfinished(on: connection)
        let processes = try await Inspection.processes(on: connection)
        self.processes = try processes.rows.map { try ProcessStatus(processes.columns, $0) }
    }

    var human: String {
        var parts: [String] = []
        if self.projections.isEmpty { parts.append("no projections yet") }
        for projection in self.projections {
            var line = "\(projection.name) → \(projection.table): \(Terminal.grouped(projection.live)) live"
            if projection.deleted > 0 { line += ", \(Terminal.grouped(projection.deleted)) deleted" }
            if let missing = projection.holes.missingVersions, missing != "0" {
                line +=
                    "\n  \(missing) versions not seen, of \(Terminal.grouped(projection.holes.entitiesWithGaps)) entities"
            }
            if projection.holes.revived > 0 {
                line += "\n  \(Terminal.grouped(projection.holes.revived)) keys may have been revived after a prune"
            }
            if !projection.late.isEmpty {
                line +=
                    "\n  unknown for events seen before it was added: \(projection.late) (tidemark rebuild "
                    + "\(projection.name) FILE… reads them again)"
            }
            if projection.ignoredSnapshots > 0 {
                line +=
                    "\n  \(Terminal.grouped(projection.ignoredSnapshots)) snapshot rows gave way to streamed events with "
                    + "lower LSNs (snapshot_ignored in tidemark.anomalies); after a connector lost its offsets, raise "
                    + "`epoch` of the source for what follows, or say `snapshots: replace`"
            }
            let writers = self.processes.count { $0.projections.contains(projection.name) }
            if writers > 1 { line += "\n  shared by \(writers) processes, revision \(projection.revision ?? 0)" }
            for milestone in projection.milestones {
                line += "\n  \(milestone[0] ?? "") reached \(Terminal.grouped(Int64(milestone[1] ?? "") ?? 0))"
            }
            parts.append(Terminal.escapedLines(line))
        }
        if !self.processes.isEmpty {
            let blocks = self.processes.map { Terminal.escapedLines($0.human) }
            parts.append(("processes that write\n" + blocks.joined(separator: "\n")))
        }
        for (title, rows) in [
            ("rebuilds (`tidemark rebuild` resumes one, --abort removes it)", self.rebuilds),
            ("deliveries", self.deliveries),
            ("disabled notifiers (tidemark notifiers enable NAME)", self.disabledNotifiers),
            ("dead letters", self.deadLetters),
            ("replays (newest first)", self.replays),
        ] where !rows.rows.isEmpty {
            parts.append("\(title)\n" + Terminal.table([rows.columns] + rows.rows.map { $0.map { $0 ?? "" } }))
        }
        return parts.joined(separator: "\n\n")
    }

    var json: String {
        let projections = self.projections.map { projection in
            JSONOutput.object([
                ("name", JSONOutput.string(projection.name)), ("table", JSONOutput.string(projection.table)),
                ("live", "\(projection.live)"), ("deleted", "\(projection.deleted)"),
                ("missing_versions", projection.holes.missingVersions ?? "null"),
                ("revived", "\(projection.holes.revived)"),
                ("late_columns", projection.lateJSON),
                ("snapshots_ignored", "\(projection.ignoredSnapshots)"),
                ("revision", projection.revision.map { "\($0)" } ?? "null"),
                (
                    "milestones",
                    JSONOutput.object(projection.milestones.map { ($0[0] ?? "", $0[1] ?? "0") })
                ),
            ])
        }
        return JSONOutput.object([
            ("projections", "[\(projections.joined(separator: ","))]"),
            ("processes", "[\(self.processes.map(\.json).joined(separator: ","))]"),
            ("rebuilds", self.rebuilds.json(numbers: [])),
            ("deliveries", self.deliveries.json(numbers: ["count"])),
            ("disabled_notifiers", self.disabledNotifiers.json(numbers: [])),
            ("dead_letters", self.deadLetters.json(numbers: ["messages", "occurrences"])),
            (
                "replays",
                self.replays.json(numbers: [
                    "replay", "messages", "applied", "late", "duplicate", "dead_letters",
                ])
            ),
        ])
    }
}
