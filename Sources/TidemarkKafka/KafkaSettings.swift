package import TidemarkCore

/// What a source of Kafka needs beside its own settings.
package struct KafkaSourceSettings: Sendable {
    package var source: SourceSettings
    package var kafka: KafkaSettings
    /// In bytes; of a longer message only the beginning is kept.
    package var messageBytesMax: Int
    /// How long a partition that is given up may take until what was read of it is committed.
    package var drainTimeout: Duration
    /// Entities are ordered by the offsets of their messages.
    package var ordersByOffset: Bool

    /// Whether offsets may start at 0 again: no entity is ordered by them, or `added_partitions: earliest` says that the
    /// operator has raised the source's epoch.
    var mayBeginAnew: Bool { !self.ordersByOffset || self.kafka.addedPartitions == .earliest }

    package init(
        _ source: SourceSettings,
        _ kafka: KafkaSettings,
        messageBytesMax: Int,
        drainTimeout: Duration,
        ordersByOffset: Bool = false
    ) {
        self.ordersByOffset = ordersByOffset
        self.source = source
        self.kafka = kafka
        self.messageBytesMax = messageBytesMax
        self.drainTimeout = drainTimeout
    }
}

extension KafkaSettings {
    /// The configuration of a consumer, in order.
    var properties: [(String, String)] {
        var properties = [
            ("bootstrap.servers", self.brokers.joined(separator: ",")),
            ("group.id", self.group),
            ("client.id", "tidemark"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"),
            // `earliest` and `latest` would skip or repeat messages without an error.
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            // A partition that is not read is not fetched beyond this: back-pressure.
            ("queued.max.messages.kbytes", "1024"),
            ("queued.min.messages", "10000"),
            ("topic.metadata.refresh.interval.ms", "30000"),
            // Without it librdkafka hands on what was changed on its way.
            ("check.crcs", "true"),
        ]
        properties += self.options.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        return properties
    }
}
