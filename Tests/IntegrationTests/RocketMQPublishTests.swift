#if RocketMQ
    import Foundation
    import LibPQ
    import RocketMQCodec
    import RocketMQMock
    import Testing
    import TidemarkTesting

    /// What is written to topics of RocketMQ: publications and deliveries.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct RocketMQPublishTests {
        private static let topic = "shop_orders"

        private static let projection = """
            projections:
              - name: orders
                from: shop.orders
                key: id
                sequence: version
                state: status
                lifecycle: { initial: paid, transitions: { paid: [shipped] } }
                milestones: { shipped: { state: shipped } }
                columns: { id: bigint, version: bigint, status: text }
            """

        private static func line(_ id: Int, _ version: Int) -> String {
            let status = version.isMultiple(of: 3) ? "shipped" : "paid"
            return
                #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"status":"\#(status)"}}"#
        }

        private static func source(_ broker: RocketMQBroker) -> String {
            """
            server: { listen: none }
            service: { lease_ttl: 2s }
            sources:
              - { name: queue, type: rocketmq, name_servers: ["\(broker.address)"], topics: [\(Self.topic)], group: tidemark }

            """
        }

        /// A log that is published and read from the topic ends in the rows of its replay.
        @Test func whatIsPublishedEndsInTheSameRows() async throws {
            try await withRocketMQ { broker in
                let log =
                    (1...3).flatMap { version in (1...40).map { Self.line($0, version) } }.joined(separator: "\n")
                    + "\n"
                func query(_ table: String) -> String {
                    "select jsonb_agg(to_jsonb(o) order by id)::text from (select id, version, status from \(table)) as o"
                }
                var replayed: [[String]] = []
                try await withWorkplace(Self.projection) { place, connection in
                    try place.write("log.ndjson", log)
                    _ = try await place.run("replay", "--no-deliver", "log.ndjson")
                    replayed = try await connection.rows(query("orders"))
                }
                let reading = Self.projection.replacing("name: orders", with: "name: copies")
                try await withWorkplace(Self.source(broker) + reading) { place, connection in
                    try place.write("log.ndjson", log)
                    let arguments = [
                        "publish", "log.ndjson", "--to", "rocketmq", "--topic", Self.topic, "--name-servers",
                        broker.address,
                    ]
                    for _ in 0..<2 {
                        let result = try await place.run(arguments)
                        #expect(result.status == 0, "\(result)")
                    }
                    let sent = (0..<4).flatMap { broker.messages(of: Self.topic, queue: $0) }
                    #expect(sent.count == 120)
                    #expect(sent.allSatisfy { $0.value(of: "TAGS") == "shop.orders" && $0.value(of: "KEYS") != nil })
                    let service = try place.startService()
                    let counted = "select count(*) from copies_timeline"
                    try await wait("everything is read", atMost: .seconds(60)) {
                        if service.isOver { return true }
                        return (try? await connection.number(counted)) == 120
                    }
                    try await service.stop()
                    #expect(try await connection.rows(query("copies")) == replayed)
                }
            }
        }

        @Test func aMilestoneIsAMessageOfItsEntity() async throws {
            try await withRocketMQ { broker in
                broker.createTopic("milestones", queues: 2)
                let notifiers = """

                    notifiers:
                      topic: { type: rocketmq, name_servers: ["\(broker.address)"], topic: milestones }
                    """
                let projection = Self.projection.replacing(
                    "{ state: shipped }",
                    with: "{ state: shipped, notify: [topic] }"
                )
                try await withWorkplace(Self.source(broker) + projection + notifiers) { place, connection in
                    for version in 1...3 { broker.send(Self.line(7, version), to: Self.topic) }
                    let service = try place.startService([])
                    try await wait("it is delivered", atMost: .seconds(60)) {
                        service.isOver || (0..<2).contains { broker.end(of: "milestones", queue: $0) > 0 }
                    }
                    try await wait("it is known", atMost: .seconds(60)) {
                        if service.isOver { return true }
                        let query = "select count(*) from tidemark.deliveries where status = 'delivered'"
                        return (try? await connection.number(query)) == 1
                    }
                    try await service.stop()
                    let messages = (0..<2).flatMap { broker.messages(of: "milestones", queue: $0) }
                    let message = try #require(messages.first)
                    #expect(messages.count == 1)
                    #expect(message.value(of: "KEYS") == "7" && message.value(of: "TAGS") == "shipped")
                    #expect(message.value(of: "tidemark-projection") == "orders")
                }
            }
        }

        /// What a running service publishes, from one topic to another.
        @Test func aTopicIsPublishedToAnother() async throws {
            try await withRocketMQ { broker in
                broker.createTopic("copies", queues: 2)
                let publication = """

                    publications:
                      - { source: queue, type: rocketmq, name_servers: ["\(broker.address)"], topic: copies, message: tidemark }
                    """
                try await withWorkplace(Self.source(broker) + Self.projection + publication) { place, _ in
                    for id in 1...50 { broker.send(Self.line(id, 1), to: Self.topic, queue: Int32(id % 4)) }
                    let service = try place.startService()
                    try await wait("all are there", atMost: .seconds(60)) {
                        service.isOver || (0..<2).reduce(0) { $0 + broker.end(of: "copies", queue: $1) } == 50
                    }
                    try await service.stop()
                    #expect((0..<2).reduce(0) { $0 + broker.end(of: "copies", queue: $1) } == 50)
                }
            }
        }
    }
#endif
