import RocketMQCodec
import RocketMQMock
import Testing
import TidemarkCore
@testable import TidemarkRocketMQ
import TidemarkTesting

/// The source over brokers in this process, read into memory.
@Suite(.timeLimit(.minutes(5)))
struct RocketMQSourceTests {
    private static let topic = SourceRun.topic

    private static func name(_ queue: Int, broker: String = "broker-a") -> String { "orders@\(broker)[\(queue)]" }

    private static func fill(_ broker: RocketMQBroker, _ texts: [String], queue: Int32 = 0, tag: String? = nil) {
        for text in texts { broker.send(text, to: Self.topic, queue: queue, tag: tag) }
    }

    @Test func readsAllQueuesOfAllBrokersAndGoesOnBehindThem() async throws {
        try await withBroker(brokers: ["broker-a", "broker-b"]) { broker in
            let database = MemoryDatabase()
            let texts = (0..<100).map { "m\($0)" }
            for (index, text) in texts.enumerated() {
                broker.send(
                    text,
                    to: Self.topic,
                    queue: Int32(index % 2),
                    broker: index % 4 < 2 ? "broker-a" : "broker-b"
                )
            }
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("all is read") { $0.flatMap(\.texts).count >= 100 }
            }
            #expect(database.streams.count == 4)
            Self.fill(broker, ["later"])
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("what came later") { $0.flatMap(\.texts).contains("later") }
            }
            #expect(Set(database.texts) == Set(texts + ["later"]) && database.texts.count == 101)
            #expect(database[Self.name(0)]?.texts.first == "m0")
            #expect(database[Self.name(0)]?.head == 26)
        }
    }

    /// Far behind the end several requests are sent at once. Answers that hold fewer messages than foreseen, for they are
    /// large, take nothing away and bring nothing twice.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func aBacklogIsReadInOrderWhateverTheSizesOfItsMessages(_ seed: UInt64) async throws {
        try await withBroker(queues: 1) { broker in
            var random = SeededGenerator(seed: seed)
            let texts = (0..<4000).map { number in
                // Small ones in a row, and now and then some of which an answer of 256 KiB holds a few.
                let isLarge = number % 1000 > 900 && Int.random(in: 0..<4, using: &random) == 0
                return
                    "\(number) \(String(repeating: "x", count: isLarge ? Int.random(in: 1...60_000, using: &random) : 10))"
            }
            Self.fill(broker, texts)
            let database = MemoryDatabase()
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("all is read") { $0.flatMap(\.texts).count >= texts.count }
            }
            #expect(database[Self.name(0)]?.texts == texts, "seed \(seed)")
            #expect(broker.mostPullsAtOnce > 4)
        }
    }

    @Test func aWaitingPullIsAnsweredByTheNextMessage() async throws {
        try await withBroker { broker in
            var settings = SourceRun.settings(broker)
            // Longer than the test waits for a message.
            settings.timing.suspend = .seconds(120)
            let database = MemoryDatabase()
            try await withSource(settings, database) { _ in
                Self.fill(broker, ["a"])
                try await database.wait("the first") { $0.flatMap(\.texts) == ["a"] }
                for number in 0..<20 {
                    Self.fill(broker, ["n\(number)"])
                    try await database.wait("the next") { $0.flatMap(\.texts).count == number + 2 }
                }
            }
        }
    }

    /// A frame of LZ4 whose content is a letter many times.
    private static func frame(of letter: Character, count: Int) -> [UInt8] {
        let (whole, rest) = (count - 1 - 19).quotientAndRemainder(dividingBy: 255)
        let lengths = [UInt8](repeating: 255, count: whole) + [UInt8(rest)]
        let block = [0x1F] + Array(String(letter).utf8) + [1, 0] + lengths
        let size = (0..<4).map { UInt8(truncatingIfNeeded: block.count >> (8 * $0)) }
        return [0x04, 0x22, 0x4D, 0x18, 0x60, 0x70, 0x73] + size + block + [0, 0, 0, 0]
    }

    /// A block is bounded by what its messages decompress to; one that ends within an answer is gone on from.
    @Test func messagesThatDecompressToMuchComeInSeveralBlocks() async throws {
        try await withBroker(queues: 1) { broker in
            var settings = SourceRun.settings(broker)
            settings.messageBytesMax = 1 << 20
            let database = MemoryDatabase()
            let texts = "abcdefgh".map { String(repeating: $0, count: 200_000) }
            for letter in "abcdefgh" {
                broker.append(Self.frame(of: letter, count: 200_000), to: Self.topic, queue: 0, [], 0x101)
            }
            try await withSource(settings, database) { _ in
                try await database.wait("all is read") { $0.flatMap(\.texts).count == 8 }
            }
            #expect(database.texts == texts)
            let blocks = try #require(database[Self.name(0)]).blocks
            #expect(blocks.map(\.messages) == [2, 2, 2, 2])
            database.update(0) { $0.level = blocks[0].end }
            Self.fill(broker, ["later"])
            try await withSource(settings, database) { run in
                try await database.wait("what is behind the first block") { $0.flatMap(\.texts).last == "later" }
                #expect(run.failure == nil)
            }
            #expect(database.texts == texts + texts[2...] + ["later"])
        }
    }

    @Test("The broker compares hashes of tags; others with the same hash are dropped, and the level follows")
    func comparesTags() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            for (text, tag) in [("1", "Aa"), ("2", "BB"), ("3", "c"), ("4", nil), ("5", "Aa"), ("6", "BB"), ("7", "x")]
            {
                broker.send(text, to: Self.topic, tag: tag)
            }
            let settings = SourceRun.settings(broker) { $0.tags = "Aa || c" }
            try await withSource(settings, database) { _ in
                try await database.wait("all is passed") { $0.first?.level.offset.major == 7 }
            }
            #expect(database.texts == ["1", "3", "5"])
            // All of them filtered away: the broker answers with a position alone.
            for _ in 0..<200 { broker.send("no", to: Self.topic, tag: "no") }
            try await withSource(settings, database) { _ in
                try await database.wait("all is passed") { $0.first?.level.offset.major == 207 }
            }
            #expect(database.texts == ["1", "3", "5"])
        }
    }

    @Test func filtersBySQLWhereTheBrokerTakesIt() async throws {
        try await withBroker(queues: 1) { broker in
            broker.send("1", to: Self.topic, tag: "paid", keys: "a")
            broker.send("2", to: Self.topic, tag: "paid", keys: "b")
            let database = MemoryDatabase()
            let settings = SourceRun.settings(broker) { $0.expression = "TAGS = 'paid' AND KEYS = 'b'" }
            try await withSource(settings, database) { _ in
                try await database.wait("all is passed") { $0.first?.level.offset.major == 2 }
            }
            #expect(database.texts == ["2"])
            // A real broker sends everything where the condition cannot be read: it is asked first.
            try await withSource(SourceRun.settings(broker) { $0.expression = "TAGS >" }) { run in
                try await waitUntil("it is refused", on: run.changed) { run.failure != nil }
                #expect(run.failure?.contains("operatorNeeded") == true && run.failure?.contains("code 23") == true)
            }
        }
    }

    @Test func propertiesAreHeaders() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            broker.send(
                "1",
                to: Self.topic,
                tag: "paid",
                keys: "k1 k2",
                properties: [("__SHARDINGKEY", "s"), ("own", "ü"), ("TRACE_ON", "true")]
            )
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("it is read") { $0.flatMap(\.texts).count == 1 }
            }
            #expect(
                database.streams[0].headers == [["TAGS": "paid", "KEYS": "k1 k2", "__SHARDINGKEY": "s", "own": "ü"]]
            )
        }
    }

    @Test("A message that cannot be read says why, and the queue goes on")
    func stepsOverDamage() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            broker.send("good", to: Self.topic)
            broker.send("batch", to: Self.topic, systemFlags: 0x80)
            broker.send("no zlib", to: Self.topic, systemFlags: 1)
            broker.send("half", to: Self.topic, systemFlags: 4)
            broker.send("gone", to: Self.topic, systemFlags: 12)
            broker.send("committed", to: Self.topic, systemFlags: 8)
            broker.append([UInt8](repeating: 97, count: 1 << 17), to: Self.topic, queue: 0)
            broker.send("last", to: Self.topic)
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("all is read") { $0.first?.level.offset.major == 8 }
            }
            let stream = try #require(database.streams.first)
            #expect(stream.texts.count == 6 && stream.texts.first == "good" && stream.texts.last == "last")
            #expect(stream.texts[3] == "committed" && stream.texts[4].utf8.count == 1 << 16)
            #expect(stream.defects.count == 2)
            #expect(stream.defects.first?.contains("INNER_BATCH_FLAG") == true)
            #expect(stream.defects.last?.contains("zlib") == true)
        }
    }

    // MARK: Where it begins

    @Test func beginsAtTheEndAndStaysThere() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            Self.fill(broker, ["old 1", "old 2"])
            let settings = SourceRun.settings(broker) { $0.start = .latest }
            try await withSource(settings, database) { _ in
                try await database.wait("the end is stored") { $0.first?.level.offset.major == 2 }
            }
            Self.fill(broker, ["new 1"])
            try await withSource(settings, database) { _ in
                try await database.wait("what came meanwhile") { $0.first?.level.offset.major == 3 }
            }
            #expect(database.texts == ["new 1"])
            try await withSource(SourceRun.settings(broker) { $0.start = .fail }) { run in
                try await waitUntil("it begins nothing", on: run.changed) {
                    run.failure?.contains("start: fail") == true
                }
            }
        }
    }

    @Test func aQueueThatIsAddedIsReadFromItsBeginning() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            let settings = SourceRun.settings(broker) { $0.start = .latest }
            Self.fill(broker, ["old"])
            try await withSource(settings, database) { _ in
                try await database.wait("the end is stored") { $0.first?.level.offset.major == 1 }
            }
            broker.setQueues(of: Self.topic, to: 3)
            Self.fill(broker, ["new"], queue: 2)
            try await withSource(settings, database) { _ in
                try await database.wait("the added queue") { $0.flatMap(\.texts) == ["new"] }
            }
        }
    }

    // MARK: Lost history

    private static func expectLoss(
        _ text: String,
        _ lose: (RocketMQBroker) -> Void,
        whileRunning: Bool = false
    ) async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            Self.fill(broker, ["1", "2", "3"])
            var settings = SourceRun.settings(broker)
            try await withSource(settings, database) { run in
                try await database.wait("all is read") { $0.flatMap(\.texts).count == 3 }
                if whileRunning {
                    lose(broker)
                    try await waitUntil("it stops", on: run.changed) { run.failure != nil }
                    #expect(run.failure?.contains(text) == true, "\(run.failure ?? "")")
                }
            }
            if !whileRunning {
                lose(broker)
                try await withSource(settings, database) { run in
                    try await waitUntil("it stops", on: run.changed) { run.failure != nil }
                    #expect(run.failure?.hasPrefix("lostHistory") == true, "\(run.failure ?? "")")
                    #expect(run.failure?.contains(text) == true, "\(run.failure ?? "")")
                }
            }
            #expect(database.texts == ["1", "2", "3"])
            let end = broker.end(of: Self.topic, queue: 0)
            settings.rocketmq.lostHistory = .earliest
            try await withSource(settings, database) { _ in
                try await database.wait("it is read anew") { $0.count == 2 && $0[1].level.offset.major == UInt64(end) }
            }
            #expect(database.streams[1].incarnation == "queue 2")
        }
    }

    @Test func aTopicMadeAnewWithAsManyMessagesIsNoticed() async throws {
        try await Self.expectLoss("another message stands at offset 2") { broker in
            broker.deleteTopic(Self.topic)
            broker.createTopic(Self.topic, queues: 1)
            Self.fill(broker, ["1", "2", "3", "4"])
        }
    }

    @Test func aTopicMadeAnewWithFewerMessagesIsNoticed() async throws {
        try await Self.expectLoss("the queue ends at offset 1") { broker in
            broker.deleteTopic(Self.topic)
            broker.createTopic(Self.topic, queues: 1)
            Self.fill(broker, ["x"])
        }
    }

    @Test func aTopicMadeAnewWhileItIsReadIsNoticed() async throws {
        try await Self.expectLoss(
            "lostHistory",
            { broker in
                broker.deleteTopic(Self.topic)
                broker.createTopic(Self.topic, queues: 1)
                Self.fill(broker, ["a", "b"])
            },
            whileRunning: true
        )
    }

    @Test func messagesThatRetentionTookUnreadAreNoticed() async throws {
        try await Self.expectLoss("offsets 3 to 4 are gone") { broker in
            Self.fill(broker, ["4", "5", "6"])
            broker.moveLeast(of: Self.topic, queue: 0, to: 5)
        }
    }

    @Test func aBrokerThatLostItsEndIsNoticed() async throws {
        try await Self.expectLoss("the queue ends at offset 2") { $0.truncate(Self.topic, queue: 0, to: 2) }
    }

    @Test func messagesThatRetentionTookReadAreNoLoss() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            Self.fill(broker, ["1", "2", "3"])
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("all is read") { $0.flatMap(\.texts).count == 3 }
            }
            broker.moveLeast(of: Self.topic, queue: 0, to: 3)
            Self.fill(broker, ["4"])
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("it goes on") { $0.flatMap(\.texts) == ["1", "2", "3", "4"] }
            }
            // A queue of which nothing was read begins wherever it does.
            let other = MemoryDatabase()
            try await withSource(SourceRun.settings(broker), other) { _ in
                try await other.wait("it begins behind what is gone") { $0.flatMap(\.texts) == ["4"] }
            }
        }
    }

    @Test func anOperatorMovesAQueue() async throws {
        try await withBroker(queues: 1) { broker in
            let database = MemoryDatabase()
            Self.fill(broker, ["1", "2", "3"])
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("all is read") { $0.flatMap(\.texts).count == 3 }
            }
            database.seek(Self.name(0), to: 1)
            try await withSource(SourceRun.settings(broker), database) { _ in
                try await database.wait("from there") { $0.flatMap(\.texts) == ["1", "2", "3", "2", "3"] }
            }
        }
    }
}
