#if Kafka || RocketMQ
    import TidemarkConfiguration
    import TidemarkCore
    #if Kafka
        import TidemarkKafka
    #endif
    #if RocketMQ
        import TidemarkRocketMQ
    #endif

    /// Writes records to a topic.
    protocol RecordProducer: Sendable {
        /// Returns once the topic can be written to.
        func check() async throws
        /// Returns once brokers have stored all.
        func send(_ records: [OutgoingRecord]) async throws
    }

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
                    state: { now in
                        switch now {
                        case .running: state(nil)
                        case .waiting(let reason): state(reason)
                        }
                    },
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
                    state: { now in
                        switch now {
                        case .running: state(nil)
                        case .waiting(let reason): state(reason)
                        }
                    },
                    logger: self.logger
                )
            }
        #endif

        /// Another group than that of the rows: each reads all partitions. A group of RocketMQ has no dots in its name.
        private var groupSuffix: String { "-to-\(self.publication.configuration.topic)" }
    }

    #if Kafka
        extension KafkaProducer: RecordProducer {}
    #endif
    #if RocketMQ
        extension RocketMQProducer: RecordProducer {}
    #endif
#endif
