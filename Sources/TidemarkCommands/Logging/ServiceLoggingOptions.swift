import ArgumentParser
import Foundation
import Logging
import TidemarkService

/// The logging options of commands that run until they are stopped.
struct ServiceLoggingOptions: ParsableArguments {
    @Flag(help: "Say more on standard error.")
    var verbose = false

    @Option(help: "text or json (default: text on a terminal, json elsewhere).")
    var logFormat: LogFormat?

    /// The level of every logger of this process.
    static let level = SharedLogLevel(.info)

    var format: LogFormat { self.logFormat ?? (Terminal.isErrorInteractive ? .text : .json) }

    /// A logger at ``level``, which this sets.
    func makeLogger() -> Logger {
        Self.level.value = self.verbose ? .debug : .info
        let format = self.format
        return Logger(label: "tidemark") { _ in ServiceLog(format: format, level: Self.level) }
    }
}

/// A command whose failure is a line of its log too, so that all of standard error can be parsed.
protocol ServiceCommand: ReportingCommand {
    var logging: ServiceLoggingOptions { get }
}

extension ServiceCommand {
    func report(_ failure: CommandFailure) {
        switch self.logging.format {
        // Several lines, such as all errors of a configuration, are read by a person.
        case .text: Terminal.printError("tidemark: \(Terminal.escapedLines(failure.message))")
        case .json:
            let time = Date().utcTimestamp
            Terminal.printError(ServiceLog.line(.json, time: time, level: .error, message: failure.message))
        }
    }
}
