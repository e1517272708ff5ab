import ArgumentParser
import Foundation
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
        case let error as HTTPServerError:
            self.init(ExitStatus.configuration, "\(error)")
        case let error as NotifierError:
            self.init(ExitStatus.configuration, "\(error)")
        case let error as EphemeralServerError:
            self.init(error.exitCode, "\(error)")
        case let error as StoreError:
            let isConfiguration = error.kind == .configuration || error.kind == .unusableDatabase
            self.init(isConfiguration ? ExitStatus.configuration : ExitStatus.failed, "\(error)")
        case let error as PostgresError:
            let isConfiguration = error.isReadOnlyServer || error.isMissingRight || error.code == .invalidOptions
            let code =
                error.isConnectionLoss || error.sqlState == "53100"
                ? ExitStatus.databaseUnreachable : isConfiguration ? ExitStatus.configuration : ExitStatus.failed
            let what = error.missingRelation.map { "relation \($0) is missing" } ?? "\(error)"
            self.init(code, "database: \(what)\(error.remedy.map { "; \($0)" } ?? "")")
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
            if let code = Terminal.outputFailure {
                // The reader of a pipe that has left knows.
                guard code != EPIPE else { throw ExitCode(ExitStatus.failed) }
                throw CommandFailure("cannot write to standard output: \(String(cString: strerror(code)))")
            }
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
