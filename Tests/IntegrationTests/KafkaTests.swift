#if Kafka
    import Foundation
    import LibPQ
    import Testing
    import TidemarkTesting

    /// `tidemark run` with a source of Kafka, on librdkafka's mock cluster.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct KafkaTests {
        private static let topic = "shop.orders"
        private static let partitions = 4

        /// Versions of orders, each order in one partition. Half of them have shipped in the last one.
        private static func messages(
            _ orders: ClosedRange<Int>,
            versions: ClosedRange<Int>
        ) -> [(partition: Int, key: String, value: String)] {
            versions.flatMap { version in
                orders.map { order in
                    let status = version == 3 && order.isMultiple(of: 2) ? "shipped" : "paid"
                    return (
                        order % Self.partitions, "\(order)",
                        #"{"table":"shop.orders","op":"update","after":{"id":\#(order),"version":\#(version),"status":"\#(status)"}}"#
                    )
                }
            }
        }

        private static func topic(_ mock: KafkaMock) async throws {
            try await mock.perform([["topic", Self.topic, "\(Self.partitions)"]])
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
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                for version in 1...3 {
                    try await mock.send(Self.topic, Self.messages(1...100, versions: version...version))
                    let service = try place.startService()
                    try await wait("version \(version)") {
                        if service.isOver { return true }
                        let rows = try? await connection.number(
                            "select count(*) from orders where version = \(version)"
                        )
                        return rows == 100
                    }
                    try await service.stop()
                }
                try await Self.expectAll(100, on: connection, "after three runs")
                let streams = "select count(*) from tidemark_internal.streams where name like 'shop.orders[_]'"
                #expect(try await connection.number(streams) == Self.partitions)
            }
        }

        /// Brokers that are away are waited for, and read from where it was.
        @Test func brokersThatGoAndComeBackLoseNothing() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                try await mock.send(Self.topic, Self.messages(1...100, versions: 1...1))
                let service = try place.startService()
                try await wait("the first version") {
                    if service.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 100
                }
                try await mock.perform([["down", "0"]])
                try await wait("it says so", atMost: .seconds(60)) {
                    let log = try service.errorSoFar()
                    return log.contains("source events: waiting") && log.contains("no broker answers")
                }
                try await mock.perform([["up", "0"]])
                // Though nothing comes.
                try await wait("it says so", atMost: .seconds(60)) {
                    let log = try service.errorSoFar()
                    let waiting = log.ranges(of: "source events: waiting").last
                    return waiting.map { log[$0.upperBound...].contains("source events: running") } ?? false
                }
                try await mock.send(Self.topic, Self.messages(1...100, versions: 2...3))
                try await wait("what was sent behind it", atMost: .seconds(60)) {
                    if service.isOver { return true }
                    return try await connection.number("select count(*) from orders where version = 3") == 100
                }
                try await service.stop()
                try await Self.expectAll(100, on: connection, "after the outage")
            }
        }

        /// Its connections are open, and nothing comes over them. librdkafka gives it up after a minute.
        @Test func aSilentBrokerIsGivenUp() async throws {
            let mock = try await KafkaMock()
            defer { mock.send(SIGCONT) }
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                try await mock.send(Self.topic, Self.messages(1...100, versions: 1...1))
                let service = try place.startService()
                try await wait("the first messages") {
                    if service.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 100
                }
                mock.send(SIGSTOP)
                try await wait("it says so", atMost: .seconds(45)) {
                    let log = try service.errorSoFar()
                    return log.contains("source events: waiting") && log.contains("no broker answers")
                }
                mock.send(SIGCONT)
                try await mock.send(Self.topic, Self.messages(1...100, versions: 2...2))
                try await wait("what was sent behind it", atMost: .seconds(60)) {
                    if service.isOver { return true }
                    return try await connection.number("select count(*) from orders where version = 2") == 100
                }
                try await service.stop()
            }
        }

        /// A member is killed, another one stopped, a third one comes: each reads what the group gives it, and commits only
        /// under the stream's lease.
        @Test func membersThatComeAndGoReadEverythingOnce() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                let first = try place.startService()
                try await mock.send(Self.topic, Self.messages(1...200, versions: 1...1))
                try await wait("the first one reads") {
                    if first.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 200
                }
                let second = try place.startService()
                let holders =
                    "select count(distinct process_id) from tidemark_internal.leases where process_id is not null"
                try await wait("both have partitions", atMost: .seconds(60)) {
                    try await connection.number(holders) == 2
                }
                try await mock.send(Self.topic, Self.messages(1...200, versions: 2...2))
                first.kill()
                _ = try await first.result()
                let third = try place.startService()
                try await mock.send(Self.topic, Self.messages(1...200, versions: 3...3))
                try await wait("everything is read", atMost: .seconds(120)) {
                    if second.isOver || third.isOver { return true }
                    return try await connection.number("select count(*) from orders where version = 3") == 200
                }
                for process in [second, third] { try await process.stop() }
                try await Self.expectAll(200, on: connection, "after a kill")
            }
        }

        /// The source is begun again, and reads all of its partitions.
        @Test func aPartitionThatFailsKeepsNoOtherFromBeingRead() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                try await mock.send(Self.topic, Self.messages(1...100, versions: 1...1))
                let service = try place.startService()
                try await wait("the first version") {
                    if service.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 100
                }
                // A fetch that is answered with TOPIC_AUTHORIZATION_FAILED.
                try await mock.perform([["fail", "1", "29", "1"]])
                try await mock.send(Self.topic, Self.messages(1...100, versions: 2...2))
                try await wait("it says so", atMost: .seconds(60)) {
                    if service.isOver { return true }
                    return try service.errorSoFar().contains("source events: failed")
                }
                try await mock.send(Self.topic, Self.messages(1...100, versions: 3...3))
                try await wait("all partitions are read", atMost: .seconds(90)) {
                    if service.isOver { return true }
                    return try await connection.number("select count(*) from orders where version = 3") == 100
                }
                try await service.stop()
                try await Self.expectAll(100, on: connection, "after a failure")
            }
        }

        /// A dead letter keeps its bytes and where it stood; a tombstone is a control message, and an empty value is one.
        @Test func whatIsNoEventIsKeptOrPassedOver() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                try await mock.send(
                    Self.topic,
                    [(2, "1", "no event"), (2, "1", "\\N"), (2, "", "")] + Self.messages(2...2, versions: 1...1)
                )
                let service = try place.startService()
                try await wait("the event behind them") {
                    if service.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 1
                }
                try await service.stop()
                let letters = try await connection.rows(
                    "select convert_from(raw, 'UTF8'), position from tidemark.dead_letters order by id"
                )
                #expect(letters == [["no event", "shop.orders[2]:0"]])
            }
        }

        /// Retention took messages that were not read, which the mock does at 5 MB a partition.
        @Test(arguments: ["stop", "earliest"]) func lostHistoryIsNeverPassedOverInSilence(_ rule: String) async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "1"]])
            let yaml = kafkaConfiguration(mock.brokers, topic: Self.topic).replacing(
                "    group: tidemark\n",
                with: "    group: tidemark\n    lost_history: \(rule)\n"
            )
            try await withWorkplace(yaml) { place, connection in
                func send(_ version: Int, _ filler: Int) async throws {
                    let message =
                        #"{"table":"shop.orders","op":"update","after":{"id":1,"version":\#(version),"status":"paid"},"filler":""#
                        + String(repeating: "x", count: filler) + #""}"#
                    try await mock.send(Self.topic, [(0, "1", message)])
                }
                try await send(1, 0)
                let first = try place.startService()
                try await wait("the first message") {
                    if first.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 1
                }
                try await first.stop()
                for version in 2...14 { try await send(version, 800_000) }
                let second = try place.startService()
                let told = rule == "stop" ? "source events: failed" : "it is read from its beginning"
                try await wait("it says what was lost", atMost: .seconds(60)) {
                    if second.isOver { return true }
                    return try second.errorSoFar().contains(told)
                }
                if rule == "earliest" {
                    try await wait("what there is", atMost: .seconds(60)) {
                        if second.isOver { return true }
                        return try await connection.number("select version from orders") == 14
                    }
                    // The stream that lost its messages takes part in nothing any more.
                    let open = "select count(*) from tidemark_internal.leases where not is_at_end"
                    #expect(try await connection.number(open) == 1)
                    let seek = try await place.run("seek", "events", "--to", "0")
                    #expect(seek.status == 0, "\(seek)")
                } else {
                    #expect(try await connection.number("select version from orders") == 1)
                }
                #expect(try second.errorSoFar().contains("messages that were not read may be lost"))
                try await second.stop()
            }
        }

        /// A projection that comes later reads what there is, beside the others, which miss nothing meanwhile.
        @Test func aProjectionThatComesLaterReadsEverythingBesideTheOthers() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            let other = """

                  - name: other
                    from: shop.orders
                    key: id
                    sequence: version
                    columns: { id: bigint, version: bigint }
                """
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                try await mock.send(Self.topic, Self.messages(1...200, versions: 1...1))
                let first = try place.startService()
                try await wait("the first version") {
                    if first.isOver { return true }
                    return (try? await connection.number("select count(*) from orders")) == 200
                }
                try await first.stop()
                try place.write("tidemark.yaml", kafkaConfiguration(mock.brokers, topic: Self.topic) + other)
                let second = try place.startService()
                try await mock.send(Self.topic, Self.messages(1...200, versions: 2...2))
                try await wait("both have both versions", atMost: .seconds(60)) {
                    if second.isOver { return true }
                    let counts = """
                        select (select count(*) from orders_timeline) + coalesce(
                            (select count(*) from tidemark.projections where name = 'other'), 0)
                        """
                    guard try await connection.number(counts) == 401 else { return false }
                    return (try? await connection.number("select count(*) from other_timeline")) == 400
                }
                #expect(try await place.run("pause", "other").status == 0)
                try await mock.send(Self.topic, Self.messages(1...200, versions: 3...3))
                #expect(try await place.run("resume", "other").status == 0)
                try await mock.send(Self.topic, Self.messages(201...300, versions: 1...3))
                for projection in ["orders", "other"] {
                    try await wait("\(projection) has everything", atMost: .seconds(60)) {
                        if second.isOver { return true }
                        return try await connection.number("select count(*) from \(projection)_timeline") == 900
                    }
                }
                try await second.stop()
                try await Self.expectAll(300, projections: 2, on: connection, "after a pause")
            }
        }

        /// What was there before the first start is never read, whoever has the partition later.
        @Test func whatStartsAtTheEndGoesOnFromThere() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            let yaml = kafkaConfiguration(mock.brokers, topic: Self.topic).replacing(
                "    group: tidemark\n",
                with: "    group: tidemark\n    start: latest\n"
            )
            try await withWorkplace(yaml) { place, connection in
                try await mock.send(Self.topic, Self.messages(1...100, versions: 1...1))
                let first = try place.startService()
                let behind = """
                    select count(*) from tidemark_internal.leases as l
                    where tidemark_internal.offset_major(l."offset") = 25
                    """
                try await wait("all partitions are at their ends", atMost: .seconds(60)) {
                    if first.isOver { return true }
                    return (try? await connection.number(behind)) == Self.partitions
                }
                try await first.stop()
                try await mock.send(Self.topic, Self.messages(101...200, versions: 1...1))
                let second = try place.startService()
                try await wait("what came later", atMost: .seconds(60)) {
                    if second.isOver { return true }
                    return try await connection.number("select count(*) from orders where id > 100") == 100
                }
                #expect(try await connection.number("select count(*) from orders") == 100)
                try await second.stop()
            }
        }

        @Test(arguments: [
            ("t", "nonsense: 1", "option nonsense is refused"),
            ("t", "session.timeout.ms: abc", "option session.timeout.ms is refused"),
            ("t", "max.poll.interval.ms: 1000", "the consumer cannot be made"),
            ("\"^a(\"", "client.id: a", "topic ^a( is no regular expression of POSIX"),
        ])
        func whatLibrdkafkaRefusesIsNamed(_ topic: String, _ option: String, _ complaint: String) async throws {
            let yaml = """
                sources:
                  - { name: events, type: kafka, brokers: ["127.0.0.1:1"], topics: [\(topic)], group: g, options: { \(option) } }
                projections:
                  - { name: orders, from: shop.orders, key: id, sequence: version }
                """
            try await withWorkplace(yaml) { place, _ in
                for command in ["check", "run"] {
                    let result = try await place.run(command)
                    #expect(result.status == 78, "\(command): \(result.output)\(result.error)")
                    #expect(
                        result.error.contains("tidemark.yaml:2: sources[0]: \(complaint)"),
                        "\(result.error)"
                    )
                }
            }
        }
    }
#endif
