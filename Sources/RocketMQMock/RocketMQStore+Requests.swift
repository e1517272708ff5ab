import RocketMQCodec
import Synchronization

extension RocketMQStore {
    /// Who asks: a connection to one of the brokers.
    struct Caller {
        var broker: String
        var connection: ObjectIdentifier
    }

    /// Answers whatever is no pull and no route.
    /// - Parameter changed: gets the groups whose members have changed.
    func answer(
        _ request: RemotingCommand,
        _ caller: Caller,
        changed: (_ group: String) -> Void
    ) throws(RocketMQDataError) -> RemotingCommand {
        switch request.code {
        case RequestCode.maxOffset, RequestCode.minOffset:
            let queue = try self.queue(request, caller.broker)
            let offset = request.code == RequestCode.maxOffset ? queue?.end : queue?.least
            return Self.offset(offset ?? 0)
        case RequestCode.offsetByTime:
            let (queue, time) = (try self.queue(request, caller.broker), try request.number("timestamp"))
            let index = queue?.entries.firstIndex { $0.storeTimestamp >= time }
            return Self.offset(queue.map { queue in index.map { queue.least + Int64($0) } ?? queue.end } ?? 0)
        case RequestCode.readOffset:
            let key = try Self.offsetKey(request, caller.broker)
            guard let offset = self.state.withLock({ $0.offsets[key] }) else {
                return Self.response(
                    ResponseCode.notFound,
                    "Not found, do not set to zero, maybe this group boot first"
                )
            }
            return Self.offset(offset)
        case RequestCode.storeOffset:
            let (key, offset) = (try Self.offsetKey(request, caller.broker), try request.number("commitOffset"))
            self.state.withLock { $0.offsets[key] = max(0, offset) }
            return Self.response(0)
        case RequestCode.heartbeat: return try self.heartbeat(request, caller, changed)
        case RequestCode.leave:
            let (group, client) = (request["consumerGroup"] ?? "", request["clientID"] ?? "")
            self.state.withLock { $0.members[group]?[client] = nil }
            changed(group)
            return Self.response(0)
        case RequestCode.members:
            let members = self.members(of: request["consumerGroup"] ?? "")
            guard !members.isEmpty else { return Self.response(1, "no consumer for this group") }
            return Self.response(0, body: Self.memberList(members))
        case RequestCode.lock, RequestCode.unlock: return try self.lock(request)
        case RequestCode.checkSubscription:
            let text = try LenientJSON(request.body)["subscriptionData"]?["subString"]?.text ?? ""
            return text.contains("=") ? Self.response(0) : Self.response(23, "parse the consumer's subscription failed")
        case RequestCode.sendShort, RequestCode.send, RequestCode.sendBatch:
            return try self.send(request, caller.broker)
        default: return Self.response(ResponseCode.unsupported, " request type \(request.code) not supported")
        }
    }

    private static func offset(_ offset: Int64) -> RemotingCommand {
        var response = Self.response(0)
        response.fields = [.init("offset", "\(offset)")]
        return response
    }

    private func queue(_ request: RemotingCommand, _ broker: String) throws(RocketMQDataError) -> Queue? {
        let id = Int(try request.number("queueId"))
        let topic = self.state.withLock { $0.topics[broker]?[request["topic"] ?? ""] }
        return topic.flatMap { $0.queues.indices.contains(id) ? $0.queues[id] : nil }
    }

    private static func offsetKey(_ request: RemotingCommand, _ broker: String) throws(RocketMQDataError) -> String {
        let queue = MessageQueueName(
            topic: request["topic"] ?? "",
            broker: broker,
            id: Int32(clamping: try request.number("queueId"))
        )
        return "\(request["consumerGroup"] ?? "")@\(queue)"
    }

    // MARK: Groups

    func members(of group: String) -> [String] { self.state.withLock { $0.members[group]?.keys.sorted() ?? [] } }

    private static func memberList(_ members: [String]) -> [UInt8] {
        var bytes = Array("{\"consumerIdList\":[".utf8)
        for (index, member) in members.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            RemotingJSON.append(member, to: &bytes)
        }
        return bytes + Array("]}".utf8)
    }

    private func heartbeat(
        _ request: RemotingCommand,
        _ caller: Caller,
        _ changed: (_ group: String) -> Void
    ) throws(RocketMQDataError) -> RemotingCommand {
        let body = try LenientJSON(request.body)
        let client = body["clientID"]?.text ?? ""
        for consumer in body["consumerDataSet"]?.items ?? [] {
            let group = consumer["groupName"]?.text ?? ""
            let isNew = self.state.withLock { state in
                defer { state.members[group, default: [:]][client, default: []].insert(caller.connection) }
                return state.members[group]?[client] == nil
            }
            if isNew { changed(group) }
        }
        var response = Self.response(0)
        response.fields = [.init("IS_SUPPORT_HEART_BEAT_V2", "true"), .init("IS_SUB_CHANGE", "true")]
        return response
    }

    /// - Returns: the groups that have lost members.
    func forget(_ connection: ObjectIdentifier) -> [String] {
        self.state.withLock { state in
            var groups: [String] = []
            for (group, clients) in state.members {
                for (client, connections) in clients where connections.contains(connection) {
                    state.members[group]?[client]?.remove(connection)
                    guard state.members[group]?[client]?.isEmpty == true else { continue }
                    state.members[group]?[client] = nil
                    groups.append(group)
                }
            }
            return groups
        }
    }

    private func lock(_ request: RemotingCommand) throws(RocketMQDataError) -> RemotingCommand {
        let body = try LenientJSON(request.body)
        let (group, client) = (body["consumerGroup"]?.text ?? "", body["clientId"]?.text ?? "")
        let queues = try GroupBodies.queues("mqSet", in: request.body)
        let held = self.state.withLock { state in
            queues.filter { queue in
                let key = "\(group)@\(queue)"
                let other = state.locks[key].flatMap { lock in
                    lock.client != client && lock.since + Self.lockTime > .now ? lock : nil
                }
                guard other == nil else { return false }
                state.locks[key] = request.code == RequestCode.lock ? Lock(client: client, since: .now) : nil
                return true
            }
        }
        return Self.response(0, body: request.code == RequestCode.lock ? GroupBodies.locked(held) : [])
    }

    // MARK: Sending

    private func send(_ request: RemotingCommand, _ broker: String) throws(RocketMQDataError) -> RemotingCommand {
        let isLong = request.code == RequestCode.send
        func field(_ short: String, _ long: String) -> String? { request[isLong ? long : short] }
        let topic = field("b", "topic") ?? ""
        let messages: [SendRequest.Message]
        if request.code == RequestCode.sendBatch || field("m", "batch") == "true" {
            messages = try SendRequest.messages(inBatch: request.body)
        } else {
            let properties = MessageProperties.read(Array((field("i", "properties") ?? "").utf8))
            messages = [.init(body: request.body, properties: properties)]
        }
        guard let queue = field("e", "queueId").flatMap({ Int32($0) }), !messages.isEmpty,
            !messages.contains(where: \.body.isEmpty)
        else { return Self.response(13, "the message is illegal, maybe msg body or properties length not matched") }
        var first: Int64?
        for message in messages {
            guard let offset = self.append(message, topic: topic, broker: broker, queue: queue) else {
                return Self.response(ResponseCode.topicMissing, "topic[\(topic)] not exist, apply first please! ")
            }
            first = first ?? offset
        }
        var response = Self.response(0)
        response.fields = [
            .init("queueId", "\(queue)"), .init("queueOffset", "\(first ?? 0)"),
            .init("msgId", "7F0000010000000000000000"),
        ]
        return response
    }
}
