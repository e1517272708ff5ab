import ArgumentParser

/// Prints the completion script that swift-argument-parser generates from the command tree.
struct CompletionsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print the completion script of a shell.",
        discussion: """
            The Debian package and `make install` install all three scripts. Without
            them, write the script where the shell looks for completions:

              bash  tidemark completions bash \\
                      > ~/.local/share/bash-completion/completions/tidemark
              zsh   tidemark completions zsh > DIR/_tidemark
                    DIR is a folder of $fpath, named in ~/.zshrc before compinit
              fish  tidemark completions fish \\
                      > ~/.config/fish/completions/tidemark.fish

            A new shell then completes subcommands, options and their values.
            """
    )

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish

        var completionShell: CompletionShell {
            switch self {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        }
    }

    @Argument(help: "The shell whose script is printed.")
    var shell: Shell

    func perform() async throws { Terminal.print(Self.script(for: self.shell)) }

    static func script(for shell: Shell) -> String {
        TidemarkCommand.completionScript(for: shell.completionShell)
    }
}
