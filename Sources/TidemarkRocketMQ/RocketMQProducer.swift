import Foundation
package import Logging
import RocketMQCodec
import Synchronization
package import TidemarkCore

/// Writes to a topic: each key in the queue that Java's producers choose for a sharding key (its hash code), queue by queue
/// in order. A message is written once its broker has answered.
package final class RocketMQProducer: Sendable {
    private let client: RemotingClient
    private let routes: RouteTable
    private let topic: String
    private let logger: Logger
    /// Where the next message without a key goes.
    private let next = Atomic<Int>(0)
    private let lastRefresh = Mutex<ContinuousClock.Instant?>(nil)

    private static let group = "tidemark"
    private static let timeout = Duration.seconds(30)
    private static let routeAge = Duration.seconds(30)
    private static let batchMessages = 64
    private static let batchBytes = 512 << 10
    /// The length of properties is two bytes, with a sign.
    private static let propertiesBytesMost = Int(Int16.max)

    /// - Throws: ``BrokerError`` for settings that cannot be used.
    package init(_ target: RocketMQTarget, logger: Logger) throws(BrokerError) {
        self.client = try RemotingClient(target.access)
        self.routes = RouteTable(self.client, target.access.nameServers, logger: logger)
        self.topic = target.topic
        self.logger = logger
    }

    deinit { Task { [client = self.client] in await client.close() } }

    /// Returns once a name server has told of the topic's queues.
    package func check() async throws { _ = try await self.queues() }

    private func queues() async throws -> [MessageQueueName] {
        let isFresh = self.lastRefresh.withLock { last in
            let isFresh = last.map { .now - $0 < Self.routeAge } ?? false
            if !isFresh { last = .now }
            return isFresh
        }
        let known = await self.routes.known(self.topic)
        let route = if isFresh, let known { known } else { try await self.routes.refresh(self.topic) }
        let queues = route.writableQueues(of: self.topic)
        guard queues.isEmpty else { return queues }
        throw BrokerError(
            .retryable,
            "topic \(self.topic) has no queue that may be written to",
            remedy: "start a master of the topic, or give the topic the permission to write"
        )
    }

    /// Writes records, in their order in each queue, and returns when brokers have stored all.
    /// - Throws: ``BrokerError``; some of them may be stored then. `CancellationError`.
    package func send(_ records: [OutgoingRecord]) async throws {
        guard !records.isEmpty else { return }
        let queues = try await self.queues()
        var byQueue: [Int: [SendRequest.Message]] = [:]
        for record in records {
            guard let message = try self.message(of: record) else { continue }
            byQueue[self.queue(of: record.key, of: queues.count), default: []].append(message)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, messages) in byQueue {
                group.addTask { for batch in Self.batches(messages) { try await self.send(batch, to: queues[index]) } }
            }
            try await group.waitForAll()
        }
    }

    /// As `SelectMessageQueueByHash` of the official client chooses it.
    static func queue(ofKey key: String, of count: Int) -> Int {
        Int((TagExpression.hash(key) % Int32(clamping: count)).magnitude)
    }

    private func queue(of key: [UInt8]?, of count: Int) -> Int {
        guard let key else { return self.next.wrappingAdd(1, ordering: .relaxed).oldValue % count }
        return Self.queue(ofKey: String(decoding: key, as: UTF8.self), of: count)
    }

    /// - Returns: `nil` for what has neither a key nor a body.
    private func message(of record: OutgoingRecord) throws(BrokerError) -> SendRequest.Message? {
        guard let value = record.value, !value.isEmpty else {
            guard record.key != nil else { return nil }
            throw BrokerError(
                .operatorNeeded,
                "topic \(self.topic): a message without a value is to be written, which RocketMQ does not take",
                remedy: "write message: tidemark, which writes a line for a delete too"
            )
        }
        var properties: [(name: String, value: String)] = []
        if let key = record.key {
            let text = String(decoding: key, as: UTF8.self)
            properties += [(MessageProperties.keys, text), (MessageProperties.shardingKey, text)]
        }
        if let tag = record.tag { properties.append((MessageProperties.tags, String(decoding: tag, as: UTF8.self))) }
        let own = [
            MessageProperties.keys, MessageProperties.shardingKey, MessageProperties.tags, MessageProperties.uniqueKey,
            MessageProperties.waitsForStore,
        ]
        for header in record.headers where !own.contains(header.name) {
            guard let text = header.value.flatMap({ String(validating: $0, as: UTF8.self) }) else { continue }
            properties.append((header.name, text))
        }
        let unique = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16, uppercase: true) }
        let padded = unique.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined()
        properties += [(MessageProperties.uniqueKey, padded), (MessageProperties.waitsForStore, "true")]
        let length = MessageProperties.text(properties).utf8.count
        guard length <= Self.propertiesBytesMost else {
            throw BrokerError(
                .operatorNeeded,
                "topic \(self.topic): a message has properties of \(length) bytes; \(Self.propertiesBytesMost) are taken",
                remedy: "write message: tidemark for messages without their headers"
            )
        }
        return SendRequest.Message(body: value, properties: properties)
    }

    /// Consecutive messages that go in one request.
    private static func batches(_ messages: [SendRequest.Message]) -> [[SendRequest.Message]] {
        var batches: [[SendRequest.Message]] = []
        var bytes = 0
        for message in messages {
            if batches.isEmpty || batches[batches.count - 1].count == Self.batchMessages
                || bytes + message.body.count > Self.batchBytes
            {
                batches.append([])
                bytes = 0
            }
            batches[batches.count - 1].append(message)
            bytes += message.body.count
        }
        return batches
    }

    private func send(_ messages: [SendRequest.Message], to queue: MessageQueueName) async throws {
        let request = SendRequest(
            producerGroup: Self.group,
            queue: queue,
            bornTimestamp: Int64(Date().timeIntervalSince1970 * 1000),
            messages: messages
        )
        // A slave takes no messages.
        guard let address = await self.routes.known(queue.topic)?.broker(queue.broker)?.master else {
            throw BrokerError(.retryable, "\(queue): its broker has no master now")
        }
        let answer: RemotingCommand
        do {
            answer = try await self.client.request(
                request.command,
                at: address,
                broker: queue.broker,
                timeout: Self.timeout
            )
        } catch let error as CancellationError {
            throw error
        } catch let error as RocketMQDataError {
            throw BrokerError(
                .operatorNeeded,
                "\(queue): \(error)",
                remedy: "have the source send shorter messages, or leave them out"
            )
        } catch {
            self.lastRefresh.withLock { $0 = nil }
            throw BrokerError(.retryable, "\(queue): \(error)")
        }
        await self.client.noteAnswer(of: address)
        guard answer.code != ResponseCode.success else { return }
        self.lastRefresh.withLock { $0 = nil }
        throw Self.error(answer, queue)
    }

    private static func error(_ answer: RemotingCommand, _ queue: MessageQueueName) -> BrokerError {
        let text = "\(queue): the broker answered code \(answer.code), \(answer.remarkText)"
        let isDenied = answer.code == ResponseCode.systemError && answer.remark?.contains("AclException") == true
        switch answer.code {
        case _ where isDenied, ResponseCode.noPermission:
            return BrokerError(
                .operatorNeeded,
                text,
                remedy: "give the access key PUB on the topic, and the topic the right to write"
            )
        case ResponseCode.topicMissing: return BrokerError(.operatorNeeded, text, remedy: "create the topic")
        case ResponseCode.messageIllegal:
            return BrokerError(.operatorNeeded, text, remedy: "raise maxMessageSize of the broker")
        default: return BrokerError(.retryable, text)
        }
    }
}
