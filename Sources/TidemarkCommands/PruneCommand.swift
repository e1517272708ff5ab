import ArgumentParser
import Foundation
import LibPQ
import TidemarkConfiguration
import TidemarkCore
import TidemarkStore

struct PruneCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove old tombstones, events of the timeline and delivered notifications.",
        discussion: """
            Rows, milestones and their events stay; the events of a pruned tombstone go
            with it. After a prune:
              an event older than a pruned tombstone, read late, revives its key
                (`tidemark status` counts the keys that may have come back so);
              a pruned event, read again, counts as late again and is kept again;
              history and `verify` cover only the events that are left.
            No milestone is reached again and nothing is delivered again.

            PostgreSQL keeps the space of removed rows for new ones. --compact returns
            that of the timelines to the system: it copies each into a new table while
            the projection is read and written. That needs disk space for the events
            that are left, the configuration, and the rights of the owner.
            """
    )

    @Argument(help: "The projections (default: all).")
    var projections: [String] = []

    @Option(help: "The age from which to prune: 90d, 12w, 36h, 30min.")
    var olderThan: TimeSpan

    @Flag(help: "Give the space of the timelines back to the system.")
    var compact = false

    @Flag(help: "Only count what would be removed.")
    var dryRun = false

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    func perform() async throws {
        try await inspect(self.source, self.database, role: "prune", endsBySignal: false) { connection, options in
            let all = try await Inspection.projections(on: connection).rows.compactMap { $0[0] }
            let names = self.projections.isEmpty ? all : self.projections
            if let unknown = names.first(where: { !all.contains($0) }) {
                throw CommandFailure("there is no projection \"\(unknown)\"; there are \(all.joined(separator: ", "))")
            }
            let cutoff = Int64((Date.now.timeIntervalSince1970 - Double(self.olderThan.seconds)) * 1_000_000)
            if !self.dryRun { try await Migrator.requireCurrent(connection) }
            let configuration = try self.source.loadIfPresent()?.configuration
            let service = configuration?.service ?? ServiceSettings()
            let plans = try self.compact ? names.map { try self.plan($0, configuration) } : []
            var objects: [String] = []
            let signals = SignalWatch()
            await signals.start { connection.interrupt() }
            for name in names where signals.received == nil {
                let outcome: Outcome
                do {
                    outcome = try await self.prune(
                        name,
                        before: cutoff,
                        compacting: plans.first { $0.name == name },
                        signals,
                        options,
                        service,
                        on: connection
                    )
                } catch let error as PostgresError where error.code == .cancelled && signals.received != nil {
                    break
                }
                objects.append(Self.json(name, outcome))
                if !self.json { self.print(name, outcome) }
            }
            if !self.dryRun, signals.received == nil {
                _ = try await PassRetention.removeExpired(service.retention, on: connection)
            }
            if self.json { Terminal.print(json: "[\(objects.joined(separator: ","))]") }
            if let signal = signals.received {
                throw CommandFailure(
                    128 + signal,
                    "interrupted; what is pruned stays pruned, and the same command goes on with the rest"
                )
            }
        }
    }

    private struct Outcome: Sendable {
        var pruned: Pruning.Outcome
        var compacted: TimelineCompaction.Outcome?
    }

    private func plan(_ name: String, _ configuration: Configuration?) throws -> ProjectionPlan {
        guard let definition = configuration?.projections.first(where: { $0.name == name }) else {
            throw CommandFailure(
                ExitStatus.configuration,
                "--compact makes the views of projection \(name) again, and needs its configuration: name the file by "
                    + "--config, or only projections that are in it"
            )
        }
        return ProjectionPlan(definition)
    }

    private func prune(
        _ name: String,
        before cutoff: Int64,
        compacting plan: ProjectionPlan?,
        _ signals: SignalWatch,
        _ options: ConnectionOptions,
        _ service: ServiceSettings,
        on connection: Connection
    ) async throws -> Outcome {
        guard !self.dryRun else {
            return Outcome(pruned: try await Pruning.count(name, before: cutoff, on: connection))
        }
        let settings = ProcessSession.Settings(
            options,
            projections: [name],
            operations: [name],
            leaseTTL: service.leaseTTL,
            logger: LoggingOptions.standard
        )
        return try await ProcessSession.with(connection, settings) { process in
            try await process.enter(on: connection)
            let isStopped = {
                guard signals.received != nil else { return false }
                connection.forgetInterruption()
                return true
            }
            let pruned = try await Pruning.prune(name, before: cutoff, on: connection, isStopped: isStopped)
            guard let plan, signals.received == nil else { return Outcome(pruned: pruned) }
            let compaction = try await TimelineCompaction(plan, on: connection)
            return Outcome(pruned: pruned, compacted: try await compaction?.run(on: connection, isStopped: isStopped))
        }
    }

    private static func json(_ name: String, _ outcome: Outcome) -> String {
        var members = [
            ("projection", JSONOutput.string(name)), ("tombstones", "\(outcome.pruned.tombstones)"),
            ("events", "\(outcome.pruned.events)"), ("deliveries", "\(outcome.pruned.deliveries)"),
        ]
        if let compacted = outcome.compacted {
            members += [
                ("timeline_bytes_before", "\(compacted.before)"), ("timeline_bytes_after", "\(compacted.after)"),
            ]
        }
        return JSONOutput.object(members)
    }

    private func print(_ name: String, _ all: Outcome) {
        let outcome = all.pruned
        Terminal.print(
            Terminal.escaped(
                "\(name): \(Terminal.grouped(outcome.tombstones)) tombstones, \(Terminal.grouped(outcome.events)) events, "
                    + "\(Terminal.grouped(outcome.deliveries)) deliveries \(self.dryRun ? "would go" : "are gone")"
            )
        )
        if let compacted = all.compacted {
            Terminal.print(
                "  the timeline takes \(Terminal.size(compacted.after)), and took \(Terminal.size(compacted.before)) before"
            )
        }
        guard outcome.tombstones > 0 else { return }
        Terminal.print(
            "  an event older than those tombstones, read late, \(self.dryRun ? "would revive" : "revives") its key"
        )
    }
}
