#if Kafka || RocketMQ
    import TidemarkConfiguration
    import TidemarkCore
    #if Kafka
        import TidemarkKafka
    #endif
    #if RocketMQ
        import TidemarkRocketMQ
    #endif

    extension PublishRunner {
        typealias KnownStreams = @Sendable () async throws -> [KnownStream]
        typealias ReportState = @Sendable (_ waitingFor: String?) -> Void

        #if Kafka
            func kafkaSource(
                _ source: SourceConfiguration,
                _ kafka: KafkaSettings,
                _ configuration: Configuration,
                _ known: @escaping KnownStreams,
                _ state: @escaping ReportState
            ) -> KafkaSource {
                var kafka = kafka
                kafka.group += self.groupSuffix
                return KafkaSource(
                    KafkaSourceSettings(
                        source.settings,
                        kafka,
                        messageBytesMax: configuration.limits.messageBytes,
                        drainTimeout: configuration.service.drainTimeout
                    ),
                    known: known,
                    endFormer: { _ in },
                    state: state,
                    logger: self.logger
                )
            }
        #endif

        #if RocketMQ
            func rocketmqSource(
                _ source: SourceConfiguration,
                _ rocketmq: RocketMQSettings,
                _ configuration: Configuration,
                _ known: @escaping KnownStreams,
                _ state: @escaping ReportState
            ) -> RocketMQSource {
                var rocketmq = rocketmq
                rocketmq.group += self.groupSuffix
                return RocketMQSource(
                    RocketMQSourceSettings(
                        source.settings,
                        rocketmq,
                        messageBytesMax: configuration.limits.messageBytes,
                        drainTimeout: configuration.service.drainTimeout
                    ),
                    known: known,
                    endFormer: { _ in },
                    state: state,
                    logger: self.logger
                )
            }
        #endif

        /// Another group than that of the rows: each reads all partitions. A group of RocketMQ has no dots in its name.
        private var groupSuffix: String { "-to-\(self.publication.configuration.target.topic)" }
    }
#endif
