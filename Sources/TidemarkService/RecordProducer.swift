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

#if Kafka
    extension KafkaProducer: RecordProducer {}
#endif
#if RocketMQ
    extension RocketMQProducer: RecordProducer {}
#endif
