import Foundation
package import LibPQ
package import Logging
package import TidemarkConfiguration
import TidemarkCore
#if Kafka
    import TidemarkKafka
#endif
package import TidemarkNotifier
#if RocketMQ
    import TidemarkRocketMQ
#endif
import TidemarkStore

/// Makes notifiers of what is configured.
package struct NotifierFactory {
    private let options: ConnectionOptions
    private let version: String
    private let custom: [String: any Notifier]
    private let logger: Logger

    /// - Parameters:
    ///   - options: Tidemark's own database, where a `NOTIFY` goes unless it is to go elsewhere.
    ///   - custom: those that the program has brought, by name.
    package init(
        options: ConnectionOptions,
        version: String,
        custom: [String: any Notifier] = [:],
        logger: Logger
    ) {
        self.options = options
        self.version = version
        self.custom = custom
        self.logger = logger
    }

    /// A relay for the configured notifiers and projections, over a connection of its own.
    /// - Throws: `NotifierError`.
    func relay(
        _ configuration: Configuration,
        databaseWait: Duration?,
        retryLevel: Logger.Level = .warning,
        onAttempt: (@Sendable (RelayAttempt) -> Void)? = nil
    ) throws -> DeliveryRelay {
        var settings = RelaySettings(
            projections: configuration.projections.map(\.name),
            databaseWait: databaseWait
        )
        settings.retryLevel = retryLevel
        settings.onAttempt = onAttempt
        return DeliveryRelay(
            queue: DeliveryQueue(options: self.options),
            notifiers: try self.relayed(configuration.notifiers),
            settings: settings,
            logger: self.logger
        )
    }

    /// As the relay runs them, by name. One of type `custom` that nobody has brought is left out: its deliveries stay
    /// due, for whoever has it.
    /// - Throws: `NotifierError`.
    package func relayed(_ notifiers: [NotifierConfiguration]) throws -> [String: RelayedNotifier] {
        var relayed: [String: RelayedNotifier] = [:]
        for configuration in notifiers {
            guard let notifier = try self.notifier(configuration) else { continue }
            relayed[configuration.name] = RelayedNotifier(
                notifier,
                schedule: RetrySchedule(
                    delays: configuration.schedule ?? RetrySchedule.standardDelays,
                    attemptsMax: configuration.maxAttempts
                ),
                concurrency: configuration.concurrency,
                rate: configuration.rate.map { RateLimit($0.attempts, per: $0.period) },
                circuit: CircuitBreaker.Settings(
                    failures: configuration.circuit.failures,
                    pause: configuration.circuit.pause
                ),
                onFailure: configuration.onFailure == .hold ? .hold : .skip
            )
        }
        return relayed
    }

    /// - Returns: `nil` for a custom one that is not here.
    /// - Throws: `NotifierError`, with the notifier's name.
    package func notifier(_ configuration: NotifierConfiguration) throws(NotifierError) -> (any Notifier)? {
        do throws(NotifierError) {
            return try self.make(configuration)
        } catch {
            var named = error
            named.notifier = configuration.name
            throw named
        }
    }

    private func make(_ configuration: NotifierConfiguration) throws(NotifierError) -> (any Notifier)? {
        switch configuration.type {
        case .webhook:
            return try WebhookNotifier(self.webhook(configuration))
        case .postgres:
            var options = self.options
            if let database = configuration.database {
                options = ConnectionOptions(database.reveal(), applicationName: "tidemark notifier")
                do throws(PostgresError) {
                    try options.check()
                } catch {
                    throw NotifierError(code: .invalidURL, message: "database: \(error.message)")
                }
            }
            return PostgresNotifier(channel: configuration.channel, options: options)
        case .command:
            return CommandNotifier(self.command(configuration))
        case .kafka:
            #if Kafka
                do throws(BrokerError) {
                    return TopicNotifier(try KafkaProducer(configuration.kafka))
                } catch {
                    throw NotifierError(code: .invalidURL, message: error.description)
                }
            #else
                return nil
            #endif
        case .rocketmq:
            #if RocketMQ
                do throws(BrokerError) {
                    return TopicNotifier(try RocketMQProducer(configuration.rocketmq, logger: self.logger))
                } catch {
                    throw NotifierError(code: .invalidURL, message: error.description)
                }
            #else
                return nil
            #endif
        case .log:
            return LogNotifier(self.logger)
        case .custom:
            return self.custom[configuration.name]
        }
    }

    private func webhook(_ configuration: NotifierConfiguration) throws(NotifierError) -> WebhookSettings {
        var settings = WebhookSettings(url: configuration.url, secrets: configuration.secrets.map { $0.reveal() })
        settings.allowPrivate = configuration.allowPrivate
        settings.connectTimeout = configuration.connectTimeout
        settings.timeout = configuration.timeout
        settings.userAgent = "Tidemark/\(self.version)"
        if let path = configuration.authorityFile {
            guard let pem = FileManager.default.contents(atPath: path) else {
                throw NotifierError(
                    code: .invalidAuthority,
                    message: "the file \(path) (ca_file) cannot be read"
                )
            }
            settings.authorities = Array(pem)
        }
        return settings
    }

    private func command(_ configuration: NotifierConfiguration) -> CommandSettings {
        var settings = CommandSettings(
            program: configuration.command.first ?? "",
            arguments: Array(configuration.command.dropFirst())
        )
        settings.timeout = configuration.timeout
        let variables = ProcessInfo.processInfo.environment
        for name in CommandSettings.inherited + configuration.environment {
            settings.environment[name] = variables[name]
        }
        return settings
    }
}
