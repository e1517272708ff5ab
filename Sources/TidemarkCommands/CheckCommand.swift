import ArgumentParser
import Foundation
import LibPQ
import TidemarkConfiguration
import TidemarkCore
import TidemarkNotifier
import TidemarkService
import TidemarkSources

struct CheckCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check the configuration, and compare it with the beginning of the logs.",
        discussion: """
            Reads at most 1000 messages of each file: those named here, or those of the
            configured sources, and says what a replay would do with the first ten of
            three files. Connects to no database. The file's `database` is checked
            as other commands read it: not where --database or DATABASE_URL is over it.
            """
    )

    @Argument(help: "Logs to compare the configuration with.")
    var files: [String] = []

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions

    func perform() async throws {
        let loaded = try self.source.load(ignoresDatabase: self.database.overridesFile)
        let problems = try await SourceProblems.find(in: loaded.configuration) + Self.errors(of: loaded.configuration)
        guard problems.isEmpty else { throw ConfigurationError(.invalid, issues: problems) }
        try self.database.check(configured: loaded.configuration.database)
        if let tls = loaded.configuration.server?.tls { try HTTPServer.check(tls) }
        var warnings = loaded.warnings.map { "\($0)" }
        var errors: [ConfigurationIssue] = []
        do {
            let files =
                self.files.isEmpty
                ? try Self.files(of: loaded.configuration.sources, &warnings) : try InputResolver.resolve(self.files)
            let inspected = try await LogSample(loaded.configuration).inspect(files)
            errors = inspected.errors
            warnings += inspected.warnings
            for line in inspected.findings { Terminal.print(Terminal.escaped(line)) }
        }
        for notifier in loaded.configuration.notifiers {
            guard notifier.type == .command, let program = notifier.command.first,
                let obstacle = CommandNotifier.obstacle(to: program)
            else { continue }
            warnings.append("notifier \(notifier.name): \(obstacle)")
        }
        for warning in warnings { Terminal.print("warning: \(Terminal.escapedLines(warning))") }
        guard errors.isEmpty else { throw ConfigurationError(.invalid, issues: errors) }
        let projections = loaded.configuration.projections
        Terminal.print(
            "the configuration is valid: \(projections.count) projection\(projections.count == 1 ? "" : "s") "
                + "(\(projections.map(\.name).joined(separator: ", ")))"
                + (warnings.isEmpty ? "" : ", \(warnings.count) warning\(warnings.count == 1 ? "" : "s")")
        )
    }

    /// What keeps notifiers from being made, and so `replay`, `deliver` and `run` from starting.
    private static func errors(of configuration: Configuration) async throws -> [ConfigurationIssue] {
        let factory = NotifierFactory(
            options: ConnectionOptions(),
            version: TidemarkVersion.current,
            logger: LoggingOptions.standard
        )
        var errors: [ConfigurationIssue] = []
        for notifier in configuration.notifiers {
            do throws(NotifierError) {
                await (try factory.notifier(notifier))?.shutdown()
            } catch {
                guard let location = configuration.notifierLocations[notifier.name] else { throw error }
                let path = "notifiers.\(notifier.name)"
                errors.append(ConfigurationIssue(location: location, path: path, message: error.message))
            }
        }
        return errors
    }

    /// What the sources' paths lead to now. A followed source waits for what is not there yet, and reads the others.
    private static func files(
        of sources: [SourceConfiguration],
        _ warnings: inout [String]
    ) throws -> [InputFile] {
        let paths = sources.filter { !$0.follow }.flatMap(\.paths)
        var files = paths.isEmpty ? [] : try InputResolver.resolve(paths)
        for source in sources where source.follow {
            for path in source.paths {
                switch Self.resolved(path) {
                case .success(let found): files += found
                case .failure(let error) where error.code == .misnamed: throw error
                case .failure(let error): warnings.append("source \(source.name): \(error)")
                }
            }
        }
        return files
    }

    private static func resolved(_ path: String) -> Result<[InputFile], InputError> {
        Result { () throws(InputError) in try InputResolver.resolve([path]) }
    }
}
