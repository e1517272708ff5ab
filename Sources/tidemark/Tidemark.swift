import ArgumentParser
import Foundation
import PlatformC
import TidemarkCommands

@main
struct Tidemark {
    static func main() async {
        // A reader of the log that leaves must not end a service: writes fail instead.
        signal(SIGPIPE, SIG_IGN)
        // A service that is stopped before it has begun ends as one that is stopped later; nothing is in hand yet.
        if CommandLine.arguments.dropFirst().first == "run" {
            for number in [SIGINT, SIGTERM] { signal(number) { _ in _exit(0) } }
        }
        HelpText.widenNarrowTerminal()
        OpenFiles.raiseLimit()
        do {
            var command = try TidemarkCommand.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            let status = TidemarkCommand.exitCode(for: error)
            let message = TidemarkCommand.fullMessage(for: error)
            let text = status == .success ? HelpText.wrapped(message) : HelpText.refusal(message)
            let handle = status == .success ? FileHandle.standardOutput : FileHandle.standardError
            if !text.isEmpty { try? handle.write(contentsOf: Data("\(text)\n".utf8)) }
            exit(status.rawValue)
        }
    }
}
