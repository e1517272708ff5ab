import ArgumentParser
import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkCore
import TidemarkProjector
import TidemarkService
import TidemarkSources
import TidemarkStore

struct VerifyCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Verify a projection's rows against its events.",
        discussion: """
            Without files: recomputes every row and milestone from the timeline, in
            SQL, and compares value by value. With --against: replays the files into a
            throw-away schema and compares with that. With --shuffle N: replays N
            seeded permutations of the files, with repeats, and compares them with the
            files in order, to prove that the result is independent of arrival.

            Exit codes: 0 no difference, 65 differences or nothing to compare.
            """
    )

    @Argument(help: "The projection's name.")
    var projection: String

    @Argument(help: "With --against and --shuffle: the logs.")
    var files: [String] = []

    @Flag(help: "Compare with a replay of the files.")
    var against = false

    @Option(help: "Compare this many permutations of the files.")
    var shuffle: Int?

    @Option(help: "With --shuffle: the seed of the first permutation (default: a new one, printed).")
    var seed: UInt64?

    @Option(help: "List at most this many differences; all are counted.")
    var limit: Int64 = 100

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var logging: LoggingOptions

    func validate() throws {
        guard (self.against || self.shuffle != nil) == !self.files.isEmpty else {
            throw ValidationError("files go with --against or --shuffle, and those go with files")
        }
        if self.against, self.shuffle != nil { throw ValidationError("--against and --shuffle are two questions") }
        if let shuffle, !(1...1000).contains(shuffle) {
            throw ValidationError("--shuffle takes a number from 1 to 1000")
        }
        if self.limit < 1 { throw ValidationError("--limit takes a number from 1 on") }
        if self.files.contains("-") { throw ValidationError("standard input can be read once; name files") }
    }

    func perform() async throws {
        let loaded = try self.source.load(ignoresDatabase: self.database.overridesFile)
        let definition = try loaded.configuration.projection(self.projection)
        let files = try InputResolver.resolve(self.files)
        try refusePipes(among: files)
        var report = VerifyReport(projection: self.projection)
        try await withDatabase(
            self.database,
            configured: loaded.configuration.database,
            role: "verify",
            makesServer: self.shuffle != nil,
            logger: self.logging.logger
        ) { session in
            let connection = try await self.shuffle == nil ? session.connectToExisting() : session.connect()
            var session = session
            let replays = ConnectionInterruptions()
            session.options.interruptions = replays
            try await endingBySignal(connection, replays) { [session] in
                if self.shuffle != nil {
                    _ = try await Migrator.migrate(connection)
                } else if try await Inspection.key(of: definition.name, on: connection) != nil {
                    try await ProjectionRegistry.requireStored(ProjectionPlan(definition), on: connection)
                }
                let definition = try await self.withReadings(definition, files, loaded.configuration, on: connection)
                if self.shuffle != nil {
                    try await Verification.removeAbandoned(on: connection)
                    try await self.permute(files, loaded.configuration, definition, session, connection, &report)
                } else {
                    try await self.compare(files, loaded.configuration, definition, session, connection, &report)
                }
            }
            await connection.close()
        }
        if self.json { Terminal.print(json: report.json) } else { Terminal.print(report.human) }
        if !report.isProof { throw ExitCode(ExitStatus.badData) }
    }

    /// Gives a throw-away projection the readings of the stored one, or else those found in the unpermuted files, since
    /// the beginning of a permutation may differ.
    private func withReadings(
        _ definition: ProjectionDefinition,
        _ files: [InputFile],
        _ configuration: Configuration,
        on connection: Connection
    ) async throws -> ProjectionDefinition {
        let stored = try await PassStore.readings(of: [definition.name], on: connection)
        var detector = ReadingDetector([ProjectionPlan(definition)], known: stored)
        detector.count(beginningsOf: configuration.source(of: files))
        _ = detector.decide()
        var definition = definition.declaring(detector.known.units[definition.name] ?? [:])
        definition.positionKind = detector.known.positionKinds[definition.name]
        return definition
    }

    private func compare(
        _ files: [InputFile],
        _ configuration: Configuration,
        _ definition: ProjectionDefinition,
        _ session: DatabaseSession,
        _ connection: Connection,
        _ report: inout VerifyReport
    ) async throws {
        guard try await Inspection.key(of: definition.name, on: connection) != nil else {
            report.problem = "projection \(definition.name) has no rows in this database yet"
            return
        }
        let plan = ProjectionPlan(definition)
        if self.against {
            try await Verification.removeAbandoned(on: connection)
            let scratch = ScratchReplay(configuration, definition, options: session.options)
            report.outcome = try await scratch.withLog(files, on: connection) { expected in
                try await Verification.compare(plan, with: expected, limit: self.limit, on: connection)
            }
        } else if plan.keepsTimeline {
            report.outcome = try await Verification.timeline(plan, limit: self.limit, on: connection)
        } else {
            report.problem =
                "projection \(definition.name) keeps no timeline to compare with; use --against or --shuffle with its logs"
        }
    }

    private func permute(
        _ files: [InputFile],
        _ configuration: Configuration,
        _ definition: ProjectionDefinition,
        _ session: DatabaseSession,
        _ connection: Connection,
        _ report: inout VerifyReport
    ) async throws {
        let seed = self.seed ?? UInt64.random(in: 0..<1_000_000_000)
        func scratch() -> ScratchReplay {
            ScratchReplay(configuration, definition, options: session.options)
        }
        let count = self.shuffle ?? 0
        report = try await scratch().withLog(files, on: connection) { [report] straight in
            var report = report
            report.checksums = try await Verification.checksums(straight, on: connection)
            for number in 0..<count {
                let own = seed &+ UInt64(number)
                self.logging.logger.info("permutation \(number + 1) of \(count)", metadata: ["seed": "\(own)"])
                try await scratch().withPermutation(of: files, seed: own, on: connection) { permuted in
                    let found = try await Verification.checksums(permuted, on: connection)
                    let outcome = try await Verification.compare(
                        permuted,
                        with: straight,
                        limit: self.limit,
                        on: connection
                    )
                    report.add(seed: own, found, outcome)
                }
            }
            return report
        }
    }
}

/// The result of a comparison.
struct VerifyReport {
    struct Permutation {
        var seed: UInt64
        var checksums: [(relation: String, checksum: String)]
        var differing: [String]
    }

    let projection: String
    var outcome = Verification.Outcome()
    /// Why nothing was compared.
    var problem: String?
    /// The result for the unpermuted log.
    var checksums: [(relation: String, checksum: String)] = []
    private(set) var permutations: [Permutation] = []

    mutating func add(
        seed: UInt64,
        _ checksums: [(relation: String, checksum: String)],
        _ outcome: Verification.Outcome
    ) {
        let differing = zip(self.checksums, checksums).filter { $0.checksum != $1.checksum }.map(\.0.relation)
        self.permutations.append(Permutation(seed: seed, checksums: checksums, differing: differing))
        self.outcome.compared = outcome.compared
        self.outcome.add(outcome)
    }

    var isProof: Bool {
        self.problem == nil && self.outcome.compared > 0 && self.outcome.differenceCount == 0
            && self.permutations.allSatisfy(\.differing.isEmpty)
    }

    var json: String {
        let differences = self.outcome.differences.map { difference in
            JSONOutput.object([
                ("key", difference.key), ("column", JSONOutput.string(difference.column)),
                ("expected", difference.expected.map(JSONOutput.string) ?? "null"),
                ("found", difference.found.map(JSONOutput.string) ?? "null"),
            ])
        }
        var members: [(name: String, json: String)] = [
            ("projection", JSONOutput.string(self.projection)), ("equal", self.isProof ? "true" : "false"),
            ("compared", "\(self.outcome.compared)"), ("difference_count", "\(self.outcome.differenceCount)"),
            ("differences", "[\(differences.joined(separator: ","))]"),
        ]
        if let problem { members.append(("problem", JSONOutput.string(problem))) }
        if !self.permutations.isEmpty {
            members.append(("checksums", Self.json(self.checksums)))
            let permutations = self.permutations.map { permutation in
                JSONOutput.object([
                    ("seed", "\(permutation.seed)"), ("checksums", Self.json(permutation.checksums)),
                    ("differing", JSONOutput.array(permutation.differing)),
                ])
            }
            members.append(("permutations", "[\(permutations.joined(separator: ","))]"))
        }
        return JSONOutput.object(members)
    }

    /// A text that would read as no value, or as none at all, is quoted.
    private static func shown(_ value: String?) -> String {
        guard let value else { return "null" }
        return value.isEmpty || value == "null" ? "\"\(value)\"" : value
    }

    private static func json(_ checksums: [(relation: String, checksum: String)]) -> String {
        JSONOutput.object(checksums.map { ($0.relation, JSONOutput.string($0.checksum)) })
    }

    var human: String {
        var lines: [String] = []
        for permutation in self.permutations {
            lines.append(
                "seed \(permutation.seed): "
                    + (permutation.differing.isEmpty
                        ? "the same" : "\(permutation.differing.joined(separator: ", ")) differ")
            )
        }
        for difference in self.outcome.differences {
            let text =
                "\(difference.key) \(difference.column): expected \(Self.shown(difference.expected)), found "
                + Self.shown(difference.found)
            lines.append(Terminal.escaped(text))
        }
        let more = self.outcome.differenceCount - Int64(self.outcome.differences.count)
        if more > 0 { lines.append("and \(Terminal.grouped(more)) more (--limit \(self.outcome.differenceCount))") }
        let compared = "\(Terminal.grouped(self.outcome.compared)) entities of \(self.projection)"
        if let problem {
            lines.append("nothing was compared: \(problem)")
        } else if self.outcome.compared == 0 {
            lines.append("nothing was compared: there are no events of \(self.projection)")
        } else if self.isProof {
            lines.append("\(compared) compared, no difference")
        } else {
            let differ = self.permutations.count { !$0.differing.isEmpty }
            let count = self.outcome.differenceCount
            lines.append(
                "\(compared) compared, \(Terminal.grouped(count)) \(count == 1 ? "difference" : "differences")"
                    + (self.permutations.isEmpty ? "" : "; \(differ) of \(self.permutations.count) permutations differ")
            )
        }
        return lines.joined(separator: "\n")
    }
}
