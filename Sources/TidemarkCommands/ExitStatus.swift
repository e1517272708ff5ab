import ArgumentParser
import LibPQ
import TidemarkConfiguration
import TidemarkEphemeral
import TidemarkNotifier
import TidemarkService
import TidemarkSources
import TidemarkStore

/// The exit codes that scripts rely on.
enum ExitStatus {
    static let failed: Int32 = 1
    static let usage: Int32 = 64
    static let badData: Int32 = 65
    static let noInput: Int32 = 66
    static let databaseUnreachable: Int32 = 69
    static let configuration: Int32 = 78
    static let interrupted: Int32 = 130
}

/// A failure with its exit code and its message.
struct CommandFailure: Error {
    var code: Int32
    var message: String

    init(_ message: String) { self.init(ExitStatus.failed, message) }

    init(_ code: Int32, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Maps an error of the modules below to an exit code.
    init(of error: any Error) {
        switch error {
        case let failure as CommandFailure:
            self = failure
        case let error as ConfigurationError:
            self.init(ExitStatus.configuration, "\(error)")
        case let error as InputError:
            self.init(
                error.isMissingInput ? ExitStatus.noInput : error.isBadData ? ExitStatus.badData : ExitStatus.failed,
                "\(error)"
            )
        case let error as HealthServerError:
            self.init(ExitStatus.configuration, "\(error)")
        case let error as NotifierError:
            self.init(ExitStatus.configuration, "\(error)")
        case let error as EphemeralServerError:
            self.init(error.exitCode, "\(error)")
        case let error as StoreError:
            let isConfiguration = error.kind == .configuration || error.kind == .unusableDatabase
            self.init(isConfiguration ? ExitStatus.configuration : ExitStatus.failed, "\(error)")
        case let error as PostgresError:
            self.init(
                error.isConnectionLoss ? ExitStatus.databaseUnreachable : ExitStatus.failed,
                "database: \(error)"
            )
        default:
            self.init("\(error)")
        }
    }
}

/// A command whose failure becomes one message on standard error and the exit code that belongs to it.
protocol ReportingCommand: AsyncParsableCommand {
    func perform() async throws

    /// Says why the command failed, on standard error.
    func report(_ failure: CommandFailure)
}

extension ReportingCommand {
    func run() async throws {
        do {
            try await self.perform()
        } catch let code as ExitCode {
            throw code
        } catch {
            let failure = CommandFailure(of: error)
            self.report(failure)
            throw ExitCode(failure.code)
        }
    }

    func report(_ failure: CommandFailure) {
        Terminal.printError("tidemark: \(Terminal.escapedLines(failure.message))")
    }
}

extension Terminal {
    /// Escapes each line of a message that may have several.
    static func escapedLines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { Self.escaped(String($0)) }
            .joined(separator: "\n")
    }
}
