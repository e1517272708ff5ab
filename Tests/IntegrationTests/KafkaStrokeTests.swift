#if Kafka
    import Foundation
    import LibPQ
    import Testing
    import TidemarkStore
    import TidemarkTesting

    /// One, two and four members read sixteen partitions; they are killed, stopped for longer than their session, ended and
    /// started again meanwhile. `make prove-kafka` runs more rounds with more events.
    @Suite(.freshDatabase, .serialized, .timeLimit(.minutes(60)))
    struct KafkaStrokeTests {
        private enum Stroke: CaseIterable {
            case none, killed, paused, ended
        }

        private static func number(_ variable: String, else standard: Int) -> Int {
            ProcessInfo.processInfo.environment[variable].flatMap { Int($0) } ?? standard
        }

        private static let topic = "shop.orders"
        private static let partitions = 16
        private static let session = Duration.seconds(6)

        private static func yaml(_ mock: KafkaMock) -> String {
            Shop.projection + """

                server: { listen: none }
                service: { lease_ttl: 2s }
                lanes: 2
                sources:
                  - name: logs
                    type: kafka
                    brokers: [\(mock.brokers.map { "\"\($0)\"" }.joined(separator: ", "))]
                    topics: [\(Self.topic)]
                    group: tidemark
                    options: { session.timeout.ms: 6000, heartbeat.interval.ms: 500 }

                """
        }

        private static func run(_ folder: URL) throws -> TidemarkProcess {
            try TidemarkProcess(
                ["run", "--no-deliver"],
                environment: ["DATABASE_URL": TestDatabase.current.url],
                directory: folder
            )
        }

        /// The partition of an event: that of its entity.
        private static func partition(of line: String) -> Int {
            let id = line.firstMatch(of: /"id":\s*"?([0-9]+)/).flatMap { Int($0.1) } ?? 0
            return id % Self.partitions
        }

        @Test func strokesChangeNothing() async throws {
            var generator = SeededGenerator.forTest("kafka strokes")
            let rounds = Self.number("TIDEMARK_TEST_KAFKA_ROUNDS", else: 2)
            let orders = Self.number("TIDEMARK_TEST_KAFKA_ORDERS", else: 400)
            try await withFolder { folder in
                let mock = try await KafkaMock()
                try await mock.perform([["topic", Self.topic, "\(Self.partitions)"]])
                try Data(Self.yaml(mock).utf8).write(to: folder.appendingPathComponent("tidemark.yaml"))
                let lines = try orderLines(orders * rounds, seed: generator.next(), in: folder)
                let connection = try await TestDatabase.current.connect()
                _ = try await Migrator.migrate(connection)
                let name: Comment = "seed \(generator.seed)"
                var group = KafkaMembers(folder, mock, connection)
                var done = 0
                for round in 0..<rounds {
                    try await group.resize(to: [1, 2, 4].randomElement(using: &generator) ?? 2)
                    let end = (round + 1) * lines.count / rounds
                    while done < end {
                        let chunk = lines[done..<min(end, done + max(50, (end - done) / 5))]
                        try await mock.send(Self.topic, chunk.map { (Self.partition(of: $0), "k", $0) })
                        done += chunk.count
                        try await group.strike(Stroke.allCases.randomElement(using: &generator) ?? .none, &generator)
                        try await group.compareOffsets()
                    }
                    // The mock keeps five megabytes of a partition: what is not read by then is gone.
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
            }
        }

        /// The processes of one group.
        private struct KafkaMembers {
            private let folder: URL
            private let mock: KafkaMock
            private let connection: Connection
            private var processes: [TidemarkProcess] = []
            /// Partitions whose offset in the group was ahead of what is committed.
            private(set) var aheadOfRows: [String] = []

            init(_ folder: URL, _ mock: KafkaMock, _ connection: Connection) {
                (self.folder, self.mock, self.connection) = (folder, mock, connection)
            }

            mutating func resize(to count: Int) async throws {
                while self.processes.count > count { try await Self.stop(self.processes.removeLast()) }
                while self.processes.count < count { self.processes.append(try KafkaStrokeTests.run(self.folder)) }
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
                    self.processes[victim] = try KafkaStrokeTests.run(self.folder)
                case .ended:
                    try await Self.stop(self.processes[victim])
                    self.processes[victim] = try KafkaStrokeTests.run(self.folder)
                case .paused:
                    self.processes[victim].send(SIGSTOP)
                    // The broker counts the time of a session; there is nothing else to wait for.
                    try await Task.sleep(for: KafkaStrokeTests.session + .seconds(3))
                    self.processes[victim].send(SIGCONT)
                }
            }

            mutating func compareOffsets() async throws {
                let committed = try await self.mock.committed(
                    KafkaStrokeTests.topic,
                    partitions: KafkaStrokeTests.partitions,
                    group: "tidemark"
                )
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
                for (partition, offset) in committed.enumerated() where offset > 0 {
                    let name = "\(KafkaStrokeTests.topic)[\(partition)]"
                    if offset > reached[name] ?? 0 {
                        self.aheadOfRows.append("\(name): \(offset) \(reached[name] ?? 0)")
                    }
                }
            }
        }
    }
#endif
