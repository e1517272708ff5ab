#if Kafka
    import Testing
    import TidemarkTesting

    /// Members of a group of Kafka are stopped for longer than their session. `make prove-kafka` runs more rounds with more
    /// events.
    @Suite(.freshDatabase, .serialized, .timeLimit(.minutes(60)))
    struct KafkaStrokeTests {
        private struct Broker: StrokeBroker {
            static var name: String { "kafka" }
            static var pause: Duration { .seconds(9) }
            private static let topic = "shop.orders"

            let mock: KafkaMock

            var source: [String] {
                [
                    "brokers: [\(self.mock.brokers.map { "\"\($0)\"" }.joined(separator: ", "))]",
                    "topics: [\(Self.topic)]", "options: { session.timeout.ms: 6000, heartbeat.interval.ms: 500 }",
                ]
            }

            func prepare(partitions: Int) async throws {
                try await self.mock.perform([["topic", Self.topic, "\(partitions)"]])
            }

            func send(_ messages: [(partition: Int, line: String)]) async throws {
                try await self.mock.send(Self.topic, messages.map { ($0.partition, "k", $0.line) })
            }

            func committed(partitions: Int) async throws -> [Int64] {
                try await self.mock.committed(Self.topic, partitions: partitions, group: "tidemark")
            }

            func stream(of partition: Int) -> String { "\(Self.topic)[\(partition)]" }
        }

        @Test func strokesChangeNothing() async throws {
            try await GroupStrokes(broker: Broker(mock: KafkaMock())).changeNothing()
        }
    }
#endif
