public import ArgumentParser

/// The command line of `tidemark`, whose executable only calls it.
public struct TidemarkCommand: AsyncParsableCommand {
    // Commands set `commandName` explicitly, because deriving it from the type costs time at each start.
    public static let configuration = CommandConfiguration(
        commandName: "tidemark",
        abstract: "From binlog-style change events to the current state of every row, whatever the arrival order.",
        discussion: """
            Tidemark reads Debezium, Maxwell, Canal and its own change events, keeps
            the newest version of every entity in PostgreSQL, and reaches each
            milestone ("shipped") exactly once.

            Start here, without a database or a configuration file:
              tidemark replay --dry-run --from shop.orders --key id \\
                --sequence version orders.ndjson
              tidemark replay --ephemeral ./db --keep-server --from shop.orders \\
                --key id --sequence version --state status orders.ndjson
            """,
        version: TidemarkVersion.current,
        subcommands: Self.commands
    )

    private static let commands: [any ParsableCommand.Type] = {
        var commands: [any ParsableCommand.Type] = [
            ReplayCommand.self, RunCommand.self, MigrateCommand.self, CheckCommand.self, StatusCommand.self,
            ShowCommand.self,
            VerifyCommand.self, RebuildCommand.self, PruneCommand.self, ForgetCommand.self, DropCommand.self,
            PauseCommand.self, ResumeCommand.self, BackfillCommand.self, SeekCommand.self,
            DeadLettersCommand.self, DeliveriesCommand.self, DeliverCommand.self, NotifiersCommand.self,
            NotifiersCommand.EarlierName.self, DisorderCommand.self, CompletionsCommand.self,
        ]
        #if Kafka || RocketMQ
            commands.insert(PublishCommand.self, at: 2)
        #endif
        return commands
    }()

    public init() {}
}

package enum TidemarkVersion {
    package static let current = "0.1.0"
}
