import ArgumentParser
import LibPQ
import TidemarkCore
import TidemarkStore

/// A source or projection that is named on the command line.
struct SubjectOptions: ParsableArguments {
    @Argument(help: "The name of a source or projection.")
    var name: String

    @Flag(name: .customLong("source"), help: "The source of that name.")
    var isSource = false

    @Flag(name: .customLong("projection"), help: "The projection of that name.")
    var isProjection = false

    func validate() throws {
        if self.isSource, self.isProjection { throw ValidationError("give --source or --projection, not both") }
    }

    /// - Throws: where the name is of neither, or of both and no option says which.
    func subject(on connection: Connection) async throws -> ServiceCommands.Subject {
        let found = try await ServiceCommands.subjects(named: self.name, on: connection).filter { subject in
            switch subject {
            case .source: !self.isProjection
            case .projection: !self.isSource
            }
        }
        guard let first = found.first else {
            let kind = self.isSource ? "source" : self.isProjection ? "projection" : "source or projection"
            throw CommandFailure(
                "the database knows no \(kind) \"\(self.name)\"; `tidemark status` lists them, once they were read"
            )
        }
        guard found.count == 1 else {
            throw CommandFailure(
                ExitStatus.usage,
                "\"\(self.name)\" is a source and a projection; say which with --source or --projection"
            )
        }
        return first
    }
}

struct PauseCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Have the service stop reading a source, or writing a projection, until it is resumed.",
        discussion: """
            Running processes find out with their next heartbeat, and later ones begin
            with it. Everything else goes on. What is not read meanwhile is read after
            `tidemark resume`. Exit code 0 also where it is paused already.
            """
    )

    @OptionGroup var subject: SubjectOptions
    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    func perform() async throws {
        try await Pausing(subject: self.subject, isPaused: true, json: self.json).perform(self.source, self.database)
    }
}

struct ResumeCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Have the service go on with a paused source or projection.",
        discussion: """
            It goes on behind what is committed: nothing is lost, nothing is read twice.
            Exit code 0 also where it is not paused.
            """
    )

    @OptionGroup var subject: SubjectOptions
    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    func perform() async throws {
        try await Pausing(subject: self.subject, isPaused: false, json: self.json).perform(self.source, self.database)
    }
}

private struct Pausing {
    var subject: SubjectOptions
    var isPaused: Bool
    var json: Bool

    func perform(_ source: ConfigurationOptions, _ database: DatabaseOptions) async throws {
        try await inspect(source, database, role: self.isPaused ? "pause" : "resume") { connection, _ in
            try await Migrator.requireCurrent(connection)
            let subject = try await self.subject.subject(on: connection)
            let isChanged = try await ServiceCommands.pause(subject, self.isPaused, on: connection)
            Terminal.print(self.json ? self.report(subject, isChanged) : self.text(subject, isChanged))
        }
    }

    private func text(_ subject: ServiceCommands.Subject, _ isChanged: Bool) -> String {
        let name = "\(subject.kind) \(Terminal.escaped(subject.name))"
        guard isChanged else { return self.isPaused ? "\(name) is paused already" : "\(name) is not paused" }
        guard self.isPaused else { return "\(name) is resumed: running processes go on with their next heartbeat" }
        let stop = subject.kind == "source" ? "reading" : "writing"
        return "\(name) is paused: running processes stop \(stop) it with their next heartbeat"
    }

    private func report(_ subject: ServiceCommands.Subject, _ isChanged: Bool) -> String {
        JSONOutput.object([
            (subject.kind, JSONOutput.string(subject.name)), ("paused", "\(self.isPaused)"),
            ("changed", "\(isChanged)"),
        ])
    }
}

struct BackfillCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "backfill",
        abstract: "Have the service read all streams again for one projection, beside what it reads for the others.",
        discussion: """
            For a projection that was configured later, or whose rows were lost. Rows that
            are there stay right: what they have seen counts as duplicate. The service goes
            on for the other projections, and reads for this one together with them once it
            has caught up.
            """
    )

    @Argument(help: "The projection's name.")
    var projection: String

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    func perform() async throws {
        try await inspect(self.source, self.database, role: "backfill") { connection, _ in
            try await Migrator.requireCurrent(connection)
            guard try await Inspection.key(of: self.projection, on: connection) != nil else {
                throw Inspection.unknown(self.projection)
            }
            guard let streams = try await ServiceCommands.backfill(self.projection, on: connection) else {
                throw CommandFailure(
                    "no service reads for projection \(self.projection), so there is nothing to read again; "
                        + "`tidemark run` with it reads all streams from their beginnings"
                )
            }
            let isPaused = try await ServiceCommands.pausedProjections(on: connection).contains(self.projection)
            if self.json {
                Terminal.print(
                    JSONOutput.object([
                        ("projection", JSONOutput.string(self.projection)), ("streams", "\(streams)"),
                        ("paused", "\(isPaused)"),
                    ])
                )
                return
            }
            let name = Terminal.escaped(self.projection)
            Terminal.print(
                "\(streams) stream\(streams == 1 ? " is" : "s are") read again for projection \(name), from the beginning"
            )
            if isPaused { Terminal.print("it is paused: reading begins with `tidemark resume \(name)`") }
        }
    }
}
