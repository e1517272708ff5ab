import TidemarkConfiguration
import TidemarkCore
#if Kafka
    import TidemarkKafka
#endif
#if RocketMQ
    import TidemarkRocketMQ
#endif
import TidemarkSources
import TidemarkStore

extension ServiceRunner {
    /// What reads a configured source.
    func member(_ source: SourceConfiguration, _ store: PostgresProjection) -> ServiceSources.Member {
        let limit = self.settings.configuration.limits.messageBytes
        if let hub = self.hubs[source.name] {
            let pushed = PushSource(source.settings, hub: hub, start: self.start.stream(of: source.name)) {
                try await store.endStreams(of: source.name, besides: $0)
            } onOpen: { [checks = self.sourceChecks] in
                checks.set(source.name, .running)
            }
            return .init(name: source.name, source: pushed)
        }
        #if Kafka
            if let kafka = source.kafka {
                return .init(name: source.name, source: self.kafkaSource(source, kafka, store))
            }
        #endif
        #if RocketMQ
            if let rocketmq = source.rocketmq {
                return .init(name: source.name, source: self.rocketmqSource(source, rocketmq, store))
            }
        #endif
        guard source.follow else {
            let files = BoundedFiles(
                name: source.name,
                paths: source.paths,
                settings: source.settings,
                messageBytesMax: limit
            )
            return .init(name: source.name, source: files)
        }
        let (checks, name) = (self.sourceChecks, source.name)
        let followed = FollowSource(
            name: name,
            paths: source.paths,
            settings: source.settings,
            messageBytesMax: limit,
            known: { try await store.streams(of: name) },
            state: { checks.show($0, of: name) }
        )
        return .init(name: name, source: followed)
    }

    #if Kafka
        private func kafkaSource(
            _ source: SourceConfiguration,
            _ kafka: KafkaSettings,
            _ store: PostgresProjection
        ) -> KafkaSource {
            let (checks, name, configuration) = (self.sourceChecks, source.name, self.settings.configuration)
            return KafkaSource(
                KafkaSourceSettings(
                    source.settings,
                    kafka,
                    messageBytesMax: configuration.limits.messageBytes,
                    drainTimeout: configuration.service.drainTimeout,
                    ordersByOffset: source.settings.positions == .offset
                        && configuration.projections.contains { $0.sequence.contains(.position) }
                ),
                known: { try await store.streams(of: name) },
                endFormer: { try await store.endFormerStreams(of: $0) },
                state: { state in
                    switch state {
                    case .running: checks.set(name, .running)
                    case .waiting(let reason):
                        checks.set(
                            name,
                            .waiting,
                            reason: reason,
                            remedy: "start the broker, or correct brokers and options; it goes on by itself"
                        )
                    }
                },
                logger: self.logger
            )
        }
    #endif
    #if RocketMQ
        private func rocketmqSource(
            _ source: SourceConfiguration,
            _ rocketmq: RocketMQSettings,
            _ store: PostgresProjection
        ) -> RocketMQSource {
            let (checks, name, configuration) = (self.sourceChecks, source.name, self.settings.configuration)
            return RocketMQSource(
                RocketMQSourceSettings(
                    source.settings,
                    rocketmq,
                    messageBytesMax: configuration.limits.messageBytes,
                    drainTimeout: configuration.service.drainTimeout,
                    ordersByOffset: source.settings.positions == .offset
                        && configuration.projections.contains { $0.sequence.contains(.position) }
                ),
                known: { try await store.streams(of: name) },
                endFormer: { try await store.endFormerStreams(of: $0) },
                state: { state in
                    switch state {
                    case .running: checks.set(name, .running)
                    case .waiting(let reason):
                        checks.set(
                            name,
                            .waiting,
                            reason: reason,
                            remedy: "start name servers and brokers, or correct name_servers; it goes on by itself"
                        )
                    }
                },
                logger: self.logger
            )
        }
    #endif
}
