import ArgumentParser
import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkService
import TidemarkStore

struct DeliverCommand: ServiceCommand {
    static let configuration = CommandConfiguration(
        commandName: "deliver",
        abstract: "Send the due deliveries of the outbox, until interrupted.",
        discussion: """
            Any number of processes may share an outbox, beside replays that fill it:
            each delivery has one lease at a time, and when a process dies another takes
            its deliveries over as their leases end. The first SIGINT or SIGTERM waits
            for attempts under way, the second one does not.
            """
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var logging: ServiceLoggingOptions

    func perform() async throws {
        Allocator.configure()
        let configuration = try self.source.load(ignoresDatabase: self.database.overridesFile).configuration
        guard !configuration.notifiers.isEmpty else {
            throw CommandFailure(ExitStatus.configuration, "the configuration has no notifiers to deliver to")
        }
        let logger = self.logging.makeLogger()
        try await withDatabase(self.database, configured: configuration.database, role: "deliver", logger: logger) {
            session in
            let connection = try await session.connect()
            _ = try await Migrator.migrate(connection)
            await connection.close()
            let service = try DeliveryService(
                configuration,
                options: session.options,
                version: TidemarkVersion.current,
                logger: logger
            )
            let signals = SignalWatch()
            await signals.start { service.stop() }
            let names = configuration.notifiers.map(\.name).joined(separator: ", ")
            logger.info("delivering", metadata: ["notifiers": "\(names)"])
            try await service.run()
            if let signal = signals.received { throw ExitCode(128 + signal) }
        }
    }
}
