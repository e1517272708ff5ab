import ArgumentParser
import Foundation
import LibPQ
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore

struct SeekCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "seek",
        abstract: "Have the service read a source from another place on.",
        discussion: """
            --to takes start, end (behind the last whole line that there is now), a time
            (2026-03-01T09:30Z: the first message with an event of that time or a later
            one; 2h: two hours ago), or an offset: a byte of the decompressed file at
            which a line begins.

            Reading again is always safe: what is known counts as duplicate, and a projection
            that is behind goes on where it is. Messages that would be left out are counted
            and refused, unless --skip says that they may be. Both are recorded in
            tidemark.audit. A running service goes on there with its
            next heartbeat. Streams whose files are gone stay where they are.
            """
    )

    @Argument(help: "The source's name in the configuration.")
    var name: String

    @Option(help: ArgumentHelp("start, end, a time, or an offset.", valueName: "place"))
    var to: String

    @Option(help: ArgumentHelp("Only this stream of the source: a file by its path or name.", valueName: "file"))
    var stream: String?

    @Flag(help: "Leave out the messages in between.")
    var skip = false

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard self.target != nil else {
            throw ValidationError("--to takes start, end, a time like 2026-03-01T09:30:15Z, or an offset like 4711")
        }
    }

    private var target: SeekPlanner.Target? {
        switch self.to {
        case "start": return .start
        case "end": return .end
        default:
            if let offset = UInt64(self.to), offset <= UInt64(Int64.max) { return .offset(offset) }
            return Moment.microseconds(self.to).map { .time($0) }
        }
    }

    func perform() async throws {
        guard let target else { return }
        let configuration = try self.source.load(ignoresDatabase: true).configuration
        guard let configured = configuration.sources.first(where: { $0.name == self.name }) else {
            let known = configuration.sources.map(\.name).joined(separator: ", ")
            throw CommandFailure(
                ExitStatus.configuration,
                "the configuration has no source \"\(self.name)\"; it has \(known.isEmpty ? "none" : known)"
            )
        }
        guard configured.type != .http else {
            throw CommandFailure(
                ExitStatus.usage,
                "source \(self.name) is read over HTTP, and what clients have sent is not kept: there is no place to seek; "
                    + "have them send it again"
            )
        }
        let planner = SeekPlanner(configured, configuration.limits)
        try await inspect(self.source, self.database, role: "seek") { connection, _ in
            try await Migrator.requireCurrent(connection)
            let streams = try await self.streams(target, on: connection)
            let plan = try planner.plan(streams, target)
            try self.check(plan, of: streams)
            let moves =
                plan.moves.isEmpty
                ? []
                : try await ServiceCommands.seek(
                    self.name,
                    plan.moves,
                    target: self.to,
                    recount: { try planner.leftOut(by: $0) },
                    on: connection
                )
            if self.json {
                Terminal.print(json: self.report(moves, plan))
            } else {
                Terminal.print(self.text(moves))
                for line in Self.left(by: plan) { Terminal.printError(line) }
            }
        }
    }

    /// The streams that are meant.
    private func streams(_ target: SeekPlanner.Target, on connection: Connection) async throws -> [SoughtStream] {
        let all = try await ServiceCommands.streams(of: self.name, storedWithin: .seconds(3), on: connection)
        guard !all.isEmpty else {
            throw CommandFailure("no service reads source \(self.name) yet; `tidemark run` reads it from the beginning")
        }
        let named = self.stream.map { name in
            let exact = all.filter { $0.name == name }
            return exact.isEmpty ? all.filter { $0.name.hasSuffix("/" + name) } : exact
        }
        let meant = named ?? all
        let names = Set(meant.map(\.name)).sorted()
        guard let first = names.first else {
            throw CommandFailure(
                ExitStatus.noInput,
                "source \(self.name) has no stream \"\(self.stream ?? "")\"; tidemark.streams lists them"
            )
        }
        if names.count > 1 {
            if case .offset = target {
                throw CommandFailure(
                    ExitStatus.usage,
                    "source \(self.name) has \(names.count) streams, and an offset is of one of them; "
                        + "say which with --stream, such as --stream \(first)"
                )
            }
            if let stream = self.stream {
                throw CommandFailure(ExitStatus.usage, "--stream \(stream) fits \(names.joined(separator: ", "))")
            }
        }
        return meant
    }

    /// - Throws: where the plan may not be carried out.
    private func check(_ plan: SeekPlanner.Plan, of streams: [SoughtStream]) throws {
        if let refusal = plan.refusal { throw CommandFailure(refusal) }
        let left = Self.left(by: plan)
        if left.count == streams.count {
            let status = plan.unreadable.isEmpty ? ExitStatus.noInput : ExitStatus.badData
            throw CommandFailure(status, left.joined(separator: "\n"))
        }
        let forward = plan.moves.filter { $0.leftOut > 0 }
        guard !forward.isEmpty, !self.skip else { return }
        let count = forward.reduce(0) { $0 + $1.leftOut }
        let lines = forward.map { "  \(self.line($0))" }
        var command = "tidemark seek \(self.name) --to \(self.to)"
        if let stream { command += " --stream \(stream)" }
        throw CommandFailure(
            "this would leave out \(Terminal.grouped(count)) message\(count == 1 ? "" : "s"), which would never be read:\n"
                + lines.joined(separator: "\n") + "\nnothing was changed; to leave them out: \(command) --skip"
        )
    }

    /// A line for each stream that stays where it is.
    private static func left(by plan: SeekPlanner.Plan) -> [String] {
        let gone = plan.gone.map { "\($0.name): the file is gone, or is another one now" }
        let unreadable = plan.unreadable.map { "\($0.stream.name): \($0.reason)" }
        return (gone + unreadable).map { Terminal.escaped("\($0); the stream stays where it is") }
    }

    private func line(_ move: SeekMove) -> String {
        let (from, to) = (Int64(clamping: move.stream.level.offset.major), Int64(clamping: move.to.offset.major))
        var line = "\(move.stream.name): from \(Terminal.grouped(from)) to \(Terminal.grouped(to))"
        if move.leftOut > 0 {
            line += ", \(Terminal.grouped(move.leftOut)) message\(move.leftOut == 1 ? "" : "s") left out"
        }
        return Terminal.escaped(line)
    }

    private func text(_ moves: [SeekMove]) -> String {
        guard !moves.isEmpty else { return "nothing to do: the streams are there already" }
        let title = "running processes go on from there with their next heartbeat"
        return ([title] + moves.map { "  \(self.line($0))" }).joined(separator: "\n")
    }

    private func report(_ moves: [SeekMove], _ plan: SeekPlanner.Plan) -> String {
        let streams = moves.map { move in
            JSONOutput.object([
                ("stream", JSONOutput.string(move.stream.name)), ("pass", "\(move.stream.pass)"),
                ("from", "\(move.stream.level.offset.major)"), ("to", "\(move.to.offset.major)"),
                ("messages_left_out", "\(move.leftOut)"),
            ])
        }
        return JSONOutput.object([
            ("source", JSONOutput.string(self.name)), ("streams", "[\(streams.joined(separator: ","))]"),
            ("gone", JSONOutput.array(plan.gone.map(\.name))),
            ("unreadable", JSONOutput.array(plan.unreadable.map(\.stream.name))),
        ])
    }
}
