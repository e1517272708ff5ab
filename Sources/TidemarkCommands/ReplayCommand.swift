import ArgumentParser
import Foundation
import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore

struct ReplayCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Read event logs into the read model.",
        discussion: """
            Files hold one message a line, or a JSON array of messages, and may be
            compressed with gzip or zstd; folders and globs are taken in name order;
            - is standard input. Without a file those of the configured sources are
            read. An interrupted replay resumes where it was when it is started again
            with the same files; standard input and pipes start over.

            Exit codes: 0 done, 1 failed, 64 usage, 65 bad data (--strict,
            max_dead_letters, a file that is damaged, cut short or no text), 66 no such
            input, 69 database unreachable, 78 configuration, 130 and 143 ended by a
            signal.
            """
    )

    @Argument(
        help: "Files, folders or globs to read, in this order; - for standard input (default: the sources' paths)."
    )
    var files: [String] = []

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var writing: WritingOptions
    @OptionGroup var logging: LoggingOptions

    @Flag(help: "Print the summary as JSON on standard output.")
    var json = false

    @Flag(help: "Decode, validate and count; no database.")
    var dryRun = false

    func validate() throws {
        if self.files.filter({ $0 == "-" }).count > 1 { throw ValidationError("standard input can be read once") }
        if self.files.isEmpty, !self.source.namesFile { throw ValidationError(Self.nothingToRead) }
    }

    func perform() async throws {
        Allocator.configure()
        var configuration = try self.loadConfiguration()
        self.writing.apply(to: &configuration)
        let files = Self.withoutRepeats(try InputResolver.resolve(try self.paths(configuration)))
        if self.dryRun {
            try await self.runDry(configuration, files)
        } else {
            try await self.runForReal(configuration, files)
        }
    }

    /// What is to be read: the arguments, else the paths of the configured sources.
    private func paths(_ configuration: Configuration) throws(CommandFailure) -> [String] {
        let paths = self.files.isEmpty ? configuration.sources.flatMap(\.paths) : self.files
        guard paths.isEmpty else { return paths }
        throw CommandFailure(ExitStatus.usage, Self.nothingToRead)
    }

    private static let nothingToRead =
        "there is nothing to read: name files, folders or globs, or - for standard input, or give a source of the "
        + "configuration file `paths`"

    private func loadConfiguration() throws -> Configuration {
        let loaded = try self.source.load(ignoresDatabase: self.dryRun || self.database.overridesFile)
        for warning in loaded.warnings { self.logging.logger.warning("\(warning)") }
        if let database = self.database.database, Self.holdsPassword(database) {
            self.logging.logger.warning(
                "--database holds a password, which every user of this machine can read; use DATABASE_URL or a password file"
            )
        }
        return loaded.configuration
    }

    private static func holdsPassword(_ conninfo: String) -> Bool {
        let bytes = Array(conninfo.utf8)
        if bytes.firstRange(of: Array("password=".utf8)) != nil { return true }
        guard let scheme = bytes.firstRange(of: Array("://".utf8)) else { return false }
        let authority = bytes[scheme.upperBound...].prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        return authority.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false).dropLast().contains {
            $0.contains(UInt8(ascii: ":"))
        }
    }

    /// The files, each once, even if named several times.
    private static func withoutRepeats(_ files: [InputFile]) -> [InputFile] {
        var seen: Set<[UInt8]> = []
        return files.filter { seen.insert(Array($0.absolutePath.utf8)).inserted }
    }

    // MARK: Without a database

    private func runDry(_ configuration: Configuration, _ files: [InputFile]) async throws {
        let (summary, problem) = try await DryRun(configuration).run(files)
        if self.json {
            Terminal.print(json: SummaryText.json(summary))
        } else {
            Terminal.print(SummaryText.human(summary, isDry: true))
        }
        if let problem { throw CommandFailure(ExitStatus.badData, problem) }
        if self.writing.strict, summary.deadLetters > 0 {
            let count = summary.deadLetters
            throw CommandFailure(
                ExitStatus.badData,
                "\(count) message\(count == 1 ? " is a dead letter" : "s are dead letters") (--strict); `tidemark check` says "
                    + "which are the first, and why"
            )
        }
        self.hint(summary)
    }

    /// What a newcomer would ask next, where nothing of a log was taken.
    private func hint(_ summary: PassSummary) {
        guard summary.messages > summary.control, summary.applied + summary.late + summary.duplicate == 0 else {
            return
        }
        let why = summary.deadLetters == 0 ? "; no projection takes the tables of its messages (`from`)" : ""
        self.logging.logger.warning(
            "nothing of the log was applied\(why); `tidemark check` with the same options says what is done with the first"
        )
    }

    // MARK: With one

    private func runForReal(_ configuration: Configuration, _ files: [InputFile]) async throws {
        let logger = self.logging.logger
        try await withDatabase(
            self.database,
            configured: configuration.database,
            role: "replay",
            makesServer: true,
            logger: logger
        ) {
            session in
            let connection = try await session.connectAsWriter(
                self.writing.migrate ? .all : .none,
                logger: logger
            )
            let delivery = try self.writing.delivery(configuration, session, logger)
            var request = ReplayRequest(configuration: configuration, files: files, options: session.options)
            request.isMuted = self.writing.mute
            request.isStrict = self.writing.strict
            request.changes = self.writing.migrate ? .all : .none
            request.onMilestones = { delivery?.wake() }
            request.databaseWait = self.writing.databaseWaitLimit
            let runner = ReplayRunner(request, logger: logger)
            let signals = SignalWatch()
            await signals.start { runner.stop() }
            let meter = ProgressMeter(runner.progress)
            meter.start()
            delivery?.start()
            let outcome: PassOutcome
            do {
                outcome = try await runner.run(on: connection)
            } catch {
                meter.stop()
                await delivery?.stop()
                await connection.close()
                throw signals.failure(of: error)
            }
            meter.stop()
            if signals.received == nil {
                await delivery?.drain(atMost: self.writing.deliverWaitLimit)
            } else {
                await delivery?.stop()
            }
            await connection.close()
            if self.json {
                Terminal.print(json: SummaryText.json(outcome.summary))
            } else {
                Terminal.print(SummaryText.human(outcome.summary))
            }
            self.hint(outcome.summary)
            try self.end(outcome, files, signal: signals.received)
        }
    }

    private func end(_ outcome: PassOutcome, _ files: [InputFile], signal: Int32?) throws {
        switch outcome.ending {
        case .finished:
            if let signal { throw ExitCode(128 + signal) }
        case .interrupted:
            throw ExitCode(128 + (signal ?? SIGINT))
        case .strict:
            throw CommandFailure(
                ExitStatus.badData,
                "stopped at the first dead letter (--strict); `tidemark deadletters list` shows it, and the same "
                    + "command resumes after it"
            )
        case .tooManyDeadLetters(let limit):
            if let damage = InputDamage.first(in: files) {
                throw CommandFailure(
                    ExitStatus.badData,
                    "\(damage); its damage may be why \(limit). Replace the file, and drop what came of it: "
                        + "`tidemark deadletters list` shows it"
                )
            }
            throw CommandFailure(
                ExitStatus.badData,
                "stopped: \(limit); `tidemark deadletters list` shows why. With the cause corrected or the limit "
                    + "raised the same command resumes"
            )
        case .badInput(let problem):
            throw CommandFailure(ExitStatus.badData, "\(problem); everything before it has been applied")
        }
    }
}
