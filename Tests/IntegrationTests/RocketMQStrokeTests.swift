#if RocketMQ
    import Foundation
    import LibPQ
    import Testing
    import TidemarkStore
    import TidemarkTesting

    /// One, two and four members read sixteen queues; they are killed, stopped for longer than their lease, ended and
    /// started again meanwhile. `make prove-rocketmq` runs more rounds with more events.
    @Suite(.freshDatabase, .serialized, .timeLimit(.minutes(60)))
    struct RocketMQStrokeTests {
        private enum Stroke: CaseIterable {
            case none, killed, paused, ended
        }

        private static func number(_ variable: String, else standard: Int) -> Int {
            ProcessInfo.processInfo.environment[variable].flatMap { Int($0) } ?? standard
        }

        private static let topic = "shop_orders"
        private static let queues = 16
        private static let lease = Duration.seconds(2)

        private static func yaml(_ broker: RocketMQBroker) -> String {
            Shop.projection + """

                server: { listen: none }
                service: { lease_ttl: 2s }
                lanes: 2
                sources:
                  - name: logs
                    type: rocketmq
                    name_servers: ["\(broker.address)"]
                    topics: [\(Self.topic)]
                    group: tidemark

                """
        }

        private static func run(_ folder: URL) throws -> TidemarkProcess {
            try TidemarkProcess(
                ["run", "--no-deliver"],
                environment: ["DATABASE_URL": TestDatabase.current.url],
                directory: folder
            )
        }

        /// The queue of an event: that of its entity.
        private static func queue(of line: String) -> Int {
            let id = line.firstMatch(of: /"id":\s*"?([0-9]+)/).flatMap { Int($0.1) } ?? 0
            return id % Self.queues
        }

        @Test func strokesChangeNothing() async throws {
            var generator = SeededGenerator.forTest("rocketmq strokes")
            let rounds = Self.number("TIDEMARK_TEST_ROCKETMQ_ROUNDS", else: 2)
            let orders = Self.number("TIDEMARK_TEST_ROCKETMQ_ORDERS", else: 400)
            try await withFolder { folder in
                let broker = try await RocketMQBroker()
                broker.createTopic(Self.topic, queues: Self.queues)
                try Data(Self.yaml(broker).utf8).write(to: folder.appendingPathComponent("tidemark.yaml"))
                let lines = try orderLines(orders * rounds, seed: generator.next(), in: folder)
                let connection = try await TestDatabase.current.connect()
                _ = try await Migrator.migrate(connection)
                let name: Comment = "seed \(generator.seed)"
                var group = RocketMQMembers(folder, broker, connection)
                var done = 0
                for round in 0..<rounds {
                    try await group.resize(to: [1, 2, 4].randomElement(using: &generator) ?? 2)
                    let end = (round + 1) * lines.count / rounds
                    while done < end {
                        let chunk = lines[done..<min(end, done + max(50, (end - done) / 5))]
                        for line in chunk {
                            broker.send(line, to: Self.topic, queue: Int32(Self.queue(of: line)))
                        }
                        done += chunk.count
                        try await group.strike(Stroke.allCases.randomElement(using: &generator) ?? .none, &generator)
                        try await group.compareOffsets()
                    }
                    try await wait("\(done) messages, \(name.rawValue)", atMost: .seconds(300)) {
                        try await counted(on: connection) >= done
                    }
                }
                try await group.compareOffsets()
                try await group.end()
                #expect(group.aheadOfRows.isEmpty, "\(name.rawValue): \(group.aheadOfRows)")
                #expect(try await counted(on: connection) == lines.count, name)
                #expect(try await counted("applied + late + duplicate", on: connection) == lines.count, name)
                let logs = try FollowedLogs(folder.appendingPathComponent("replay"), makesFolder: true)
                try logs.append(lines, to: "whole")
                #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed(), name)
                let repeated = """
                    select count(*) from (
                        select projection, key, milestone, notifier from tidemark.deliveries
                        group by 1, 2, 3, 4 having count(*) > 1
                    ) as repeated
                    """
                #expect(try await connection.number(repeated) == 0, name)
                await connection.close()
                await broker.stop()
            }
        }

        /// The processes of one group.
        private struct RocketMQMembers {
            private let folder: URL
            private let broker: RocketMQBroker
            private let connection: Connection
            private var processes: [TidemarkProcess] = []
            /// Queues whose offset in the group was ahead of what is committed.
            private(set) var aheadOfRows: [String] = []

            init(_ folder: URL, _ broker: RocketMQBroker, _ connection: Connection) {
                (self.folder, self.broker, self.connection) = (folder, broker, connection)
            }

            mutating func resize(to count: Int) async throws {
                while self.processes.count > count { try await Self.stop(self.processes.removeLast()) }
                while self.processes.count < count { self.processes.append(try RocketMQStrokeTests.run(self.folder)) }
            }

            mutating func end() async throws {
                for process in self.processes { try await Self.stop(process) }
            }

            /// Before it has begun SIGTERM ends it as it ends any program.
            private static func stop(_ process: TidemarkProcess) async throws {
                try await wait("a process that has just been started") { try process.errorSoFar().contains("running") }
                try await process.stop()
            }

            mutating func strike(_ stroke: Stroke, _ generator: inout SeededGenerator) async throws {
                let victim = Int.random(in: 0..<self.processes.count, using: &generator)
                switch stroke {
                case .none: break
                case .killed:
                    self.processes[victim].kill()
                    _ = try await self.processes[victim].result()
                    self.processes[victim] = try RocketMQStrokeTests.run(self.folder)
                case .ended:
                    try await Self.stop(self.processes[victim])
                    self.processes[victim] = try RocketMQStrokeTests.run(self.folder)
                case .paused:
                    self.processes[victim].send(SIGSTOP)
                    // The lease runs out by the database's clock; there is nothing else to wait for.
                    try await Task.sleep(for: RocketMQStrokeTests.lease + .seconds(3))
                    self.processes[victim].send(SIGCONT)
                }
            }

            mutating func compareOffsets() async throws {
                let committed = (0..<RocketMQStrokeTests.queues).map { queue in
                    self.broker.offset(of: "tidemark", RocketMQStrokeTests.topic, queue: Int32(queue)) ?? 0
                }
                let rows = try await self.connection.rows(
                    """
                    select stream.name, greatest(
                            tidemark_internal.offset_major(lease."offset"),
                            (
                                select max(tidemark_internal.offset_major(progress."offset"))
                                from tidemark_internal.progress as progress where progress.stream_id = stream.id
                            )
                        )::text
                    from tidemark_internal.leases as lease
                    join tidemark_internal.streams as stream on stream.id = lease.stream_id
                    """
                )
                let reached = Dictionary(rows.map { ($0[0], Int64($0[1]) ?? 0) }) { max($0, $1) }
                for (queue, offset) in committed.enumerated() where offset > 0 {
                    let name = "\(RocketMQStrokeTests.topic)@broker-a[\(queue)]"
                    if offset > reached[name] ?? 0 {
                        self.aheadOfRows.append("\(name): \(offset) \(reached[name] ?? 0)")
                    }
                }
            }
        }
    }
#endif
