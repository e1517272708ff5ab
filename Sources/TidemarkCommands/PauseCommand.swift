import ArgumentParser
import LibPQ
import TidemarkConfiguration
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

    @OptionGroup var pausing: Pausing

    func perform() async throws { try await self.pausing.perform(isPaused: true) }
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

    @OptionGroup var pausing: Pausing

    func perform() async throws { try await self.pausing.perform(isPaused: false) }
}

/// What pausing and resuming have in common.
struct Pausing: ParsableArguments {
    @OptionGroup var subject: SubjectOptions
    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    func perform(isPaused: Bool) async throws {
        try await inspect(self.source, self.database, role: isPaused ? "pause" : "resume") { connection, _ in
            try await Migrator.requireCurrent(connection)
            let subject = try await self.subject.subject(on: connection)
            let isChanged = try await ServiceCommands.pause(subject, isPaused, on: connection)
            guard self.json else { return Terminal.print(Self.text(subject, isPaused, isChanged)) }
            Terminal.print(
                JSONOutput.object([
                    (subject.kind, JSONOutput.string(subject.name)), ("paused", "\(isPaused)"),
                    ("changed", "\(isChanged)"),
                ])
            )
        }
    }

    private static func text(_ subject: ServiceCommands.Subject, _ isPaused: Bool, _ isChanged: Bool) -> String {
        let name = "\(subject.kind) \(Terminal.escaped(subject.name))"
        guard isChanged else { return isPaused ? "\(name) is paused already" : "\(name) is not paused" }
        guard isPaused else { return "\(name) is resumed: running processes go on with their next heartbeat" }
        let stop = subject.kind == "source" ? "reading" : "writing"
        return "\(name) is paused: running processes stop \(stop) it with their next heartbeat"
    }
}

struct BackfillCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "backfill",
        abstract: "Have the service read all streams again for one projection.",
        discussion: """
            For a projection that was configured later, or whose rows were lost. Rows that
            are there stay right: what they have seen counts as duplicate. Each stream is
            read again for this projection alone, up to where the others are. The others go
            on meanwhile, and so does what is new for this one. What came over HTTP is not
            kept, and cannot be read again.
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
            let configuration = try? self.source.load(ignoresDatabase: true).configuration
            let pushed = (configuration?.sources ?? []).filter { $0.type == .http }.map(\.name)
            guard
                let streams = try await ServiceCommands.backfill(self.projection, besides: pushed, on: connection)
            else {
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
