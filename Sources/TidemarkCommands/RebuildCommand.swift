import ArgumentParser
import Foundation
import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore

struct RebuildCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Rebuild a projection's rows beside the live ones, and swap them in.",
        discussion: """
            Reads the files, or, without any, the projection's own timeline. Readers
            see the old rows until the new ones are complete. Milestones stay reached,
            and nothing is delivered twice. The same command resumes an interrupted
            rebuild.

            Exit codes: 0 done, 1 failed, 64 usage, 65 bad data (--strict,
            max_dead_letters, gzip cut short, stored events that the new version
            refuses), 66 no such input, 69 database unreachable,
            78 configuration, 130 and 143 ended by a signal.
            """
    )

    @Argument(help: "The projection's name.")
    var projection: String

    @Argument(help: "Files, folders or globs to read, in this order (default: the projection's timeline).")
    var files: [String] = []

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var writing: WritingOptions
    @OptionGroup var logging: LoggingOptions

    @Flag(help: "Build the new version, show how it differs, and remove it.")
    var dryRun = false

    @Flag(help: "Remove a version that was not built to the end, or not swapped in.")
    var abort = false

    @Flag(help: "Print the outcome as JSON on standard output.")
    var json = false

    func validate() throws {
        if self.abort, self.dryRun || !self.files.isEmpty {
            throw ValidationError("--abort removes what another rebuild has begun; it takes no files and no --dry-run")
        }
        if self.files.contains("-") { throw ValidationError("standard input cannot be read again; name files") }
    }

    func perform() async throws {
        Allocator.configure()
        if self.abort { return try await self.runAbort() }
        let loaded = try self.source.load(ignoresDatabase: self.database.overridesFile)
        for warning in loaded.warnings { self.logging.logger.warning("\(warning)") }
        var configuration = loaded.configuration
        self.writing.apply(to: &configuration)
        let projection = try configuration.projection(self.projection)
        configuration.projections = [projection]
        let files = self.files.isEmpty ? nil : try InputResolver.resolve(self.files)
        try refusePipes(among: files ?? [])
        try await self.rebuild(configuration, projection, files)
    }

    private func runAbort() async throws {
        try await inspect(self.source, self.database) { connection in
            try await ProjectionLocks.lockOperations(on: self.projection, with: connection)
            guard try await RebuildStore.discard(self.projection, on: connection) else {
                throw CommandFailure(
                    "no version of projection \"\(self.projection)\" is being built; `tidemark status` shows those that are"
                )
            }
            Terminal.print(
                self.json
                    ? JSONOutput.object([("projection", JSONOutput.string(self.projection)), ("aborted", "true")])
                    : "removed the version of \(Terminal.escaped(self.projection)) that was being built"
            )
        }
    }

    private func rebuild(
        _ configuration: Configuration,
        _ projection: ProjectionDefinition,
        _ files: [InputFile]?
    ) async throws {
        let logger = self.logging.logger
        try await withDatabase(self.database, configured: configuration.database, role: "rebuild", logger: logger) {
            session in
            let connection = try await session.connectAsWriter(self.writing.migrate ? .all : .none, logger: logger)
            let delivery = self.dryRun ? nil : try self.writing.delivery(configuration, session, logger)
            var request = RebuildRequest(
                configuration: configuration,
                projection: projection,
                files: files,
                options: session.options
            )
            request.isDryRun = self.dryRun
            request.isMuted = self.writing.mute
            request.isStrict = self.writing.strict
            request.databaseWait = self.writing.databaseWaitLimit
            let meter = RebuildMeter()
            let runner = RebuildRunner(request, logger: logger) { meter.show($0) }
            let signals = SignalWatch()
            await signals.start { runner.stop() }
            let outcome: RebuildOutcome
            do {
                outcome = try await runner.run(on: connection)
            } catch {
                meter.stop()
                await connection.close()
                throw signals.failure(of: error)
            }
            meter.stop()
            let text = RebuildText(self.projection, outcome)
            if outcome.swap != nil, signals.received == nil, let delivery {
                delivery.start()
                await delivery.drain(atMost: self.writing.deliverWaitLimit)
            }
            await connection.close()
            if self.json { Terminal.print(json: text.json) } else { Terminal.print(text.human) }
            try self.end(outcome, signal: signals.received)
        }
    }

    private func end(_ outcome: RebuildOutcome, signal: Int32?) throws {
        let wayOut = "`tidemark deadletters list --projection \(NextVersion.name(of: self.projection))` shows why"
        switch outcome.ending {
        case .finished:
            if let signal { throw ExitCode(128 + signal) }
            if outcome.refused.count > 0 { throw self.refusal(outcome.refused.count) }
        case .interrupted:
            throw ExitCode(128 + (signal ?? SIGINT))
        case .strict:
            throw CommandFailure(
                ExitStatus.badData,
                "stopped at the first dead letter (--strict), nothing was swapped; \(wayOut), and the same command resumes "
                    + "after it"
            )
        case .tooManyDeadLetters(let limit):
            throw CommandFailure(
                ExitStatus.badData,
                "stopped: \(limit), nothing was swapped; \(wayOut). With the cause corrected or the limit raised the "
                    + "same command resumes"
            )
        case .badInput(let problem):
            throw CommandFailure(ExitStatus.badData, "\(problem); nothing was swapped")
        }
    }

    /// Refuses the swap: without these events the new rows would be wrong.
    private func refusal(_ count: Int64) -> CommandFailure {
        let next = NextVersion.name(of: self.projection)
        let what = "the new version refuses \(count) stored event\(count == 1 ? "" : "s"), so nothing was swapped"
        guard !self.dryRun else { return CommandFailure(ExitStatus.badData, what) }
        return CommandFailure(
            ExitStatus.badData,
            "\(what); `tidemark deadletters list --projection \(next)` shows which. Configure types that hold their values "
                + "and rebuild again, or name the files: tidemark rebuild \(self.projection) FILE…. To leave these events "
                + "out, drop them (tidemark deadletters drop --projection \(next) --yes) and rebuild again; "
                + "--abort removes the new version"
        )
    }
}

/// Refuses pipes, for commands that read their input twice or resume after an interruption.
func refusePipes(among files: [InputFile]) throws(CommandFailure) {
    guard let pipe = files.first(where: { !$0.isReadAgain }) else { return }
    throw CommandFailure(
        ExitStatus.usage,
        "\(Terminal.escaped(pipe.path)) is a pipe or a device, which brings its bytes once; write them to a file, and name that"
    )
}
