#if RocketMQ
    import Foundation
    import LibPQ
    import RocketMQMock
    import Testing
    import TidemarkStore
    import TidemarkTesting

    /// `tidemark run` with a source of RocketMQ, on brokers in this process.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct RocketMQTests {
        private static let topic = "shop_orders"
        private static let queues = 4

        private static func message(_ order: Int, _ version: Int, _ status: String) -> String {
            #"{"table":"shop.orders","op":"update","after":{"id":\#(order),"version":\#(version),"status":"\#(status)"}}"#
        }

        /// Versions of orders, each order in one queue. Half of them have shipped in the last one.
        private static func send(_ broker: RocketMQBroker, _ orders: ClosedRange<Int>, versions: ClosedRange<Int>) {
            for version in versions {
                for order in orders {
                    let status = version == 3 && order.isMultiple(of: 2) ? "shipped" : "paid"
                    broker.send(
                        Self.message(order, version, status),
                        to: Self.topic,
                        queue: Int32(order % Self.queues),
                        tag: status,
                        keys: "\(order)"
                    )
                }
            }
        }

        private static func read(
            _ what: String,
            _ service: TidemarkProcess,
            until query: String,
            is number: Int,
            _ connection: Connection
        )
            async throws
        {
            try await wait(what, atMost: .seconds(90)) {
                if service.isOver { return true }
                return (try? await connection.number(query)) == number
            }
        }

        /// Rows and counters as one process would have them that had read everything once.
        private static func expectAll(
            _ orders: Int,
            projections: Int = 1,
            on connection: Connection,
            _ comment: Comment
        ) async throws {
            #expect(try await connection.number("select count(*) from orders where version = 3") == orders, comment)
            #expect(try await connection.number("select count(*) from orders_milestones") == orders / 2, comment)
            let counted = "select coalesce(sum(applied + late + duplicate), 0)::bigint from tidemark.counters"
            #expect(try await connection.number(counted) == 3 * orders * projections, comment)
        }

        @Test func whatWasReadIsNotReadAgainAfterARestart() async throws {
            try await withRocketMQ { broker in
                try await withWorkplace(rocketmqConfiguration(broker)) { place, connection in
                    for version in 1...3 {
                        Self.send(broker, 1...100, versions: version...version)
                        let service = try place.startService()
                        let query = "select count(*) from orders where version = \(version)"
                        try await Self.read("version \(version)", service, until: query, is: 100, connection)
                        try await service.stop()
                    }
                    try await Self.expectAll(100, on: connection, "after three runs")
                    let streams =
                        "select count(*) from tidemark_internal.streams where name like 'shop~_orders@broker-a[_]' escape '~'"
                    #expect(try await connection.number(streams) == Self.queues)
                    // Told on the way out, behind the commit.
                    #expect(broker.members(of: "tidemark").isEmpty)
                    for queue in 0..<Self.queues {
                        let offset = broker.offset(of: "tidemark", Self.topic, queue: Int32(queue)) ?? 0
                        #expect(offset <= broker.end(of: Self.topic, queue: queue))
                    }
                }
            }
        }

        /// A member is killed, another one comes: each reads what falls to it, and commits only under the stream's lease.
        @Test func membersThatComeAndGoReadEverythingOnce() async throws {
            try await withRocketMQ { broker in
                try await withWorkplace(rocketmqConfiguration(broker)) { place, connection in
                    let first = try place.startService()
                    Self.send(broker, 1...200, versions: 1...1)
                    try await Self.read(
                        "the first one reads",
                        first,
                        until: "select count(*) from orders",
                        is: 200,
                        connection
                    )
                    let second = try place.startService()
                    let holders =
                        "select count(distinct process_id) from tidemark_internal.leases where process_id is not null"
                    try await Self.read("both have queues", second, until: holders, is: 2, connection)
                    Self.send(broker, 1...200, versions: 2...2)
                    first.kill()
                    _ = try await first.result()
                    let third = try place.startService()
                    Self.send(broker, 1...200, versions: 3...3)
                    let query = "select count(*) from orders where version = 3"
                    try await Self.read("everything is read", third, until: query, is: 200, connection)
                    for process in [second, third] { try await process.stop() }
                    try await Self.expectAll(200, on: connection, "after a kill")
                }
            }
        }

        @Test func aBrokerThatGoesAndComesBackLosesNothing() async throws {
            try await withRocketMQ { broker in
                try await withWorkplace(rocketmqConfiguration(broker)) { place, connection in
                    Self.send(broker, 1...100, versions: 1...1)
                    let service = try place.startService()
                    try await Self.read(
                        "the first version",
                        service,
                        until: "select count(*) from orders",
                        is: 100,
                        connection
                    )
                    await broker.halt("broker-a")
                    try await wait("it says so") {
                        service.isOver ? true : try service.errorSoFar().contains("source events: waiting")
                    }
                    Self.send(broker, 1...100, versions: 2...3)
                    try await broker.resume("broker-a")
                    let query = "select count(*) from orders where version = 3"
                    try await Self.read("what was sent behind it", service, until: query, is: 100, connection)
                    try await wait("it says so") {
                        let log = try service.errorSoFar()
                        let waiting = log.ranges(of: "source events: waiting").last
                        return waiting.map { log[$0.upperBound...].contains("source events: running") } ?? true
                    }
                    try await service.stop()
                    try await Self.expectAll(100, on: connection, "after the outage")
                }
            }
        }

        /// Official clients that keep the order stop a queue at a message that fails. Here it is a dead letter, and the
        /// messages behind it are read.
        @Test func aBadMessageDoesNotSuspendItsQueue() async throws {
            try await withRocketMQ(queues: 1) { broker in
                broker.send(Self.message(1, 1, "paid"), to: Self.topic)
                broker.send("no event", to: Self.topic, tag: "bad", keys: "k")
                broker.send(Self.message(1, 2, "paid"), to: Self.topic, systemFlags: 0x80)
                broker.send(Self.message(1, 3, "shipped"), to: Self.topic)
                try await withWorkplace(rocketmqConfiguration(broker, source: "ordered: true")) { place, connection in
                    let service = try place.startService()
                    try await Self.read(
                        "the last one",
                        service,
                        until: "select max(version) from orders",
                        is: 3,
                        connection
                    )
                    #expect(broker.lockHolder(of: "tidemark", Self.topic, queue: 0) != nil)
                    try await service.stop()
                    let letters = try await connection.rows(
                        "select reason, position from tidemark.dead_letters order by position"
                    )
                    #expect(
                        letters == [
                            ["malformed_json", "shop_orders@broker-a[0]:1"],
                            ["unknown_format", "shop_orders@broker-a[0]:2"],
                        ]
                    )
                    let id = try await connection.rows(
                        "select id::text from tidemark.dead_letters where reason = 'unknown_format'"
                    )
                    let shown = try await place.run("deadletters", "show", id.first?.first ?? "")
                    #expect(shown.output.contains("INNER_BATCH_FLAG"), "\(shown)")
                    #expect(broker.lockHolder(of: "tidemark", Self.topic, queue: 0) == nil)
                    // Offsets 2 and 3 would have waited for offset 1.
                    #expect(try await DeadLetterStore.messagesBehind(on: connection) == ["events": 2])
                }
            }
        }

        /// Message 1 was sent again behind message 2, as a producer does whose first send failed; and stored twice, as one
        /// whose answer was lost.
        @Test func whatIsSentAgainBehindALaterOneChangesNothing() async throws {
            try await withRocketMQ(queues: 2) { broker in
                for (order, versions) in [(1, [2, 1]), (2, [1, 2, 1])] {
                    for version in versions {
                        let status = version == 2 ? "shipped" : "paid"
                        broker.send(Self.message(order, version, status), to: Self.topic, queue: Int32(order % 2))
                    }
                }
                try await withWorkplace(rocketmqConfiguration(broker)) { place, connection in
                    let service = try place.startService()
                    let counted = "select coalesce(sum(applied + late + duplicate), 0)::bigint from tidemark.counters"
                    try await Self.read("all of them", service, until: counted, is: 5, connection)
                    try await service.stop()
                    let rows = try await connection.rows(
                        "select id::text, version::text, status from orders order by id"
                    )
                    #expect(rows == [["1", "2", "shipped"], ["2", "2", "shipped"]])
                    #expect(try await connection.number("select count(*) from orders_milestones") == 2)
                }
            }
        }

        /// Tags, keys and properties are columns of key, sequence and tags.
        @Test func tagsAndPropertiesAreColumns() async throws {
            try await withRocketMQ(queues: 1) { broker in
                for (tenant, status, number) in [
                    ("a", "paid", 1), ("b", "paid", 1), ("a", "shipped", 2), ("a", "dropped", 3),
                ] {
                    broker.send(
                        #"{"table":"shop.orders","op":"update","after":{"id":1}}"#,
                        to: Self.topic,
                        tag: status,
                        properties: [("tenant", tenant), ("number", "\(number)")]
                    )
                }
                let projection = """
                    key: [$header.tenant, id]
                    sequence: { column: $header.number, type: bigint }
                    tags: { from: $tag, accept: "paid || shipped" }
                    state: $tag
                    columns: { id: bigint, status: { type: text, from: $tag } }
                    """
                try await withWorkplace(rocketmqConfiguration(broker, projection: projection)) { place, connection in
                    let service = try place.startService()
                    try await Self.read(
                        "all",
                        service,
                        until: "select count(*) from orders_timeline",
                        is: 3,
                        connection
                    )
                    try await service.stop()
                    let rows = try await connection.rows("select tenant, status from orders order by tenant")
                    #expect(rows == [["a", "shipped"], ["b", "paid"]])
                }
            }
        }

        /// The offset orders an entity's events where all of them are in one queue.
        @Test func offsetsArePositionsWhereQueuesAreByKey() async throws {
            try await withRocketMQ(queues: 2) { broker in
                for (queue, id, status) in [(0, 1, "paid"), (0, 1, "shipped"), (1, 2, "paid"), (1, 1, "late")] {
                    broker.send(
                        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"status":"\#(status)"}}"#,
                        to: Self.topic,
                        queue: Int32(queue)
                    )
                }
                let projection = "key: id\nsequence: $position\ncolumns: { id: bigint, status: text }"
                let refused = rocketmqConfiguration(broker, projection: projection)
                let yaml = rocketmqConfiguration(broker, source: "partitioned_by_key: true", projection: projection)
                try await withWorkplace(refused) { place, connection in
                    #expect(try await place.run("check").error.contains("partitioned_by_key: true"))
                    try place.write("tidemark.yaml", yaml)
                    let service = try place.startService()
                    try await Self.read(
                        "all",
                        service,
                        until: "select count(*) from orders_timeline",
                        is: 4,
                        connection
                    )
                    try await service.stop()
                    let moved = "select detail from tidemark.anomalies where kind = 'moved_partition'"
                    let detail = try await connection.rows(moved).first?.first ?? ""
                    #expect(detail.contains("shop_orders@broker-a[0], shop_orders@broker-a[1]"), "\(detail)")
                }
            }
        }

        /// Where offsets order entities, an empty queue is none that was added; one that was keeps all of its topic from being
        /// read.
        @Test func noQueueIsReadOnBeforeOneThatWasAdded() async throws {
            try await withRocketMQ(queues: 2) { broker in
                func send(_ queue: Int32, _ status: String) {
                    broker.send(
                        #"{"table":"shop.orders","op":"update","after":{"id":2,"status":"\#(status)"}}"#,
                        to: Self.topic,
                        queue: queue
                    )
                }
                func configuration(_ source: String) -> String {
                    rocketmqConfiguration(
                        broker,
                        source: "partitioned_by_key: true\n" + source,
                        projection: "key: id\nsequence: $position\ncolumns: { id: bigint, status: text }"
                    )
                }
                for status in ["created", "paid", "packed"] { send(0, status) }
                try await withWorkplace(configuration("")) { place, connection in
                    func read(_ count: Int) async throws {
                        let service = try place.startService()
                        let events = "select count(*) from orders_timeline"
                        try await Self.read("\(count) events", service, until: events, is: count, connection)
                        let level = "select count(*) from tidemark_internal.leases where behind = 0"
                        try await Self.read("both queues are level", service, until: level, is: 2, connection)
                        try await service.stop()
                    }
                    try await read(3)
                    send(0, "sent")
                    try await read(4)
                    broker.setQueues(of: Self.topic, to: 3)
                    send(1, "delivered")
                    try await place.runService(untilItSays: "[2] was added to a topic")
                    #expect(try await connection.number("select count(*) from orders_timeline") == 4)
                    try place.write("tidemark.yaml", configuration("epoch: 1\nadded_partitions: earliest"))
                    let service = try place.startService()
                    let newest = "select count(*) from orders where status = 'delivered'"
                    try await Self.read("what moved", service, until: newest, is: 1, connection)
                    try await service.stop()
                }
            }
        }

        @Test(arguments: ["stop", "earliest"]) func lostHistoryIsNeverPassedOverInSilence(_ rule: String) async throws {
            try await withRocketMQ(queues: 1) { broker in
                let yaml = rocketmqConfiguration(broker, source: "lost_history: \(rule)")
                try await withWorkplace(yaml) { place, connection in
                    broker.send(Self.message(1, 1, "paid"), to: Self.topic)
                    let first = try place.startService()
                    try await Self.read(
                        "the first message",
                        first,
                        until: "select count(*) from orders",
                        is: 1,
                        connection
                    )
                    try await first.stop()
                    broker.deleteTopic(Self.topic)
                    broker.createTopic(Self.topic, queues: 1)
                    for version in 2...4 { broker.send(Self.message(1, version, "paid"), to: Self.topic) }
                    let second = try place.startService()
                    let told = rule == "stop" ? "source events: failed" : "it is read from its beginning"
                    try await wait("it says what was lost", atMost: .seconds(60)) {
                        second.isOver ? true : try second.errorSoFar().contains(told)
                    }
                    if rule == "earliest" {
                        try await Self.read(
                            "what there is",
                            second,
                            until: "select version from orders",
                            is: 4,
                            connection
                        )
                    } else {
                        #expect(try await connection.number("select version from orders") == 1)
                    }
                    #expect(try second.errorSoFar().contains("the topic was made anew"))
                    try await second.stop()
                }
            }
        }

        /// A projection that comes later reads what there is, beside the others, which miss nothing meanwhile.
        @Test func aProjectionThatComesLaterReadsEverythingBesideTheOthers() async throws {
            try await withRocketMQ { broker in
                let other = """

                      - name: other
                        from: shop.orders
                        key: id
                        sequence: version
                        columns: { id: bigint, version: bigint }
                    """
                try await withWorkplace(rocketmqConfiguration(broker)) { place, connection in
                    Self.send(broker, 1...200, versions: 1...1)
                    let first = try place.startService()
                    try await Self.read(
                        "the first version",
                        first,
                        until: "select count(*) from orders",
                        is: 200,
                        connection
                    )
                    try await first.stop()
                    try place.write("tidemark.yaml", rocketmqConfiguration(broker) + other)
                    let second = try place.startService()
                    Self.send(broker, 1...200, versions: 2...3)
                    for projection in ["orders", "other"] {
                        let query = "select count(*) from \(projection)_timeline"
                        try await Self.read("\(projection) has everything", second, until: query, is: 600, connection)
                    }
                    try await second.stop()
                    try await Self.expectAll(200, projections: 2, on: connection, "beside the others")
                }
            }
        }
    }
#endif
