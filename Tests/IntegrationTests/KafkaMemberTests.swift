#if Kafka
    import Foundation
    import LibPQ
    import Testing
    import TidemarkTesting

    /// How a member of a group leaves that was given no partition yet.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct KafkaMemberTests {
        private static let topic = "shop.orders"

        private static func topic(_ mock: KafkaMock) async throws {
            try await mock.perform([["topic", Self.topic, "4"]])
        }

        /// A member that is told to stop while it joins leaves in order.
        @Test func aMemberThatStopsWhileItJoinsLeaves() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, _ in
                try await place.succeed("migrate")
                for _ in 0..<6 {
                    let service = try place.startService()
                    try await wait("it has begun") { try service.errorSoFar().contains("projection orders: running") }
                    try await service.stop()
                }
            }
        }

        /// As where others of the group come and go: each SyncGroup (14) is answered with UNKNOWN_MEMBER_ID (25).
        @Test func aMemberWhoseNameIsTakenBackBeforeItsFirstAssignmentLeaves() async throws {
            let mock = try await KafkaMock()
            try await Self.topic(mock)
            try await withWorkplace(kafkaConfiguration(mock.brokers, topic: Self.topic)) { place, _ in
                try await place.succeed("migrate")
                try await mock.perform([["fail", "14", "25", "10000"]])
                for _ in 0..<3 {
                    let service = try place.startService()
                    try await wait("it joins") { try service.errorSoFar().contains("source events: waiting") }
                    try await service.stop()
                }
            }
        }

        /// Threads and sockets of a client would stay for as long as the process runs.
        @Test func aMemberThatLeavesWithoutAnAssignmentLeavesNothingBehind() async throws {
            let yaml = kafkaConfiguration(["127.0.0.1:1"], topic: "shop.orders")
            try await withWorkplace(yaml) { place, connection in
                // A client is there before the schema would be, and the commands below need the schema.
                try await place.succeed("migrate")
                let service = try TidemarkProcess(
                    ["run", "--no-deliver", "--log-format", "text"],
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                defer { service.kill() }
                let tasks = "/proc/\(service.identifier)/task"
                func threads() -> Int {
                    let ids = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
                    return ids.count {
                        (try? String(contentsOfFile: "\(tasks)/\($0)/comm", encoding: .utf8))?.hasPrefix("rdk:") == true
                    }
                }
                let isPaused =
                    "select count(*)::text from tidemark.checks where name = 'projection orders' and status = 'paused'"
                try await wait("a client") { threads() > 0 }
                for _ in 0..<4 {
                    try await place.succeed("pause", "orders")
                    try await connection.until(isPaused, is: "1")
                    try await place.succeed("resume", "orders")
                    try await connection.until(isPaused, is: "0")
                }
                // One client has a thread of its own, and one for each broker.
                try await wait("the clients before are gone", atMost: .seconds(30)) { (1...4).contains(threads()) }
                service.send(SIGTERM)
                #expect(try await service.result().status == 0)
            }
        }
    }
#endif
