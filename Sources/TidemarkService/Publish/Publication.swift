#if Kafka || RocketMQ
    package import LibPQ
    package import Logging
    package import TidemarkSources
    import TidemarkStore
#endif
#if Kafka
    import TidemarkKafka
#endif
#if RocketMQ
    import TidemarkRocketMQ
#endif
package import TidemarkConfiguration
package import TidemarkCore

/// A source that is written to a topic, and what its events are keyed by.
package struct Publication: Sendable {
    package let configuration: PublicationConfiguration
    /// Which columns are the keys of which tables: the first that takes a table counts.
    package let keys: [ProjectionDefinition]

    package static let sequenceHeader = "tidemark-sequence"

    /// - Parameter keys: definitions of projections, of which the tables and the keys count.
    package init(_ configuration: PublicationConfiguration, keys: [ProjectionDefinition]) {
        self.configuration = configuration
        self.keys = keys
    }
}

#if Kafka || RocketMQ
    /// Writes a source to a topic.
    package struct PublishRunner: Sendable {
        let publication: Publication
        private let options: ConnectionOptions?
        let logger: Logger

        /// - Parameter options: the database that keeps how far it is published; `nil` keeps nothing.
        package init(_ publication: Publication, _ options: ConnectionOptions?, logger: Logger) {
            self.publication = publication
            self.options = options
            self.logger = logger
        }

        /// Why no producer can be made; `nil` where one can.
        package static func problem(with target: PublicationTarget) -> String? {
            switch target {
            #if Kafka
                case .kafka(let kafka): KafkaProducer.problem(with: kafka)
            #else
                case .kafka: nil
            #endif
            #if RocketMQ
                case .rocketmq(let rocketmq): RocketMQSource.problem(with: rocketmq.access)
            #else
                case .rocketmq: nil
            #endif
            }
        }

        /// Writes files to their ends.
        /// - Parameter isAgain: whatever was written before.
        package func publish(
            _ files: [(file: InputFile, settings: SourceSettings)],
            messageBytesMax: Int,
            isAgain: Bool = false
        ) async throws -> PublicationCounts {
            let source = FileSource(files, messageBytesMax: messageBytesMax)
            return try await self.publish(isAgain: isAgain) { _ in source }
        }

        /// Writes a configured source until it is cancelled, or to the ends of files that are not followed.
        package func publish(
            _ source: SourceConfiguration,
            _ configuration: Configuration,
            isAgain: Bool = false,
            state: @escaping @Sendable (_ waitingFor: String?) -> Void = { _ in }
        ) async throws -> PublicationCounts {
            try await self.publish(isAgain: isAgain, onReady: { state(nil) }) { store in
                try self.source(source, configuration, store, state)
            }
        }

        private func publish(
            isAgain: Bool,
            onReady: @Sendable () -> Void = {},
            _ make: (PublicationStore?) throws -> any Source
        ) async throws -> PublicationCounts {
            let store = self.options.map { PublicationStore(self.publication.configuration.name, $0) }
            do {
                try await store?.begin()
                if isAgain { try await store?.forget() }
                let producer = try self.producer()
                try await producer.check()
                onReady()
                let source = try make(store)
                let host = PublishHost(self.publication, source.streams, store) { try await producer.send($0) }
                try await source.run(host)
                await store?.close()
                return host.counts
            } catch {
                await store?.close()
                throw error
            }
        }

        private func producer() throws -> any RecordProducer {
            switch self.publication.configuration.target {
            #if Kafka
                case .kafka(let target): try KafkaProducer(target)
            #else
                case .kafka: preconditionFailure("the configuration refuses what this build has not")
            #endif
            #if RocketMQ
                case .rocketmq(let target): try RocketMQProducer(target, logger: self.logger)
            #else
                case .rocketmq: preconditionFailure("the configuration refuses what this build has not")
            #endif
            }
        }

        private func source(
            _ source: SourceConfiguration,
            _ configuration: Configuration,
            _ store: PublicationStore?,
            _ state: @escaping @Sendable (_ waitingFor: String?) -> Void
        ) throws -> any Source {
            let known = { @Sendable in try await store?.published().map(\.stream) ?? [] }
            #if Kafka
                if let kafka = source.kafka { return self.kafkaSource(source, kafka, configuration, known, state) }
            #endif
            #if RocketMQ
                if let rocketmq = source.rocketmq {
                    return self.rocketmqSource(source, rocketmq, configuration, known, state)
                }
            #endif
            guard source.follow else {
                let files = try InputResolver.resolve(source.paths).map { ($0, source.settings) }
                return FileSource(files, messageBytesMax: configuration.limits.messageBytes)
            }
            return FollowSource(
                name: source.name,
                paths: source.paths,
                settings: source.settings,
                messageBytesMax: configuration.limits.messageBytes,
                known: known,
                state: { _ in }
            )
        }
    }
#endif
