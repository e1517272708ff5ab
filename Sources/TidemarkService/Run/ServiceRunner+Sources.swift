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

    /// Whether entities are ordered by the offsets of a broker's source.
    private func ordersByOffset(_ source: SourceConfiguration) -> Bool {
        source.settings.positions == .offset
            && self.settings.configuration.projections.contains { $0.sequence.contains(.position) }
    }

    /// Shows whether a source of a broker waits.
    private func show(_ source: SourceConfiguration, remedy: String) -> @Sendable (_ waitingFor: String?) -> Void {
        { [checks = self.sourceChecks, name = source.name] reason in
            guard let reason else { return checks.set(name, .running) }
            checks.set(name, .waiting, reason: reason, remedy: remedy)
        }
    }

    #if Kafka
        private func kafkaSource(
            _ source: SourceConfiguration,
            _ kafka: KafkaSettings,
            _ store: PostgresProjection
        ) -> KafkaSource {
            KafkaSource(
                KafkaSourceSettings(
                    source.settings,
                    kafka,
                    messageBytesMax: self.settings.configuration.limits.messageBytes,
                    drainTimeout: self.settings.configuration.service.drainTimeout,
                    ordersByOffset: self.ordersByOffset(source)
                ),
                known: { try await store.streams(of: source.name) },
                endFormer: { try await store.endFormerStreams(of: $0) },
                state: self.show(
                    source,
                    remedy: "start the broker, or correct brokers and options; it goes on by itself"
                ),
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
            RocketMQSource(
                RocketMQSourceSettings(
                    source.settings,
                    rocketmq,
                    messageBytesMax: self.settings.configuration.limits.messageBytes,
                    drainTimeout: self.settings.configuration.service.drainTimeout,
                    ordersByOffset: self.ordersByOffset(source)
                ),
                known: { try await store.streams(of: source.name) },
                endFormer: { try await store.endFormerStreams(of: $0) },
                state: self.show(
                    source,
                    remedy: "start name servers and brokers, or correct name_servers and tls; it goes on by itself"
                ),
                logger: self.logger
            )
        }
    #endif
}
