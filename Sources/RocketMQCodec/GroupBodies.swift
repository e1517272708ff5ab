/// Bodies of requests about a group.
package enum GroupBodies {
    /// A topic that a member has subscribed to.
    package struct Subscription: Sendable, Equatable {
        package var topic: String
        package var expression: String
        /// `TAG` or `SQL92`.
        package var type: String
        package var tags: [String]
        /// Milliseconds since 1970 when it was made; a larger one replaces that of all members.
        package var version: Int64

        package init(topic: String, expression: String, type: String, tags: [String], version: Int64) {
            (self.topic, self.expression, self.type) = (topic, expression, type)
            (self.tags, self.version) = (tags, version)
        }

        fileprivate func append(to bytes: inout [UInt8]) {
            bytes += Array("{\"classFilterMode\":false,\"topic\":".utf8)
            RemotingJSON.append(self.topic, to: &bytes)
            bytes += Array(",\"subString\":".utf8)
            RemotingJSON.append(self.expression, to: &bytes)
            bytes += Array(",\"tagsSet\":[".utf8)
            for (index, tag) in self.tags.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                RemotingJSON.append(tag, to: &bytes)
            }
            let codes = self.tags.map { "\(TagExpression.hash($0))" }.joined(separator: ",")
            bytes += Array("],\"codeSet\":[\(codes)],\"subVersion\":\(self.version),\"expressionType\":".utf8)
            RemotingJSON.append(self.type, to: &bytes)
            bytes.append(UInt8(ascii: "}"))
        }
    }

    package static func heartbeat(client: String, group: String, _ subscriptions: [Subscription]) -> [UInt8] {
        var bytes = Array("{\"clientID\":".utf8)
        RemotingJSON.append(client, to: &bytes)
        bytes += Array(",\"producerDataSet\":[],\"consumerDataSet\":[{\"groupName\":".utf8)
        RemotingJSON.append(group, to: &bytes)
        bytes += Array(
            (",\"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\","
                + "\"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\"subscriptionDataSet\":[").utf8
        )
        for (index, subscription) in subscriptions.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            subscription.append(to: &bytes)
        }
        return bytes + Array("],\"unitMode\":false}]}".utf8)
    }

    /// Of request 46, which has a broker's parser read an expression.
    package static func check(client: String, group: String, _ subscription: Subscription) -> [UInt8] {
        var bytes = Array("{\"clientId\":".utf8)
        RemotingJSON.append(client, to: &bytes)
        bytes += Array(",\"group\":".utf8)
        RemotingJSON.append(group, to: &bytes)
        bytes += Array(",\"subscriptionData\":".utf8)
        subscription.append(to: &bytes)
        return bytes + Array("}".utf8)
    }

    package static func locks(client: String, group: String, _ queues: [MessageQueueName]) -> [UInt8] {
        var bytes = Array("{\"consumerGroup\":".utf8)
        RemotingJSON.append(group, to: &bytes)
        bytes += Array(",\"clientId\":".utf8)
        RemotingJSON.append(client, to: &bytes)
        bytes += Array(",\"mqSet\":".utf8)
        Self.append(queues, to: &bytes)
        return bytes + Array("}".utf8)
    }

    /// The answer to a lock, by brokers of tests.
    package static func locked(_ queues: [MessageQueueName]) -> [UInt8] {
        var bytes = Array("{\"lockOKMQSet\":".utf8)
        Self.append(queues, to: &bytes)
        return bytes + Array("}".utf8)
    }

    private static func append(_ queues: [MessageQueueName], to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        for (index, queue) in queues.enumerated() {
            bytes += Array("\(index > 0 ? "," : ""){\"topic\":".utf8)
            RemotingJSON.append(queue.topic, to: &bytes)
            bytes += Array(",\"brokerName\":".utf8)
            RemotingJSON.append(queue.broker, to: &bytes)
            bytes += Array(",\"queueId\":\(queue.id)}".utf8)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// - Returns: the queues of `lockOKMQSet` or `mqSet`.
    package static func queues(_ name: String, in body: [UInt8]) throws(RocketMQDataError) -> [MessageQueueName] {
        var queues: [MessageQueueName] = []
        for item in try LenientJSON(body)[name]?.items ?? [] {
            guard let topic = item["topic"]?.text, let broker = item["brokerName"]?.text,
                let id = item["queueId"]?.integer.flatMap({ Int32(exactly: $0) })
            else { throw RocketMQDataError("an answer about locks has a queue without topic, broker or number") }
            queues.append(MessageQueueName(topic: topic, broker: broker, id: id))
        }
        return queues
    }

    /// The client ids of a group, of the answer to request 38.
    package static func members(in body: [UInt8]) throws(RocketMQDataError) -> [String] {
        try LenientJSON(body)["consumerIdList"]?.items.compactMap(\.text) ?? []
    }
}
