import Foundation
import RocketMQCodec
import RocketMQMock
import Testing
import TidemarkCore
@testable import TidemarkRocketMQ
import TidemarkTesting

/// Brokers and name servers that fail, and members that come and go.
@Suite(.timeLimit(.minutes(5)))
struct RocketMQOutageTests {
    private static let topic = SourceRun.topic

    private static func fill(_ broker: RocketMQBroker, _ numbers: Range<Int>, queues: Int32 = 2) {
        for number in numbers { broker.send("\(number)", to: Self.topic, queue: Int32(number) % queues) }
    }

    private static func waitForAll(_ count: Int, _ database: MemoryDatabase, _ what: Comment) async throws {
        try await database.wait(what) { $0.flatMap(\.texts).count >= count }
        #expect(Set(database.texts.compactMap { Int($0) }) == Set(0..<count), what)
        #expect(database.texts.count == count, what)
    }

    @Test func aBrokerThatIsAwayIsWaitedFor() async throws {
        try await withBroker { broker in
            let database = MemoryDatabase()
            Self.fill(broker, 0..<50)
            try await withSource(SourceRun.settings(broker), database) { run in
                try await Self.waitForAll(50, database, "the first ones")
                await broker.halt("broker-a")
                try await waitUntil("it says so", on: run.changed) { run.state.last?.hasPrefix("waiting") == true }
                Self.fill(broker, 50..<100)
                try await broker.resume("broker-a")
                try await Self.waitForAll(100, database, "what came meanwhile")
                try await waitUntil("it says so", on: run.changed) { run.state.last == "running" }
                #expect(run.failure == nil)
            }
        }
    }

    @Test("A slave is read while the master is away, up to what it has copied")
    func readsSlaves() async throws {
        let broker = try await RocketMQBroker(hasSlaves: true)
        broker.createTopic(Self.topic, queues: 2)
        let database = MemoryDatabase()
        try await withSource(SourceRun.settings(broker), database) { run in
            Self.fill(broker, 0..<20)
            try await Self.waitForAll(20, database, "from the master")
            Self.fill(broker, 20..<40)
            try await Self.waitForAll(40, database, "from the master")
            // Of each queue the slave lacks what was read last, and then one more message.
            broker.setCopied(15)
            await broker.halt("broker-a")
            try await waitUntil("it waits for the slave", on: run.changed) {
                run.state.last?.hasPrefix("waiting") == true
            }
            Self.fill(broker, 40..<60)
            broker.setCopied(25)
            try await database.wait("what the slave has") { $0.flatMap(\.texts).count == 50 }
            try await broker.resume("broker-a")
            try await Self.waitForAll(60, database, "from the master again")
            #expect(run.failure == nil)
        }
        await broker.stop()
    }

    @Test func aQueueThatIsGoneIsGivenUp() async throws {
        try await withBroker { broker in
            let database = MemoryDatabase()
            try await withSource(SourceRun.settings(broker), database) { run in
                Self.fill(broker, 0..<20)
                try await Self.waitForAll(20, database, "both queues")
                broker.setQueues(of: Self.topic, to: 1)
                try await database.wait("it is given up") { streams in
                    streams.contains { $0.name == "orders@broker-a[1]" && !$0.isHeld }
                }
                for number in 20..<30 { broker.send("\(number)", to: Self.topic) }
                try await Self.waitForAll(30, database, "the other goes on")
                broker.setQueues(of: Self.topic, to: 2)
                for number in 30..<40 { broker.send("\(number)", to: Self.topic, queue: 1) }
                try await Self.waitForAll(40, database, "it is there again")
                #expect(run.failure == nil)
            }
        }
    }

    @Test func aNameServerThatIsAwayStopsNothingThatIsKnown() async throws {
        try await withBroker { broker in
            let database = MemoryDatabase()
            try await withSource(SourceRun.settings(broker), database) { run in
                Self.fill(broker, 0..<10)
                try await Self.waitForAll(10, database, "the first ones")
                await broker.halt(nil)
                Self.fill(broker, 10..<20)
                try await Self.waitForAll(20, database, "without a name server")
                // Started again, it knows no topic for a while.
                broker.hide("broker-a")
                try await broker.resume(nil)
                Self.fill(broker, 20..<30)
                try await Self.waitForAll(30, database, "with one that knows nothing")
                #expect(run.failure == nil)
            }
        }
    }

    @Test("The next name server is asked where one is away, and each request names its broker")
    func asksAllNameServers() async throws {
        try await withBroker { broker in
            broker.setAsksForBrokerName()
            let database = MemoryDatabase()
            let settings = SourceRun.settings(broker) {
                $0.access.nameServers = ["127.0.0.1:1", broker.address, "no.such.host.invalid:9876"]
                $0.isOrdered = true
            }
            try await withSource(settings, database) { run in
                Self.fill(broker, 0..<20)
                try await Self.waitForAll(20, database, "by the second name server")
                #expect(run.failure == nil)
            }
            #expect(broker.members(of: "tidemark").isEmpty)
            #expect(broker.lockHolder(of: "tidemark", Self.topic, queue: 0) == nil)
            #expect(broker.offset(of: "tidemark", Self.topic, queue: 0) == 10)
        }
    }

    @Test func aTopicThatIsMadeLaterIsWaitedFor() async throws {
        let broker = try await RocketMQBroker()
        let database = MemoryDatabase()
        try await withSource(SourceRun.settings(broker), database) { run in
            try await waitUntil("it says so", on: run.changed) {
                run.state.last?.contains("route of topic orders") == true
            }
            broker.createTopic(Self.topic, queues: 2)
            Self.fill(broker, 0..<10)
            try await Self.waitForAll(10, database, "it is read")
        }
        await broker.stop()
    }

    @Test func cutConnectionsAndErrorsLoseNothing() async throws {
        try await withBroker { broker in
            let database = MemoryDatabase()
            try await withSource(SourceRun.settings(broker), database) { run in
                for round in 0..<10 {
                    Self.fill(broker, (round * 20)..<(round * 20 + 20))
                    switch round % 5 {
                    case 0: await broker.cutConnections()
                    case 1: broker.fail(RequestCode.pull, 2, "[TIMEOUT_CLEAN_QUEUE]broker busy", times: 3)
                    case 2: broker.fail(RequestCode.pull, 777, "what is that", times: 2)
                    case 3: broker.fail(RequestCode.pull, 25, "the consumer's subscription not latest", times: 2)
                    default: broker.setDelay(.milliseconds(30))
                    }
                    try await Self.waitForAll(round * 20 + 20, database, "round \(round)")
                    broker.setDelay(nil)
                }
                #expect(run.failure == nil)
            }
        }
    }

    @Test func aMissingRightIsToldAndNotRetriedInside() async throws {
        try await withBroker { broker in
            broker.setPermission(of: Self.topic, to: 2)
            broker.fail(RequestCode.pull, 16, "the topic[orders] pulling message is forbidden", times: 1)
            broker.setPermission(of: Self.topic, to: 6)
            try await withSource(SourceRun.settings(broker)) { run in
                try await waitUntil("it is told", on: run.changed) { run.failure != nil }
                #expect(run.failure?.hasPrefix("operatorNeeded") == true)
                #expect(run.failure?.contains("code 16") == true && run.failure?.contains("forbidden") == true)
            }
        }
    }

    @Test func requestsAreSigned() async throws {
        try await withBroker { broker in
            broker.setCredentials(["reader": "a secret"])
            Self.fill(broker, 0..<10)
            let database = MemoryDatabase()
            let settings = SourceRun.settings(broker) {
                $0.access.credentials = .init(accessKey: "reader", secretKey: "a secret")
            }
            try await withSource(settings, database) { _ in try await Self.waitForAll(10, database, "it is read") }
            let wrong = SourceRun.settings(broker) {
                $0.access.credentials = .init(accessKey: "reader", secretKey: "another")
            }
            try await withSource(wrong, database) { run in
                try await waitUntil("it is refused", on: run.changed) {
                    run.state.last?.hasPrefix("waiting") == true || run.failure != nil
                }
            }
        }
    }

    @Test func connectionsAreEncryptedAndVerified() async throws {
        let broker = try await RocketMQBroker(
            identity: (TestCertificates.server, TestCertificates.serverKey)
        )
        broker.createTopic(Self.topic, queues: 2)
        Self.fill(broker, 0..<10)
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (authority, other) = (folder.appendingPathComponent("ca.pem"), folder.appendingPathComponent("other.pem"))
        try Data(TestCertificates.authority.utf8).write(to: authority)
        try Data(TestCertificates.otherAuthority.utf8).write(to: other)
        func settings(_ change: (inout RocketMQAccess.TLS) -> Void) -> RocketMQSourceSettings {
            var tls = RocketMQAccess.TLS()
            change(&tls)
            return SourceRun.settings(broker) { $0.access.tls = tls }
        }
        for trusting in [settings { $0.authorities = authority.path }, settings { $0.verifies = false }] {
            let database = MemoryDatabase()
            try await withSource(trusting, database) { _ in try await Self.waitForAll(10, database, "it is read") }
        }
        let distrusting = [
            (settings { $0.authorities = other.path }, "correct tls: { ca_file: …"),
            (SourceRun.settings(broker), "write tls: true"),
        ]
        for (distrusting, wayOut) in distrusting {
            try await withSource(distrusting) { run in
                try await waitUntil("it is not trusted", on: run.changed) {
                    run.state.last?.contains(wayOut) == true
                }
            }
        }
        try await withSource(settings { $0.authorities = "/no/such.pem" }) { run in
            try await waitUntil("the file is named", on: run.changed) { run.failure?.contains("/no/such.pem") == true }
        }
        await broker.stop()
    }

    // MARK: The group

    @Test func membersShareTheQueuesAndTakeOverWhatOthersLeave() async throws {
        try await withBroker(queues: 4) { broker in
            let database = MemoryDatabase()
            let settings = SourceRun.settings(broker)
            try await withSource(settings, database) { _ in
                Self.fill(broker, 0..<40, queues: 4)
                try await Self.waitForAll(40, database, "by one")
                try await withSource(settings, database) { _ in
                    try await waitUntil("both are members", on: Wakeup()) { broker.members(of: "tidemark").count == 2 }
                    Self.fill(broker, 40..<400, queues: 4)
                    try await Self.waitForAll(400, database, "by two")
                }
                #expect(broker.members(of: "tidemark").count == 1)
                Self.fill(broker, 400..<440, queues: 4)
                try await Self.waitForAll(440, database, "by one again")
            }
            #expect(broker.members(of: "tidemark").isEmpty)
            #expect(database.streams.count == 4)
            for queue in 0..<4 {
                let name = "orders@broker-a[\(queue)]"
                #expect(database[name]?.texts == (0..<440).filter { $0 % 4 == queue }.map { "\($0)" })
                #expect(broker.offset(of: "tidemark", Self.topic, queue: Int32(queue)) == 110)
            }
        }
    }

    @Test func anOrderedGroupLocksItsQueuesAndGivesThemBack() async throws {
        try await withBroker(queues: 2) { broker in
            let database = MemoryDatabase()
            let settings = SourceRun.settings(broker) { $0.isOrdered = true }
            broker.takeLock(of: "tidemark", Self.topic, queue: 1, by: "another")
            try await withSource(settings, database) { _ in
                Self.fill(broker, 0..<10)
                try await database.wait("the queue that is free") { $0.flatMap(\.texts).count >= 5 }
                #expect(database["orders@broker-a[1]"] == nil)
                broker.takeLock(of: "tidemark", Self.topic, queue: 1, by: nil)
                try await Self.waitForAll(10, database, "both")
                // Lost: it is not read until it is locked again.
                broker.takeLock(of: "tidemark", Self.topic, queue: 0, by: "another")
                try await database.wait("it is given up") { streams in
                    streams.contains { $0.name == "orders@broker-a[0]" && !$0.isHeld }
                }
                Self.fill(broker, 10..<12)
                try await database.wait("the other goes on") { $0.flatMap(\.texts).contains("11") }
                #expect(!database.texts.contains("10"))
                broker.takeLock(of: "tidemark", Self.topic, queue: 0, by: nil)
                try await Self.waitForAll(12, database, "both again")
            }
        }
    }
}
