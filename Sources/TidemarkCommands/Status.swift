import LibPQ
import TidemarkCore
import TidemarkStore

/// The report of `status`.
struct Status {
    private struct Projection {
        var name: String
        var table: String
        var counts: Inspection.EntityCounts
        var milestones: (rows: [(milestone: String, reached: Int64)], isEstimate: Bool)
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
    /// Those whose tables cannot be read.
    private var unreadable: [(name: String, table: String, reason: String)] = []
    private let deliveries: (rows: Inspection.Rows, isEstimate: Bool)
    private let disabledNotifiers: Inspection.Rows
    private let deadLetters: (rows: Inspection.Rows, isEstimate: Bool)
    private let replays: Inspection.Rows
    private let replayCount: Int64
    private let rebuilds: Inspection.Rows
    private let processes: [ProcessStatus]
    private let service: ServiceStatus?
    /// Since the last look.
    var rates: StatusRates?

    /// - Parameter streams: how many streams of the service are named.
    init(streams: Int, _ connection: Connection) async throws {
        for row in try await Inspection.projections(on: connection).rows {
            do {
                self.projections.append(try await Self.projection(row, on: connection))
            } catch let error as PostgresError where error.sqlState == "42P01" {
                // One of its tables was dropped.
                self.unreadable.append((row[0] ?? "", row[1] ?? "", error.message))
            }
        }
        self.deliveries = try await Inspection.deliveryCounts(on: connection)
        self.disabledNotifiers = try await Inspection.disabledNotifiers(on: connection)
        self.deadLetters = try await Inspection.deadLetterCounts(on: connection)
        self.replays = try await Inspection.replays(limit: 5, on: connection)
        self.replayCount = try await Inspection.replayCount(on: connection)
        self.rebuilds = try await RebuildStore.unfinished(on: connection)
        let processes = try await Inspection.processes(on: connection)
        self.processes = try processes.rows.map { try ProcessStatus(processes.columns, $0) }
        self.service = try await Inspection.service(limit: streams, on: connection).map { ServiceStatus($0) }
    }

    private static func projection(
        _ row: [String?],
        on connection: Connection
    ) async throws -> Projection {
        let name = row[0] ?? ""
        return Projection(
            name: name,
            table: row[1] ?? "",
            counts: try await Inspection.entityCounts(of: name, on: connection),
            milestones: try await Inspection.milestoneCounts(of: name, on: connection),
            holes: try await Inspection.holes(of: name, on: connection),
            late: row[3] ?? "",
            lateJSON: row[4] ?? "[]",
            ignoredSnapshots: try await Inspection.ignoredSnapshots(of: name, on: connection),
            revision: try await Inspection.revision(of: name, on: connection)
        )
    }

    // MARK: For people

    var human: String {
        var parts: [String] = []
        if let rates = self.rates { parts.append(rates.human) }
        if self.projections.isEmpty, self.unreadable.isEmpty { parts.append("no projections yet") }
        parts += self.unreadable.map { projection in
            let lines = [
                "\(projection.name) → \(projection.table): cannot be read",
                "\(projection.reason): restore it from a back-up, or stop the service, and have it read anew "
                    + "(tidemark drop \(projection.name))",
            ]
            return lines.indices.map { Terminal.wrapped(lines[$0], indent: $0 == 0 ? 0 : 2) }.joined(separator: "\n")
        }
        parts += self.projections.map { projection in
            let lines = self.lines(of: projection)
            return lines.indices.map { Terminal.wrapped(lines[$0], indent: $0 == 0 ? 0 : 2) }.joined(separator: "\n")
        }
        if !self.processes.isEmpty {
            parts.append("processes that write\n" + self.processes.map(\.human).joined(separator: "\n"))
        }
        parts += self.service?.human ?? []
        let about = " (estimates: the table is large)"
        for (title, rows) in [
            ("rebuilds (`tidemark rebuild` resumes one, --abort removes it)", self.rebuilds),
            ("deliveries" + (self.deliveries.isEstimate ? about : ""), self.deliveries.rows),
            ("disabled notifiers (tidemark notifiers enable NAME)", self.disabledNotifiers),
            ("dead letters" + (self.deadLetters.isEstimate ? about : ""), self.deadLetters.rows),
            ("replays and services (newest first)", self.shortReplays),
        ] where !rows.rows.isEmpty {
            parts.append("\(title)\n" + Terminal.table([rows.columns] + rows.rows.map { $0.map { $0 ?? "" } }))
        }
        let more = self.replayCount - Int64(self.replays.rows.count)
        if more > 0, !self.replays.rows.isEmpty {
            parts[parts.count - 1] += "\nand \(Terminal.grouped(more)) more (tidemark.passes)"
        }
        return parts.joined(separator: "\n\n")
    }

    /// Narrow enough for a terminal.
    private var shortReplays: Inspection.Rows {
        var rows = self.replays
        let names = ["started_at": "started", "dead_letters": "dead"]
        rows.columns = rows.columns.map { names[$0] ?? $0 }
        for (index, column) in rows.columns.enumerated() {
            for row in rows.rows.indices {
                guard let cell = rows.rows[row][index] else { continue }
                if column == "started" { rows.rows[row][index] = String(cell.prefix(16)) }
                if column == "status", cell == "unfinished" { rows.rows[row][index] = "open" }
            }
        }
        return rows
    }

    private func lines(of projection: Projection) -> [String] {
        func number(_ count: Int64, _ isEstimate: Bool) -> String {
            (isEstimate ? "about " : "") + Terminal.grouped(count)
        }
        let counts = projection.counts
        var first = "\(projection.name) → \(projection.table): \(number(counts.live, counts.isEstimate)) live"
        if counts.deleted > 0 { first += ", \(number(counts.deleted, counts.isEstimate)) deleted" }
        var lines = [first]
        if let missing = projection.holes.missingVersions, missing != "0" {
            lines.append(
                "\(missing) versions not seen, of \(Terminal.grouped(projection.holes.entitiesWithGaps)) entities"
            )
        }
        if let relation = projection.holes.uncounted {
            lines.append("versions not seen are in \(relation), not counted here")
        }
        if projection.holes.revived > 0 {
            lines.append("\(Terminal.grouped(projection.holes.revived)) keys may have been revived after a prune")
        }
        if !projection.late.isEmpty {
            lines.append(
                "unknown for events seen before it was added: \(projection.late) (tidemark rebuild "
                    + "\(projection.name) FILE… reads them again)"
            )
        }
        if projection.ignoredSnapshots > 0 {
            lines.append(
                "\(Terminal.grouped(projection.ignoredSnapshots)) snapshot rows gave way to streamed events with "
                    + "lower LSNs (snapshot_ignored in tidemark.anomalies); after a connector lost its offsets, raise "
                    + "`epoch` of the source for what follows, or say `snapshots: replace`"
            )
        }
        let writers = self.processes.count { $0.projections.contains(projection.name) }
        if writers > 1 { lines.append("shared by \(writers) processes, revision \(projection.revision ?? 0)") }
        for (milestone, reached) in projection.milestones.rows {
            lines.append("\(milestone) reached \(number(reached, projection.milestones.isEstimate))")
        }
        return lines
    }

    // MARK: For programs

    var json: String {
        var members = [
            (
                "projections",
                "[\((self.projections.map(Self.json) + self.unreadable.map(Self.json)).joined(separator: ","))]"
            ),
            ("processes", "[\(self.processes.map(\.json).joined(separator: ","))]"),
            ("service", self.service?.json ?? "null"),
            ("rebuilds", self.rebuilds.json(numbers: [])),
            ("deliveries", self.deliveries.rows.json(numbers: ["count"])),
            ("deliveries_are_estimates", "\(self.deliveries.isEstimate)"),
            ("disabled_notifiers", self.disabledNotifiers.json(numbers: [])),
            ("dead_letters", self.deadLetters.rows.json(numbers: ["messages", "occurrences"])),
            ("dead_letters_are_estimates", "\(self.deadLetters.isEstimate)"),
            (
                "replays",
                self.replays.json(numbers: [
                    "replay", "messages", "applied", "late", "duplicate", "dead_letters",
                ])
            ),
        ]
        if let rates = self.rates { members.append(("rates", rates.json)) }
        return JSONOutput.object(members)
    }

    private static func json(_ projection: (name: String, table: String, reason: String)) -> String {
        JSONOutput.object([
            ("name", JSONOutput.string(projection.name)), ("table", JSONOutput.string(projection.table)),
            ("error", JSONOutput.string(projection.reason)),
        ])
    }

    private static func json(_ projection: Projection) -> String {
        JSONOutput.object([
            ("name", JSONOutput.string(projection.name)), ("table", JSONOutput.string(projection.table)),
            ("live", "\(projection.counts.live)"), ("deleted", "\(projection.counts.deleted)"),
            ("live_is_estimate", "\(projection.counts.isEstimate)"),
            ("missing_versions", projection.holes.missingVersions ?? "null"),
            ("revived", "\(projection.holes.revived)"),
            ("late_columns", projection.lateJSON),
            ("snapshots_ignored", "\(projection.ignoredSnapshots)"),
            ("revision", projection.revision.map { "\($0)" } ?? "null"),
            ("milestones", JSONOutput.object(projection.milestones.rows.map { ($0.milestone, "\($0.reached)") })),
            ("milestones_are_estimates", "\(projection.milestones.isEstimate)"),
        ])
    }
}

/// What was counted since the last look, each second.
struct StatusRates {
    private let rates: [(name: String, perSecond: Double)]

    init?(
        from before: (counts: [(String, Int64)], seconds: Double),
        to now: (counts: [(String, Int64)], seconds: Double)
    ) {
        let elapsed = now.seconds - before.seconds
        guard elapsed > 0 else { return nil }
        // Passes that ended long ago are removed with what they counted.
        self.rates = zip(before.counts, now.counts).map { ($1.0, max(0, Double($1.1 - $0.1)) / elapsed) }
    }

    var human: String {
        let parts = self.rates.map { rate in
            "\(Terminal.grouped(Int64(rate.perSecond.rounded()))) \(rate.name.replacing("_", with: " "))"
        }
        return "each second since the last look\n  " + parts.joined(separator: ", ")
    }

    var json: String { JSONOutput.object(self.rates.map { ($0.name, "\(($0.perSecond * 10).rounded() / 10)") }) }
}
