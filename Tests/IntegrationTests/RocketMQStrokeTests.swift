#if RocketMQ
    import RocketMQMock
    import Testing
    import TidemarkTesting

    /// Members of a group of RocketMQ are stopped for longer than their lease. `make prove-rocketmq` runs more rounds with
    /// more events.
    @Suite(.freshDatabase, .serialized, .timeLimit(.minutes(60)))
    struct RocketMQStrokeTests {
        private struct Broker: StrokeBroker {
            static var name: String { "rocketmq" }
            static var pause: Duration { .seconds(5) }
            private static let topic = "shop_orders"

            let broker: RocketMQBroker

            var source: [String] { ["name_servers: [\"\(self.broker.address)\"]", "topics: [\(Self.topic)]"] }

            func prepare(partitions: Int) { self.broker.createTopic(Self.topic, queues: partitions) }

            func send(_ messages: [(partition: Int, line: String)]) {
                for (queue, line) in messages { self.broker.send(line, to: Self.topic, queue: Int32(queue)) }
            }

            func committed(partitions: Int) -> [Int64] {
                (0..<partitions).map { self.broker.offset(of: "tidemark", Self.topic, queue: Int32($0)) ?? 0 }
            }

            func stream(of partition: Int) -> String { "\(Self.topic)@broker-a[\(partition)]" }
        }

        @Test func strokesChangeNothing() async throws {
            let broker = try await RocketMQBroker()
            try await GroupStrokes(broker: Broker(broker: broker)).changeNothing()
            await broker.stop()
        }
    }
#endif
