import Synchronization
import TidemarkConfiguration
import TidemarkCore
import TidemarkProjector
import TidemarkSources
import TidemarkService

/// Compares the beginning of logs with a configuration, by a pass of the projector into memory.
final class LogSample: MessageObserver {
    private let configuration: Configuration
    private let namesDatabases: Bool
    private let counts: Mutex<Counts>
    private static let messagesMax: Int64 = 1000

    private struct Counts {
        var databases: DatabaseSample
        var identities: IdentitySample
        var tables: [String: Int] = [:]
        var primaryKeys: [String: [String]] = [:]
        var refusals = RefusalSample()
        var first: FirstMessages
        var gaps: [Lack<PositionGap>: Int] = [:]
        var ties: [Lack<RowNumberGap>: Int] = [:]
        var detector: ReadingDetector
    }

    init(_ configuration: Configuration) {
        self.configuration = configuration
        let plans = configuration.projections.map { ProjectionPlan($0) }
        self.namesDatabases = plans.contains(where: \.distinguishesDatabases)
        self.counts = Mutex(
            Counts(
                databases: DatabaseSample(plans),
                identities: IdentitySample(configuration, plans),
                first: FirstMessages(plans),
                detector: ReadingDetector(plans)
            )
        )
    }

    func inspect(
        _ files: [InputFile]
    ) async throws -> (findings: [String], warnings: [String], errors: [ConfigurationIssue]) {
        let source = self.configuration.source(
            of: files.filter { !$0.isStandardInput },
            messagesMax: Self.messagesMax
        )
        if case .badInput(let problem) = try await DryRun(self.configuration).run(source, observer: self).ending {
            throw CommandFailure(ExitStatus.badData, problem)
        }
        return self.counts.withLock { counts in
            let (databases, identities) = (counts.databases, counts.identities)
            let compared = self.compare(counts.tables, counts.primaryKeys)
            let refused = counts.refusals.warnings(self.configuration.projections.map(\.name))
            // Events that a projection by `$position` would refuse, and those whose order would be arbitrary.
            let missing = self.warnings(counts.gaps, of: counts.tables) { lack in
                "have none: a message of source \"\(lack.source)\" \(lack.gap.why); the way out is \(lack.gap.wayOut)"
            }
            let tied = self.warnings(counts.ties, of: counts.tables) { lack in
                "may share theirs with other rows: a message of source \"\(lack.source)\" \(lack.gap.why); several "
                    + "changes of one key in one place are ordered by guesswork then, a delete that frees the key first; "
                    + "the way out is \(lack.gap.wayOut)"
            }
            let positions = missing + tied + self.mixedPositions(counts.detector)
            let units = self.units(counts.detector)
            return (
                counts.first.lines + compared.findings + units.findings + identities.findings,
                compared.warnings + refused + positions + units.warnings + databases.warnings + identities.warnings,
                identities.errors
            )
        }
    }

    /// Units are found in the whole beginning, as a replay finds them; all else in the first messages.
    func observe(_ message: DecodedMessage, ordinal: Int64, isBeginning: Bool, of stream: PassStream) {
        let settings = stream.settings
        let isSampled = ordinal <= Self.messagesMax
        guard isSampled || isBeginning else { return }
        self.counts.withLock { counts in
            counts.first.count(message, ordinal: ordinal, of: stream)
            for event in message.events {
                counts.detector.count(event, of: message, isBeginning: isBeginning)
                if isSampled { self.count(event, of: message, settings, in: &counts) }
            }
        }
    }

    func observe(_ batch: LaneBatch) {
        self.counts.withLock { counts in
            counts.refusals.count(batch)
            counts.first.count(batch)
        }
    }

    private func count(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        _ settings: SourceSettings,
        in counts: inout Counts
    ) {
        let table =
            self.namesDatabases
            ? String(decoding: message.fullTable(of: event), as: UTF8.self) : message.text(event.table)
        counts.databases.count(event, of: message)
        counts.identities.count(event, of: message, settings)
        counts.tables[table, default: 0] += 1
        if !message.primaryKey.isEmpty { counts.primaryKeys[table] = message.primaryKey.map(message.text) }
        if let gap = event.positionGap {
            counts.gaps[Lack(source: settings.name, table: table, gap: gap), default: 0] += 1
        }
        if let gap = event.rowNumberGap {
            counts.ties[Lack(source: settings.name, table: table, gap: gap), default: 0] += 1
        }
    }

    /// The positions of several kinds that a projection by `$position` would accept and refuse.
    private func mixedPositions(_ detector: ReadingDetector) -> [String] {
        self.configuration.projections.compactMap { projection in
            let mixture = detector.mixture(of: projection.name)
            guard let first = mixture.first else { return nil }
            let counts = mixture.map { "\($0.kind) (\($0.count))" }.joined(separator: ", ")
            return "projection \(projection.name): sequence asks for $position, and its messages carry several kinds: "
                + "\(counts); one kind is taken, and the others are dead letters: declare it, as in "
                + "`{ column: $position, type: \(first.kind) }`, and keep one projection for each"
        }
    }

    /// The units found for columns whose times are numbers, and the line that configures each.
    private func units(_ detector: ReadingDetector) -> (findings: [String], warnings: [String]) {
        var findings: [String] = []
        var warnings: [String] = []
        for projection in self.configuration.projections {
            for (column, tally) in detector.numbers(of: projection.name) {
                let what = "projection \(projection.name): column \"\(column.name)\" (\(column.type.sql)) holds numbers"
                let counts =
                    tally.counts.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
                    .map { "\($0.value) can only be \($0.key.rawValue)" }
                    + (tally.ambiguous > 0 ? ["\(tally.ambiguous) tell no unit"] : [])
                let seen = counts.joined(separator: ", ")
                if let unit = tally.unit {
                    let line = projection.line(declaring: unit, of: column)
                    findings.append("\(what) that count \(unit.rawValue) (\(seen)); to say so, write `\(line)`")
                } else {
                    let units = column.type.timeUnits
                    let example = projection.line(declaring: units.first ?? .none, of: column)
                    warnings.append(
                        "\(what) whose unit is not known (\(seen)); they are dead letters until it is said, as in "
                            + "`\(example)` (\(units.map(\.rawValue).joined(separator: ", ")))"
                    )
                }
            }
        }
        return (findings, warnings)
    }

    /// Events of one source and table that lack something.
    private struct Lack<Gap: Hashable>: Hashable {
        var source: String
        var table: String
        var gap: Gap
    }

    /// A warning for each projection by `$position` that takes a table with such events.
    private func warnings<Gap>(
        _ lacks: [Lack<Gap>: Int],
        of tables: [String: Int],
        _ text: (Lack<Gap>) -> String
    ) -> [String] {
        let plans = self.configuration.projections.filter { $0.sequence.contains(.position) }.map { ProjectionPlan($0) }
        return lacks.sorted { ($0.key.table, $0.key.source) < ($1.key.table, $1.key.source) }.flatMap { lack, count in
            plans.filter { $0.takes(table: lack.table) }.map { plan in
                "projection \(plan.name): sequence asks for $position; of \(tables[lack.table] ?? count) events of "
                    + "\(lack.table) \(count) \(text(lack))"
            }
        }
    }

    private func compare(
        _ tables: [String: Int],
        _ primaryKeys: [String: [String]]
    ) -> (findings: [String], warnings: [String]) {
        var findings: [String] = []
        var warnings: [String] = []
        let plans = self.configuration.projections.map { ProjectionPlan($0) }
        for (table, count) in tables.sorted(by: { $0.key < $1.key }) {
            let matching = plans.filter { $0.takes(table: table) }
            let names = matching.map(\.name).joined(separator: ", ")
            findings.append(
                "\(table): \(count) events in the sample, \(matching.isEmpty ? "taken by no projection" : "taken by \(names)")"
            )
            for plan in matching {
                guard let primaryKey = primaryKeys[table] else { continue }
                let key = plan.keyColumns.filter { !$0.isDatabase }.map { String(decoding: $0.source, as: UTF8.self) }
                if Set(key) != Set(primaryKey) {
                    warnings.append(
                        "projection \(plan.name): key is (\(key.joined(separator: ", "))), the messages of \(table) name "
                            + "(\(primaryKey.joined(separator: ", "))) as the primary key"
                    )
                }
            }
        }
        for plan in plans where !tables.isEmpty && !tables.keys.contains(where: plan.takes(table:)) {
            warnings.append("projection \(plan.name): no table in the sample matches `from`")
        }
        return (findings, warnings)
    }
}

extension ProjectionDefinition {
    /// The line that configures a unit for a column's numbers.
    fileprivate func line(declaring unit: ValueEncoding, of column: ColumnPlan) -> String {
        guard let declared = self.columns?.first(where: { $0.name == column.name }) else {
            return "sequence: { column: \(column.name), type: \(column.type.sql), encoding: \(unit.rawValue) }"
        }
        let from = declared.from == declared.name ? "" : ", from: \(declared.from)"
        return "\(column.name): { type: \(column.type.sql)\(from), encoding: \(unit.rawValue) }"
    }
}
