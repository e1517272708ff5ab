import Foundation
import RocketMQCodec
import Synchronization

/// What the brokers of a test keep: topics, queues, offsets, members and locks. It follows what real brokers were seen to
/// answer (`docs/rocketmq.md`).
final class RocketMQStore: Sendable {
    struct Queue: Sendable {
        struct Entry: Sendable {
            var bytes: [UInt8]
            var tag: String?
            var keys: String?
            var storeTimestamp: Int64
        }

        var least: Int64 = 0
        /// From ``least`` on.
        var entries: [Entry] = []
        var end: Int64 { self.least + Int64(self.entries.count) }
    }

    struct Topic: Sendable {
        var readable: Int
        var writable: Int
        var permission = 6
        var queues: [Queue]
    }

    struct Lock: Sendable {
        var client: String
        var since: ContinuousClock.Instant
    }

    struct State: Sendable {
        /// By broker, then by name.
        var topics: [String: [String: Topic]] = [:]
        var offsets: [String: Int64] = [:]
        /// By group, then by client: the connections of each.
        var members: [String: [String: Set<ObjectIdentifier>]] = [:]
        var locks: [String: Lock] = [:]
        var physicalOffset: Int64 = 0
        var pulls = 0
        /// The most pulls that came in one read of a connection.
        var mostPullsAtOnce = 0
        /// What is answered in place of the usual, by the request's code.
        var faults: [Int32: [(code: Int32, remark: String)]] = [:]
        var delay: Duration?
        var credentials: [String: String] = [:]
        /// Requests without the broker's name are refused, as a proxy does.
        var asksForBrokerName = false
        /// What slaves have copied of each queue; everything without it.
        var copied: Int64?
    }

    let state = Mutex(State())
    /// How long a lock holds after the last call for it.
    static let lockTime = Duration.seconds(60)
    /// Of an answer, as brokers have them unless they are told otherwise (`maxTransferCountOnMessageInMemory`,
    /// `maxTransferBytesOnMessageInMemory`).
    private static let messagesMost = 32
    private static let bytesMost = 256 << 10

    // MARK: Topics and messages

    func append(_ message: SendRequest.Message, topic: String, broker: String, queue: Int32, systemFlags: Int32 = 0)
        -> Int64?
    {
        self.state.withLock { state in
            guard state.topics[broker]?[topic]?.queues.indices.contains(Int(queue)) == true,
                let end = state.topics[broker]?[topic]?.queues[Int(queue)].end
            else { return nil }
            var content = StoredMessage.Content()
            content.topic = Array(topic.utf8)
            content.queueID = queue
            content.flag = message.flag
            content.queueOffset = end
            content.physicalOffset = state.physicalOffset
            content.systemFlags = systemFlags
            content.storeTimestamp = Int64(Date().timeIntervalSince1970 * 1000)
            content.bornTimestamp = content.storeTimestamp
            content.body = message.body
            content.properties = Array(MessageProperties.text(message.properties).utf8)
            let bytes = content.bytes
            state.physicalOffset += Int64(bytes.count)
            // In place: a queue of millions is not copied.
            state.topics[broker]?[topic]?.queues[Int(queue)].entries.append(
                .init(
                    bytes: bytes,
                    tag: message.value(of: MessageProperties.tags),
                    keys: message.value(of: MessageProperties.keys),
                    storeTimestamp: content.storeTimestamp
                )
            )
            return content.queueOffset
        }
    }

    // MARK: Pulling

    /// What a pull comes to: an answer, or nothing yet.
    enum Pulled {
        case answer(RemotingCommand)
        case wait(Duration)
    }

    /// - Parameter isOver: it has waited for long enough.
    func pull(
        _ request: RemotingCommand,
        broker: String,
        isSlave: Bool,
        isOver: Bool
    ) throws(RocketMQDataError) -> Pulled {
        let (id, offset) = (Int(try request.number("queueId")), try request.number("queueOffset"))
        let (flags, topic) = (try request.number("sysFlag"), request["topic"] ?? "")
        let count = Int(try request.number("maxMsgNums"))
        guard let found = self.state.withLock({ $0.topics[broker]?[topic] }) else {
            let text = "topic[\(topic)] not exist, apply first please! "
            return .answer(Self.response(ResponseCode.topicMissing, text))
        }
        guard found.permission & 4 != 0 else {
            return .answer(Self.response(ResponseCode.noPermission, "the topic[\(topic)] pulling message is forbidden"))
        }
        guard (0..<found.readable).contains(id), found.queues.indices.contains(id) else {
            let text = "queueId[\(id)] is illegal, topic:[\(topic)] topicConfig.readQueueNums:[\(found.readable)]"
            return .answer(Self.response(ResponseCode.queueIllegal, text))
        }
        guard flags & 4 != 0 else {
            return .answer(Self.response(ResponseCode.subscriptionMissing, "the consumer's group info not exist"))
        }
        var queue = found.queues[id]
        if isSlave, let copied = self.state.withLock({ $0.copied }), copied < queue.end {
            queue.entries.removeLast(Int(queue.end - max(copied, queue.least)))
        }
        func answer(_ code: Int32, _ remark: String, next: Int64, body: [UInt8] = []) -> Pulled {
            var response = Self.response(code, remark, body: body)
            response.fields = [
                .init("suggestWhichBrokerId", "0"), .init("nextBeginOffset", "\(next)"),
                .init("minOffset", "\(queue.least)"),
                .init("maxOffset", "\(queue.end)"),
            ]
            return .answer(response)
        }
        if queue.end == 0, offset == 0 {
            return self.atEnd(request, flags, isOver) ?? answer(19, "NO_MESSAGE_IN_QUEUE", next: 0)
        }
        // A slave that is asked beyond its range says so without another position.
        if isSlave, offset < queue.least { return answer(20, "OFFSET_TOO_SMALL", next: offset) }
        if isSlave, offset > queue.end { return answer(20, "OFFSET_OVERFLOW_BADLY", next: offset) }
        if queue.end == 0 { return answer(21, "NO_MESSAGE_IN_QUEUE", next: 0) }
        if offset < queue.least { return answer(21, "OFFSET_TOO_SMALL", next: queue.least) }
        if offset > queue.end { return answer(21, "OFFSET_OVERFLOW_BADLY", next: queue.end) }
        if offset == queue.end {
            return self.atEnd(request, flags, isOver) ?? answer(19, "OFFSET_OVERFLOW_ONE", next: offset)
        }
        let filter = Filter(request)
        var (body, next, taken) = ([] as [UInt8], offset, 0)
        for entry in queue.entries[Int(offset - queue.least)...] {
            if filter.takes(entry) {
                guard taken < max(1, min(count, Self.messagesMost)), taken == 0 || body.count < Self.bytesMost else {
                    break
                }
                body += entry.bytes
                taken += 1
            }
            next += 1
        }
        return taken > 0 ? answer(0, "FOUND", next: next, body: body) : answer(20, "NO_MATCHED_MESSAGE", next: next)
    }

    private func atEnd(_ request: RemotingCommand, _ flags: Int64, _ isOver: Bool) -> Pulled? {
        guard flags & 2 != 0, !isOver, let time = try? request.number("suspendTimeoutMillis"), time > 0 else {
            return nil
        }
        return .wait(.milliseconds(time))
    }

    /// By the hashes of tags; of SQL92, conditions such as `TAGS = 'a' AND KEYS = 'b'`.
    private struct Filter {
        private var hashes: Set<Int32>?
        private var conditions: [(name: String, value: String)] = []

        init(_ request: RemotingCommand) {
            let text = request["subscription"] ?? "*"
            if request["expressionType"] == "SQL92" {
                self.conditions = text.split(separator: " AND ").compactMap { part in
                    let sides = part.split(separator: "=").map {
                        $0.trimmingCharacters(in: .whitespaces).trimmingCharacters(in: ["'"])
                    }
                    return sides.count == 2 ? (sides[0], sides[1]) : nil
                }
            } else if let tags = TagExpression(text), !tags.isAll {
                self.hashes = Set(tags.tags.map { TagExpression.hash($0) })
            }
        }

        func takes(_ entry: Queue.Entry) -> Bool {
            if let hashes { return entry.tag.map { hashes.contains(TagExpression.hash($0)) } ?? false }
            return self.conditions.allSatisfy { $0.value == ($0.name == "TAGS" ? entry.tag : entry.keys) }
        }
    }

    static func response(_ code: Int32, _ remark: String? = nil, body: [UInt8] = []) -> RemotingCommand {
        var response = RemotingCommand(code: code, body: body)
        response.flag = 1
        response.language = "JAVA"
        response.version = 479
        response.remark = remark
        return response
    }
}
