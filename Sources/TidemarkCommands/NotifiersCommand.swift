import ArgumentParser
import Foundation
import TidemarkConfiguration
import TidemarkCore
import TidemarkNotifier
import TidemarkService
import TidemarkStore

struct NotifiersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notifiers",
        abstract: "List the notifiers, test one, or enable and disable one.",
        subcommands: [List.self, Test.self, Enable.self, Disable.self]
    )

    /// The command under its earlier name. A command of its own, because help lists `aliases`.
    struct EarlierName: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "notify",
            abstract: NotifiersCommand.configuration.abstract,
            shouldDisplay: false,
            subcommands: NotifiersCommand.configuration.subcommands
        )
    }

    struct Test: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "test",
            abstract: "Send a signed sample, and show the receiver's answer.",
            discussion: "The type of the sample is tidemark.test. Nothing is stored in the database."
        )

        @Argument(help: "The notifier's name in the configuration.")
        var name: String

        @Option(help: "The configuration file (default: tidemark.yaml).")
        var config: String?

        @OptionGroup var database: DatabaseOptions
        @OptionGroup var logging: LoggingOptions

        func perform() async throws {
            let source = try ConfigurationOptions.file(self.config)
            let configuration = try source.load(ignoresDatabase: true).configuration
            let settings = try configuration.notifier(self.name)
            let configured =
                settings.type == .postgres ? try source.load(ignoresDatabase: false).configuration.database : nil
            let logger = self.logging.logger
            try await withDatabase(self.database, configured: configured, role: "notifiers", logger: logger) {
                session in
                let factory = NotifierFactory(
                    options: session.options,
                    version: TidemarkVersion.current,
                    logger: logger
                )
                guard let notifier = try factory.notifier(settings) else {
                    throw CommandFailure(
                        ExitStatus.configuration,
                        "notifier \(self.name) is of type custom: the program that embeds Tidemark has it"
                    )
                }
                let start = ContinuousClock.now
                let result = await notifier.deliver(Self.sample(to: self.name))
                let took = start.duration(to: .now)
                await notifier.shutdown()
                try self.report(result, took: took)
            }
        }

        private static func sample(to notifier: String) -> Delivery {
            let now = Terminal.timestamp(Int64(Date().timeIntervalSince1970 * 1_000_000))
            let data = JSONOutput.object([
                ("projection", JSONOutput.string("tidemark")), ("key", "[0]"), ("milestone", JSONOutput.string("test")),
            ])
            let body = JSONOutput.object([
                ("type", JSONOutput.string("tidemark.test")),
                ("timestamp", JSONOutput.string(now)), ("data", data),
            ])
            return Delivery(
                id: UUIDText.random(),
                projection: "tidemark",
                keyJSON: "[0]",
                milestone: "test",
                notifier: notifier,
                body: Array(body.utf8)
            )
        }

        private func report(_ result: DeliveryResult, took: Duration) throws {
            var line = "\(self.name): "
            line += result.outcome == .delivered ? "delivered" : "not delivered, \(result.reason ?? "")"
            if result.outcome == .delivered, let status = result.status { line += ", status \(status)" }
            Terminal.print(Terminal.escaped("\(line), \(Int(took / .milliseconds(1))) ms"))
            if let excerpt = result.excerpt { Terminal.print("    \(Terminal.escaped(excerpt))") }
            guard result.outcome == .delivered else { throw ExitCode(ExitStatus.failed) }
        }
    }

    struct List: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the configured notifiers, and those that are disabled."
        )

        @OptionGroup var source: DatabaseSource

        func perform() async throws {
            let options = try ConfigurationOptions.file(self.source.config)
            let configured = try options.loadIfPresent()?.configuration.notifiers ?? []
            try await self.source.inspect { connection in
                let disabled = try await DeliveryStore.disabled(on: connection)
                for notifier in configured where !disabled.contains(where: { $0.notifier == notifier.name }) {
                    Terminal.print(Terminal.escaped("\(notifier.name): \(notifier.type.rawValue)"))
                }
                for (name, since, reason) in disabled {
                    Terminal.print(Terminal.escaped("\(name): disabled since \(Terminal.timestamp(since)), \(reason)"))
                }
                if configured.isEmpty, disabled.isEmpty { Terminal.print("no notifiers") }
            }
        }
    }

    struct Enable: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "enable",
            abstract: "Deliver again to a notifier that answered 410, or that was disabled by hand."
        )

        @Argument(help: "The notifier's name.")
        var name: String

        @OptionGroup var source: DatabaseSource

        func perform() async throws {
            try await self.source.inspect { connection in
                try await NameCheck(config: self.source.config)
                    .require(.notifier, self.name, isAlwaysRefused: true, on: connection)
                let wasDisabled = try await DeliveryStore.enable(self.name, on: connection)
                Terminal.print(
                    Terminal.escaped(wasDisabled ? "\(self.name) is enabled" : "\(self.name) was not disabled")
                )
            }
        }
    }

    struct Disable: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "disable",
            abstract: "Deliver nothing more to a notifier until it is enabled. Its deliveries stay due."
        )

        @Argument(help: "The notifier's name.")
        var name: String

        @OptionGroup var source: DatabaseSource

        func perform() async throws {
            try await self.source.inspect { connection in
                try await NameCheck(config: self.source.config)
                    .require(.notifier, self.name, isAlwaysRefused: true, on: connection)
                try await DeliveryStore.disable(self.name, reason: "disabled by hand", on: connection)
                Terminal.print(Terminal.escaped("\(self.name) is disabled"))
            }
        }
    }
}

extension Configuration {
    fileprivate func notifier(_ name: String) throws -> NotifierConfiguration {
        if let notifier = self.notifiers.first(where: { $0.name == name }) { return notifier }
        let names = self.notifiers.map(\.name).joined(separator: ", ")
        throw CommandFailure(
            ExitStatus.configuration,
            "there is no notifier \"\(name)\" under notifiers\(names.isEmpty ? "" : "; there are \(names)")"
        )
    }
}
