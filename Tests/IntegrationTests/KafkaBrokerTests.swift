#if Kafka
    import Foundation
    import LibPQ
    import Testing
    import TidemarkTesting

    /// `tidemark run` on other brokers than librdkafka's mock cluster, and on one that is told to fail.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct KafkaBrokerTests {
        private static let topic = "shop.orders"

        private static func lines(_ orders: ClosedRange<Int>, version: Int) -> [String] {
            orders.map { order in
                let status = version == 3 ? "shipped" : "paid"
                return
                    #"{"table":"shop.orders","op":"update","after":{"id":\#(order),"version":\#(version),"status":"\#(status)"}}"#
            }
        }

        private static func waitForVersion(
            _ version: Int,
            of orders: Int,
            _ processes: [TidemarkProcess],
            on connection: Connection
        ) async throws {
            try await wait("version \(version) of \(orders) orders", atMost: .seconds(90)) {
                if processes.contains(where: \.isOver) { return true }
                let rows = "select count(*) from orders where version >= \(version)"
                return (try? await connection.number(rows)) == orders
            }
        }

        /// On Tansu, with the newer librdkafka that Tansu needs. A member that is killed and started again: with a static id it
        /// has its partitions at once, since its session goes on; without, another member takes them over.
        @Test(arguments: [true, false]) func membersOnTansuReadEverythingOnce(_ isStatic: Bool) async throws {
            try await withFolder { folder in
                let broker = try await KafkaBroker(.tansu, in: folder)
                let library = try broker.newerLibrary()
                try await broker.perform("create", Self.topic, "4")
                func send(_ place: Workplace, _ version: Int) async throws {
                    try place.write("v\(version).ndjson", lines: Self.lines(1...400, version: version))
                    let published = try await TidemarkProcess.run(
                        [
                            "publish", "v\(version).ndjson", "--topic", Self.topic, "--brokers", broker.address,
                            "--key",
                            "id", "--no-database",
                        ],
                        environment: library,
                        directory: place.folder
                    )
                    #expect(published.status == 0, "\(published)")
                }
                let yaml = kafkaConfiguration(
                    [broker.address],
                    topic: Self.topic,
                    options: isStatic ? ", group.instance.id: one" : ""
                )
                try await withWorkplace(yaml) { place, connection in
                    try await send(place, 1)
                    let one = try place.startService(environment: library)
                    try await Self.waitForVersion(1, of: 400, [one], on: connection)
                    // Tansu gives a second static member no partitions while the first one is there.
                    let two = isStatic ? nil : try place.startService(environment: library)
                    if two != nil {
                        let holders =
                            "select count(distinct process_id) from tidemark_internal.leases where process_id is not null"
                        try await wait("both have partitions", atMost: .seconds(60)) {
                            try await connection.number(holders) == 2
                        }
                    }
                    one.kill()
                    _ = try await one.result()
                    try await send(place, 2)
                    let again = try place.startService(environment: library)
                    let processes = [two, again].compactMap { $0 }
                    try await Self.waitForVersion(2, of: 400, processes, on: connection)
                    try await send(place, 3)
                    try await Self.waitForVersion(3, of: 400, processes, on: connection)
                    for process in processes { try await process.stop() }
                    #expect(try await connection.number("select count(*) from orders_milestones") == 400)
                    let counted = "select coalesce(sum(applied + late + duplicate), 0)::bigint from tidemark.counters"
                    #expect(try await connection.number(counted) == 1200)
                }
            }
        }

        /// Aborted transactions are not read. A topic that was deleted and created again stops the source, whether it is
        /// shorter or longer than the one that was read.
        @Test func transactionsAndTopicsThatAreMadeAnewOnNoida() async throws {
            try await withFolder { folder in
                let broker = try await KafkaBroker(.noida, in: folder)
                func send(_ versions: ClosedRange<Int>, _ ending: String? = nil) async throws {
                    let input = versions.map { "1\t" + Self.lines(1...1, version: $0)[0] + "\n" }.joined()
                    if let ending {
                        try await broker.perform("send", Self.topic, ending, input: input)
                    } else {
                        try await broker.perform("send", Self.topic, input: input)
                    }
                }
                try await broker.perform("create", Self.topic, "1")
                try await send(1...10)
                try await send(11...20, "commit")
                try await send(21...30, "abort")
                try await send(31...31)
                try await withWorkplace(kafkaConfiguration([broker.address], topic: Self.topic)) { place, connection in
                    let first = try place.startService()
                    try await Self.waitForVersion(31, of: 1, [first], on: connection)
                    try await first.stop()
                    #expect(try await connection.number("select count(*) from orders_timeline") == 21)
                    for (versions, complaint) in [
                        (100...105, "the broker has nothing at offset"), (200...260, "the topic was made anew"),
                    ] {
                        try await broker.perform("delete", Self.topic)
                        try await broker.perform("create", Self.topic, "1")
                        try await send(versions)
                        let service = try place.startService()
                        try await wait("it says so", atMost: .seconds(60)) {
                            if service.isOver { return true }
                            return try service.errorSoFar().contains(complaint)
                        }
                        // Retention did not take the last message that was read: the log ends before it.
                        #expect(try !service.errorSoFar().contains("so it cannot be compared"))
                        try await service.stop()
                        #expect(try await connection.number("select max(version) from orders") == 31)
                    }
                }
            }
        }

        /// librdkafka has another queue for a partition once its topic was gone for a while.
        @Test func aTopicThatIsGoneForAWhileIsReadAgainByTheRunningService() async throws {
            try await withFolder { folder in
                let broker = try await KafkaBroker(.noida, in: folder)
                func send(_ versions: ClosedRange<Int>) async throws {
                    let input = versions.map { "1\t" + Self.lines(1...1, version: $0)[0] + "\n" }.joined()
                    try await broker.perform("put", Self.topic, "0", input: input)
                }
                try await broker.perform("create", Self.topic, "2")
                try await send(1...20)
                let yaml = kafkaConfiguration(
                    [broker.address],
                    topic: Self.topic,
                    options: ", topic.metadata.refresh.interval.ms: 1000",
                    source: "lost_history: earliest"
                )
                try await withWorkplace(yaml) { place, connection in
                    let service = try place.startService()
                    try await Self.waitForVersion(20, of: 1, [service], on: connection)
                    try await broker.perform("delete", Self.topic)
                    // Its partitions are given back.
                    let held = "select count(*) from tidemark_internal.leases where process_id is not null"
                    try await wait("nothing is read", atMost: .seconds(60)) {
                        service.isOver ? true : try await connection.number(held) == 0
                    }
                    try await broker.perform("create", Self.topic, "2")
                    try await send(101...130)
                    try await Self.waitForVersion(130, of: 1, [service], on: connection)
                    #expect(try service.errorSoFar().contains("it is read from its beginning"))
                    #expect(try await connection.number("select count(*) from orders_timeline") == 50)
                    try await service.stop()
                }
            }
        }

        /// Where offsets order entities, an empty partition is none that was added; one that was keeps all of its topic from
        /// being read, since an event of an entity that moved would be passed over in another one.
        @Test func noPartitionIsReadOnBeforeOneThatWasAdded() async throws {
            try await withFolder { folder in
                let broker = try await KafkaBroker(.noida, in: folder)
                func put(_ partition: Int, _ order: Int, _ status: String) async throws {
                    let value = #"{"table":"shop.orders","op":"update","after":{"id":\#(order),"status":"\#(status)"}}"#
                    try await broker.perform("put", Self.topic, "\(partition)", input: "\(order)\t\(value)\n")
                }
                func configuration(_ source: String) -> String {
                    kafkaConfiguration(
                        [broker.address],
                        topic: Self.topic,
                        source: "partitioned_by_key: true\n" + source,
                        projection: "key: id\nsequence: $position\ncolumns: { id: bigint, status: text }"
                    )
                }
                try await broker.perform("create", Self.topic, "2")
                for status in ["created", "paid", "packed"] { try await put(0, 2, status) }
                try await withWorkplace(configuration("")) { place, connection in
                    func read(_ count: Int) async throws {
                        let service = try place.startService()
                        try await wait("\(count) events", atMost: .seconds(60)) {
                            if service.isOver { return true }
                            return (try? await connection.number("select count(*) from orders_timeline")) == count
                        }
                        let level = "select count(*) from tidemark_internal.leases where behind = 0"
                        try await wait("both partitions are level", atMost: .seconds(60)) {
                            service.isOver ? true : try await connection.number(level) == 2
                        }
                        #expect(try await place.succeed("status").output.contains("0 behind, at 0"))
                        try await service.stop()
                    }
                    try await read(3)
                    // The second one is empty, and was when the topic was begun.
                    try await put(0, 2, "sent")
                    try await read(4)
                    try await broker.perform("grow", Self.topic, "3")
                    try await put(1, 2, "delivered")
                    try await place.runService(untilItSays: "[2] was added to a topic")
                    #expect(try await connection.number("select count(*) from orders_timeline") == 4)
                    try place.write("tidemark.yaml", configuration("epoch: 1\nadded_partitions: earliest"))
                    let service = try place.startService()
                    try await wait("what moved", atMost: .seconds(60)) {
                        if service.isOver { return true }
                        return try await connection.rows("select status from orders") == [["delivered"]]
                    }
                    try await service.stop()
                    #expect(try await connection.rows("select status from orders") == [["delivered"]])
                }
            }
        }

        /// Leaders and coordinators that move, answers that are slow, requests that fail: nothing is lost, and no process
        /// has to be started again.
        @Test func faultsOfBrokersAreRecoveredFrom() async throws {
            let mock = try await KafkaMock()
            try await mock.perform([["topic", Self.topic, "4"]])
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, connection in
                func send(_ version: Int) async throws {
                    try await mock.send(
                        Self.topic,
                        Self.lines(1...100, version: version).enumerated().map { ($0 % 4, "\($0 + 1)", $1) }
                    )
                }
                try await send(1)
                let service = try place.startService()
                try await Self.waitForVersion(1, of: 100, [service], on: connection)
                let faults: [[[String]]] = [
                    // Each partition's leader moves.
                    (0..<4).map { ["leader", Self.topic, "\($0)", "\($0 % 3 + 1)"] },
                    // The coordinator moves.
                    [["coordinator", "tidemark", "2"]],
                    [["delay", "0", "400"]],
                    // A broker goes and comes back; the mock has no other leader for its partitions meanwhile.
                    [["delay", "0", "0"], ["down", "1"], ["up", "1"]],
                    // Fetch: NOT_LEADER, UNKNOWN_TOPIC_OR_PART; OffsetCommit: COORDINATOR_LOAD_IN_PROGRESS,
                    // NOT_COORDINATOR, REBALANCE_IN_PROGRESS; Heartbeat: ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID.
                    [["fail", "1", "6", "2"], ["fail", "1", "3", "2"]],
                    [["fail", "8", "14", "1"], ["fail", "8", "16", "1"], ["fail", "8", "27", "1"]],
                    [["fail", "12", "22", "1"]],
                    [["fail", "12", "25", "1"]],
                ]
                for (index, fault) in faults.enumerated() {
                    try await mock.perform(fault)
                    let version = index + 2
                    try await send(version)
                    try await Self.waitForVersion(version, of: 100, [service], on: connection)
                }
                try await service.stop()
                #expect(
                    try await connection.number("select count(*) from orders_timeline") == 100 * (faults.count + 1)
                )
                let counted = "select coalesce(sum(applied + late + duplicate), 0)::bigint from tidemark.counters"
                #expect(try await connection.number(counted) == 100 * (faults.count + 1))
            }
        }
    }
#endif
