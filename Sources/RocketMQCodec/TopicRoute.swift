/// Where a topic's queues are, as a name server knows it.
package struct TopicRoute: Sendable, Equatable {
    package struct Broker: Sendable, Equatable {
        package var name: String
        package var cluster: String
        /// By the broker's number: 0 is the master, which may be missing.
        package var addresses: [Int64: String]

        package init(name: String, cluster: String, addresses: [Int64: String]) {
            (self.name, self.cluster, self.addresses) = (name, cluster, addresses)
        }

        package var master: String? { self.addresses[0] }
        /// Slaves, the least number first.
        package var slaves: [String] {
            self.addresses.filter { $0.key != 0 }.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    package struct Queues: Sendable, Equatable {
        package var broker: String
        package var readable: Int
        package var writable: Int
        package var permission: Int

        package init(broker: String, readable: Int, writable: Int, permission: Int) {
            (self.broker, self.readable, self.writable, self.permission) = (broker, readable, writable, permission)
        }

        package var mayRead: Bool { self.permission & 4 != 0 }
        package var mayWrite: Bool { self.permission & 2 != 0 }
    }

    package var brokers: [Broker]
    package var queues: [Queues]

    /// More queues than a broker has files for are a damaged answer.
    package static let queuesMost = 65_536

    package init(brokers: [Broker], queues: [Queues]) {
        (self.brokers, self.queues) = (brokers, queues)
    }

    /// - Parameter body: of an answer, with or without quotes around the brokers' numbers.
    package init(_ body: [UInt8]) throws(RocketMQDataError) {
        let root = try LenientJSON(body)
        guard case .object = root else { throw RocketMQDataError("a route is no JSON object") }
        self.brokers = []
        self.queues = []
        for broker in root["brokerDatas"]?.items ?? [] {
            guard let name = broker["brokerName"]?.text else {
                throw RocketMQDataError("a route has a broker without a name")
            }
            var addresses: [Int64: String] = [:]
            for member in broker["brokerAddrs"]?.members ?? [] {
                guard let number = Int64(member.name), let address = member.value.text else {
                    throw RocketMQDataError(
                        "a route has \(member.name.prefix(40)) where the number of a broker belongs"
                    )
                }
                addresses[number] = address
            }
            self.brokers.append(Broker(name: name, cluster: broker["cluster"]?.text ?? "", addresses: addresses))
        }
        for queue in root["queueDatas"]?.items ?? [] {
            guard let broker = queue["brokerName"]?.text, let readable = queue["readQueueNums"]?.integer,
                let writable = queue["writeQueueNums"]?.integer, let permission = queue["perm"]?.integer,
                (0...Int64(Self.queuesMost)).contains(readable), (0...Int64(Self.queuesMost)).contains(writable)
            else { throw RocketMQDataError("a route has queues without a broker, their numbers or a permission") }
            self.queues.append(
                Queues(
                    broker: broker,
                    readable: Int(readable),
                    writable: Int(writable),
                    permission: Int(clamping: permission)
                )
            )
        }
    }

    package var json: [UInt8] {
        var bytes = Array("{\"brokerDatas\":[".utf8)
        for (index, broker) in self.brokers.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += Array("{\"brokerAddrs\":{".utf8)
            for (index, address) in broker.addresses.sorted(by: { $0.key < $1.key }).enumerated() {
                bytes += Array("\(index > 0 ? "," : "")\"\(address.key)\":".utf8)
                RemotingJSON.append(address.value, to: &bytes)
            }
            bytes += Array("},\"brokerName\":".utf8)
            RemotingJSON.append(broker.name, to: &bytes)
            bytes += Array(",\"cluster\":".utf8)
            RemotingJSON.append(broker.cluster, to: &bytes)
            bytes += Array(",\"enableActingMaster\":false}".utf8)
        }
        bytes += Array("],\"filterServerTable\":{},\"queueDatas\":[".utf8)
        for (index, queue) in self.queues.enumerated() {
            bytes += Array("\(index > 0 ? "," : ""){\"brokerName\":".utf8)
            RemotingJSON.append(queue.broker, to: &bytes)
            bytes += Array(
                ",\"perm\":\(queue.permission),\"readQueueNums\":\(queue.readable),\"topicSysFlag\":0,\"writeQueueNums\":\(queue.writable)}"
                    .utf8
            )
        }
        return bytes + Array("]}".utf8)
    }

    package func broker(_ name: String) -> Broker? { self.brokers.first { $0.name == name } }

    /// The queues that may be read, in their order.
    package func readableQueues(of topic: String) -> [MessageQueueName] {
        self.queues.filter { $0.mayRead && self.broker($0.broker) != nil }.flatMap { queues in
            (0..<queues.readable).map { MessageQueueName(topic: topic, broker: queues.broker, id: Int32($0)) }
        }.sorted()
    }

    package func writableQueues(of topic: String) -> [MessageQueueName] {
        self.queues.filter { $0.mayWrite && self.broker($0.broker)?.master != nil }.flatMap { queues in
            (0..<queues.writable).map { MessageQueueName(topic: topic, broker: queues.broker, id: Int32($0)) }
        }.sorted()
    }
}

/// A queue of a topic. Its offsets are of this broker alone.
package struct MessageQueueName: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var topic: String
    package var broker: String
    package var id: Int32

    package init(topic: String, broker: String, id: Int32) {
        (self.topic, self.broker, self.id) = (topic, broker, id)
    }

    /// As `tidemark status` shows its stream.
    package var description: String { "\(self.topic)@\(self.broker)[\(self.id)]" }

    /// As official clients sort queues before they share them: by topic, broker and number.
    package static func < (left: MessageQueueName, right: MessageQueueName) -> Bool {
        if left.topic != right.topic { return left.topic.utf16.lexicographicallyPrecedes(right.topic.utf16) }
        if left.broker != right.broker { return left.broker.utf16.lexicographicallyPrecedes(right.broker.utf16) }
        return left.id < right.id
    }
}

/// Which queues a member of a group reads, as `AllocateMessageQueueAveragely` of the official clients computes it: blocks of
/// consecutive queues, the first members with one more where they do not divide evenly.
package enum QueueAllocation {
    /// - Parameters:
    ///   - queues: all of one topic, in any order.
    ///   - members: the client ids of the group, in any order; duplicates count once.
    /// - Returns: those of `member`; none where it is not in the group.
    package static func averagely(_ queues: [MessageQueueName], _ members: [String], of member: String)
        -> [MessageQueueName]
    {
        let queues = queues.sorted()
        let members = Set(members).sorted { $0.utf16.lexicographicallyPrecedes($1.utf16) }
        guard let index = members.firstIndex(of: member), !queues.isEmpty else { return [] }
        let rest = queues.count % members.count
        let hasOneMore = rest > 0 && index < rest
        let size = queues.count <= members.count ? 1 : queues.count / members.count + (hasOneMore ? 1 : 0)
        let start = hasOneMore ? index * size : index * size + rest
        let count = min(size, queues.count - start)
        return count > 0 ? Array(queues[start..<(start + count)]) : []
    }
}
