import NIOCore
package import RocketMQCodec
import Synchronization

extension RocketMQBroker {
    // MARK: Topics and messages

    package func createTopic(_ name: String, queues: Int, on brokers: [String]? = nil) {
        self.store.state.withLock { state in
            for broker in brokers ?? self.brokers {
                let queues = [RocketMQStore.Queue](repeating: .init(), count: queues)
                state.topics[broker, default: [:]][name] = .init(
                    readable: queues.count,
                    writable: queues.count,
                    queues: queues
                )
            }
        }
    }

    package func deleteTopic(_ name: String) {
        self.store.state.withLock { state in
            for broker in self.brokers { state.topics[broker]?[name] = nil }
            state.offsets = state.offsets.filter { !$0.key.contains("@\(name)@") }
        }
    }

    /// Changes the number of a topic's queues; those that are there keep their messages.
    package func setQueues(of topic: String, to count: Int) {
        self.store.state.withLock { state in
            for broker in self.brokers {
                guard var found = state.topics[broker]?[topic] else { continue }
                while found.queues.count < count { found.queues.append(.init()) }
                (found.readable, found.writable) = (count, count)
                state.topics[broker]?[topic] = found
            }
        }
    }

    package func setPermission(of topic: String, to permission: Int) {
        self.store.state.withLock { state in
            for broker in self.brokers { state.topics[broker]?[topic]?.permission = permission }
        }
    }

    /// - Returns: its offset.
    @discardableResult
    package func send(
        _ body: String,
        to topic: String,
        queue: Int32 = 0,
        broker: String? = nil,
        tag: String? = nil,
        keys: String? = nil,
        properties: [(name: String, value: String)] = [],
        systemFlags: Int32 = 0
    ) -> Int64? {
        var all = properties
        if let keys { all.append((MessageProperties.keys, keys)) }
        if let tag { all.append((MessageProperties.tags, tag)) }
        return self.append(Array(body.utf8), to: topic, queue: queue, broker: broker, all, systemFlags)
    }

    @discardableResult
    package func append(
        _ body: [UInt8],
        to topic: String,
        queue: Int32,
        broker: String? = nil,
        _ properties: [(name: String, value: String)] = [],
        _ systemFlags: Int32 = 0
    ) -> Int64? {
        let broker = broker ?? self.brokers[0]
        let message = SendRequest.Message(body: body, properties: properties)
        let offset = self.store.append(message, topic: topic, broker: broker, queue: queue, systemFlags: systemFlags)
        self.wake(topic, broker, Int64(queue))
        return offset
    }

    /// What a queue has.
    package func messages(of topic: String, queue: Int, broker: String? = nil) -> [SendRequest.Message] {
        let found = self.store.state.withLock { $0.topics[broker ?? self.brokers[0]]?[topic]?.queues[queue] }
        return (found?.entries ?? []).flatMap { entry in
            entry.bytes.withUnsafeBytes { bytes -> [SendRequest.Message] in
                var messages = StoredMessages(bytes)
                guard let message = try? messages.next() else { return [] }
                let properties = MessageProperties.read(Array(bytes[message.properties]))
                return [.init(body: Array(bytes[message.body]), properties: properties, flag: message.flag)]
            }
        }
    }

    package func end(of topic: String, queue: Int, broker: String? = nil) -> Int64 {
        self.store.state.withLock { $0.topics[broker ?? self.brokers[0]]?[topic]?.queues[queue].end ?? 0 }
    }

    /// What a group has stored for a queue.
    package func offset(of group: String, _ topic: String, queue: Int32, broker: String? = nil) -> Int64? {
        let name = MessageQueueName(topic: topic, broker: broker ?? self.brokers[0], id: queue)
        return self.store.state.withLock { $0.offsets["\(group)@\(name)"] }
    }

    package func members(of group: String) -> [String] { self.store.members(of: group) }

    /// Who has locked a queue for a group.
    package func lockHolder(of group: String, _ topic: String, queue: Int32) -> String? {
        let name = MessageQueueName(topic: topic, broker: self.brokers[0], id: queue)
        return self.store.state.withLock { $0.locks["\(group)@\(name)"]?.client }
    }

    /// The most pulls that came in one read of a connection.
    package var mostPullsAtOnce: Int { self.store.state.withLock { $0.mostPullsAtOnce } }
    package var pulls: Int { self.store.state.withLock { $0.pulls } }

    // MARK: Failing

    /// Retention removes what is before an offset.
    package func moveLeast(of topic: String, queue: Int, to offset: Int64) {
        self.store.state.withLock { state in
            guard var found = state.topics[self.brokers[0]]?[topic]?.queues[queue] else { return }
            let count = Int(min(offset, found.end) - found.least)
            found.entries.removeFirst(max(0, count))
            found.least += Int64(max(0, count))
            state.topics[self.brokers[0]]?[topic]?.queues[queue] = found
        }
    }

    /// The broker has lost the end of its log.
    package func truncate(_ topic: String, queue: Int, to offset: Int64) {
        self.store.state.withLock { state in
            guard var found = state.topics[self.brokers[0]]?[topic]?.queues[queue] else { return }
            found.entries.removeLast(max(0, Int(found.end - offset)))
            state.topics[self.brokers[0]]?[topic]?.queues[queue] = found
        }
    }

    /// Answers the next requests of a code with an error.
    package func fail(_ request: Int32, _ code: Int32, _ remark: String, times: Int = 1) {
        self.store.state.withLock { state in
            state.faults[request, default: []] += Array(repeating: (code, remark), count: times)
        }
    }

    /// Has each answer come later.
    package func setDelay(_ delay: Duration?) { self.store.state.withLock { $0.delay = delay } }

    /// Has the brokers refuse requests without their name, as the proxy of 5.x does.
    package func setAsksForBrokerName() { self.store.state.withLock { $0.asksForBrokerName = true } }

    /// Has the brokers ask for signatures: secret keys by access keys.
    package func setCredentials(_ credentials: [String: String]) {
        self.store.state.withLock { $0.credentials = credentials }
    }

    /// Another client holds the lock of a queue now.
    package func takeLock(of group: String, _ topic: String, queue: Int32, by client: String?) {
        let name = MessageQueueName(topic: topic, broker: self.brokers[0], id: queue)
        self.store.state.withLock { state in
            state.locks["\(group)@\(name)"] = client.map { .init(client: $0, since: .now) }
        }
    }

    /// Slaves have got so far in each queue; `nil` has them get everything at once.
    package func setCopied(_ offset: Int64?) { self.store.state.withLock { $0.copied = offset } }

    /// The name server does not name a broker.
    package func hide(_ broker: String, _ isHidden: Bool = true) {
        self.hidden.withLock { hidden in
            if isHidden { hidden.insert(broker) } else { hidden.remove(broker) }
        }
    }

    package func cutConnections() async {
        for endpoint in self.endpoints {
            let connections = endpoint.state.withLock { Array($0.connections.values) }
            for connection in connections { try? await connection.close() }
        }
    }

    /// Nothing listens at its address any more; `nil` for the name server. Members and locks are gone, messages are not.
    package func halt(_ broker: String?) async {
        await Self.close(self.endpoints.first { $0.broker == broker && !$0.isSlave } ?? self.endpoints[0])
        if broker != nil { self.store.state.withLock { ($0.locks, $0.members) = ([:], [:]) } }
    }

    package func resume(_ broker: String?) async throws {
        try await self.listen(self.endpoints.first { $0.broker == broker && !$0.isSlave } ?? self.endpoints[0])
    }
}
