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
                        try await service.stop()
                        #expect(try await connection.number("select max(version) from orders") == 31)
                    }
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
