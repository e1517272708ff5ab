import ArgumentParser
import Testing

@testable import TidemarkCommands

@Suite("Completion scripts")
struct CompletionTests {
    @Test("name all subcommands that help lists, for each shell", arguments: CompletionsCommand.Shell.allCases)
    func subcommands(shell: CompletionsCommand.Shell) {
        let script = CompletionsCommand.script(for: shell)
        // Closures, because the compiler crashes on a key path into a metatype.
        let shown = TidemarkCommand.configuration.subcommands.map { $0.configuration }.filter { $0.shouldDisplay }
        let names = shown.compactMap { $0.commandName }
        #expect(names.count > 20)
        for name in names { #expect(script.contains(name), "\(shell.rawValue) does not complete \(name)") }
        #expect(script.contains("deadletters") && script.contains("no-deliver"), "\(shell.rawValue)")
    }

    @Test("are asked for by the shell's name, and a shell that is not supported is a usage error")
    func parsing() throws {
        #expect(try CompletionsCommand.parse(["fish"]).shell == .fish)
        let error = #expect(throws: (any Error).self) { try CompletionsCommand.parse(["csh"]) }
        let message = CompletionsCommand.fullMessage(for: try #require(error))
        #expect(message.contains("csh") && message.contains("bash"), "\(message)")
        #expect(CompletionsCommand.exitCode(for: try #require(error)).rawValue == 64)
    }
}
