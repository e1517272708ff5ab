import Logging
import RocketMQCodec
import RocketMQMock
import Testing
import TidemarkCore
@testable import TidemarkRocketMQ
import TidemarkTesting

/// What is written to topics, by the broker's account.
@Suite(.timeLimit(.minutes(2)))
struct RocketMQProducerTests {
    private static func producer(_ broker: RocketMQBroker) throws -> RocketMQProducer {
        var target = RocketMQTarget()
        target.access.nameServers = [broker.address]
        target.topic = SourceRun.topic
        return try RocketMQProducer(target, logger: Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() })
    }

    private static func record(_ key: String?, _ value: String?, tag: String? = nil) -> OutgoingRecord {
        var record = OutgoingRecord(
            key: key.map { Array($0.utf8) },
            value: value.map { Array($0.utf8) },
            headers: [("own", Array("ü".utf8)), ("binary", [0xFF]), ("KEYS", Array("another".utf8))]
        )
        record.tag = tag.map { Array($0.utf8) }
        return record
    }

    /// `"o-1001".hashCode()` is -1024600096 in Java.
    @Test func keysAreInTheQueuesThatJavaChooses() {
        #expect(TagExpression.hash("o-1001") == "o-1001".utf16.reduce(0 as Int32) { $0 &* 31 &+ Int32($1) })
        for count in 1...16 {
            for key in ["o-1001", "7", "", "polygenelubricants", "ü😀"] {
                let queue = RocketMQProducer.queue(ofKey: key, of: count)
                #expect((0..<count).contains(queue))
                #expect(queue == Int(abs(Int64(TagExpression.hash(key)) % Int64(count))))
            }
        }
        // Its hash code is the least number, whose magnitude is no Int32.
        #expect(TagExpression.hash("polygenelubricants") == .min)
    }

    @Test func messagesOfAnEntityAreInOneQueueInTheirOrder() async throws {
        try await withBroker(queues: 4, brokers: ["broker-a", "broker-b"]) { broker in
            let producer = try Self.producer(broker)
            try await producer.check()
            for start in stride(from: 0, to: 1000, by: 250) {
                try await producer.send((start..<(start + 250)).map { Self.record("k\($0 % 17)", "\($0)", tag: "t") })
            }
            var found: [String: [Int]] = [:]
            for name in broker.brokers {
                for queue in 0..<4 {
                    for message in broker.messages(of: SourceRun.topic, queue: queue, broker: name) {
                        let key = try #require(message.value(of: "KEYS"))
                        found[key, default: []].append(try #require(Int(String(decoding: message.body, as: UTF8.self))))
                        #expect(message.value(of: "__SHARDINGKEY") == key)
                        #expect(message.value(of: "TAGS") == "t" && message.value(of: "own") == "ü")
                        #expect(message.value(of: "UNIQ_KEY")?.utf8.count == 32)
                        #expect(message.value(of: "binary") == nil)
                        #expect((queue + (name == "broker-a" ? 0 : 4)) == RocketMQProducer.queue(ofKey: key, of: 8))
                    }
                }
            }
            #expect(found.count == 17 && found.values.reduce(0) { $0 + $1.count } == 1000)
            for numbers in found.values { #expect(numbers == numbers.sorted()) }
        }
    }

    @Test func whatIsNotTakenIsTold() async throws {
        try await withBroker(queues: 1) { broker in
            let producer = try Self.producer(broker)
            let errors: [(Int32, String, BrokerError.Kind)] = [
                (2, "busy", .retryable), (16, "denied", .operatorNeeded), (17, "not exist", .operatorNeeded),
                (13, "illegal", .operatorNeeded), (11, "SLAVE_NOT_AVAILABLE", .retryable), (777, "new", .retryable),
            ]
            for (code, remark, kind) in errors {
                broker.fail(RequestCode.sendShort, code, remark)
                do {
                    try await producer.send([Self.record("a", "1")])
                    Issue.record("code \(code) is taken for a success")
                } catch let error as BrokerError {
                    #expect(error.kind == kind && error.description.contains("code \(code), \"\(remark)\""), "\(error)")
                }
            }
            await #expect(throws: BrokerError.self) { try await producer.send([Self.record("a", nil)]) }
            // Neither key nor body: nothing is lost.
            try await producer.send([Self.record(nil, nil), Self.record(nil, "x")])
            #expect(broker.end(of: SourceRun.topic, queue: 0) == 1)
        }
    }
}
