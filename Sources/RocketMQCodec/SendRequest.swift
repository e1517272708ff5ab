/// Messages on their way to a broker.
package struct SendRequest: Sendable {
    package struct Message: Sendable, Equatable {
        package var body: [UInt8]
        package var properties: [(name: String, value: String)]
        package var flag: Int32 = 0

        package init(body: [UInt8], properties: [(name: String, value: String)], flag: Int32 = 0) {
            (self.body, self.properties, self.flag) = (body, properties, flag)
        }

        package static func == (left: Message, right: Message) -> Bool {
            left.body == right.body && left.flag == right.flag
                && left.properties.elementsEqual(right.properties) { $0 == $1 }
        }

        package func value(of name: String) -> String? { self.properties.last { $0.name == name }?.value }
    }

    package var producerGroup: String
    package var queue: MessageQueueName
    /// Milliseconds since 1970.
    package var bornTimestamp: Int64
    package var systemFlags: Int32 = 0
    package var messages: [Message]
    /// Whether the fields have the broker's name, as the proxy's port asks for it.
    package var namesBroker = true

    package init(producerGroup: String, queue: MessageQueueName, bornTimestamp: Int64, messages: [Message]) {
        (self.producerGroup, self.queue) = (producerGroup, queue)
        (self.bornTimestamp, self.messages) = (bornTimestamp, messages)
    }

    /// One message with the short names of fields, or several as a batch.
    package var command: RemotingCommand {
        let isBatch = self.messages.count > 1
        let only = isBatch ? nil : self.messages.first
        var fields: [RemotingCommand.Field] = [
            .init("a", self.producerGroup), .init("b", self.queue.topic), .init("c", "TBW102"), .init("d", "4"),
            .init("e", "\(self.queue.id)"), .init("f", "\(self.systemFlags)"), .init("g", "\(self.bornTimestamp)"),
            .init("h", "\(only?.flag ?? 0)"), .init("i", only.map { MessageProperties.text($0.properties) } ?? ""),
            .init("j", "0"), .init("k", "false"),
        ]
        if isBatch { fields.append(.init("m", "true")) }
        if self.namesBroker { fields.append(.init("n", self.queue.broker)) }
        return RemotingCommand(
            code: isBatch ? RequestCode.sendBatch : RequestCode.sendShort,
            fields: fields,
            body: only?.body ?? Self.batch(self.messages)
        )
    }

    package static func batch(_ messages: [Message]) -> [UInt8] {
        var bytes: [UInt8] = []
        for message in messages {
            let properties = MessageProperties.text(message.properties)
            bytes.append(bigEndian: Int32(clamping: 4 + 4 + 4 + 4 + 4 + message.body.count + 2 + properties.utf8.count))
            // Magic number and CRC, which the broker makes.
            bytes.append(bigEndian: Int32(0))
            bytes.append(bigEndian: Int32(0))
            bytes.append(bigEndian: message.flag)
            bytes.append(bigEndian: Int32(clamping: message.body.count))
            bytes += message.body
            bytes.append(text: properties, Int16.self)
        }
        return bytes
    }

    /// - Parameter body: of a batch.
    package static func messages(inBatch body: [UInt8]) throws(RocketMQDataError) -> [Message] {
        let result = body.withUnsafeBytes { bytes -> Result<[Message], RocketMQDataError> in
            do throws(RocketMQDataError) { return .success(try Self.read(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) throws(RocketMQDataError) -> [Message] {
        var input = ByteInput(bytes, "a batch")
        var messages: [Message] = []
        while input.remaining > 0 {
            let start = input.position
            let size = try input.integer(Int32.self)
            _ = try input.take(8)
            let flag = try input.integer(Int32.self)
            let body = try input.field(Int32.self)
            let properties = try input.field(Int16.self)
            guard Int(size) == input.position - start else {
                throw RocketMQDataError(
                    "a message of a batch says that it has \(size) bytes, and has \(input.position - start)"
                )
            }
            messages.append(
                Message(
                    body: Array(bytes[body]),
                    properties: MessageProperties.read(Array(bytes[properties])),
                    flag: flag
                )
            )
        }
        return messages
    }
}
