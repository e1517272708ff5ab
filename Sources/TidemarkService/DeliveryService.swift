package import LibPQ
public import Logging
public import TidemarkConfiguration
public import TidemarkNotifier

/// Delivers what is in the outbox until it is told to stop: what `tidemark deliver` does, for programs that embed
/// Tidemark and bring notifiers of their own.
///
///     let loaded = try ConfigurationLoader.load(path: "tidemark.yaml")
///     let service = try DeliveryService(loaded.configuration, custom: ["pager": Pager()], logger: logger)
///     try await service.run()
///
/// Any number of them, in this process or others, may share an outbox.
public final class DeliveryService: Sendable {
    private let relay: DeliveryRelay

    /// - Parameters:
    ///   - custom: notifiers of type `custom`, by their names in the configuration.
    ///   - database: a connection string; the configuration's own if there is none.
    /// - Throws: when a secret, a URL or a CA file cannot be used.
    public convenience init(
        _ configuration: Configuration,
        custom: [String: any Notifier] = [:],
        database: String? = nil,
        version: String = "embedded",
        logger: Logger
    ) throws {
        let options = ConnectionOptions(
            database ?? configuration.database ?? "",
            applicationName: "tidemark deliver"
        )
        try self.init(configuration, custom: custom, options: options, version: version, logger: logger)
    }

    package init(
        _ configuration: Configuration,
        custom: [String: any Notifier] = [:],
        options: ConnectionOptions,
        version: String,
        logger: Logger
    ) throws {
        let factory = NotifierFactory(options: options, version: version, custom: custom, logger: logger)
        // A service waits for its database however long that takes.
        self.relay = try factory.relay(configuration, databaseWait: nil)
    }

    /// Delivers until ``stop()``, or until the task is cancelled: attempts under way come to their end, the rest stays
    /// due. To be called once.
    /// - Throws: what the database refuses.
    public func run() async throws {
        try await self.relay.run()
    }

    public func stop() {
        self.relay.stop()
    }
}
