import Foundation
import RocketMQCodec
import Testing
import TidemarkCore

/// Every frame that real brokers and their clients exchanged.
struct RecordedFrameTests {
    private static func command(_ bytes: [UInt8]) throws -> RemotingCommand {
        var decoder = RemotingFrameDecoder()
        var commands: [RemotingCommand] = []
        try bytes.withUnsafeBytes { try decoder.feed($0) { commands.append($0) } }
        #expect(commands.count == 1 && decoder.heldBytes == 0)
        return try #require(commands.first)
    }

    @Test("Every file has its fields beside it")
    func allAreRead() throws {
        #expect(try RecordedFrame.fileCount() == RecordedFrame.all.count)
        #expect(RecordedFrame.all.count == 59)
    }

    @Test("Each frame decodes to the fields beside it", arguments: RecordedFrame.all)
    func decodes(_ frame: RecordedFrame) throws {
        let fields = try frame.fields()
        let command = try Self.command(frame.bytes)
        #expect(fields["frameLength"] as? Int == frame.bytes.count - 4)
        #expect(fields["serializeType"] as? String == command.serialization.name)
        #expect(fields["bodyLength"] as? Int == command.body.count)
        let header = try #require(fields["header"] as? [String: Any])
        #expect(header["code"] as? Int == Int(command.code))
        #expect(header["flag"] as? Int == Int(command.flag))
        #expect(header["opaque"] as? Int == Int(command.opaque))
        #expect(header["version"] as? Int == Int(command.version))
        #expect(header["language"] as? String == command.language)
        #expect(header["remark"] as? String == command.remark)
        let extra = header["extFields"] as? [String: String] ?? [:]
        #expect(extra == Dictionary(command.fields.map { ($0.name, $0.value) }) { $1 })
        if let body = fields["body"] as? String { #expect(body == String(decoding: command.body, as: UTF8.self)) }
        if let batch = fields["batch"] as? [[String: Any]] { try Self.compare(batch, command) }
        let messages = fields["messages"] as? [[String: Any]]
        #expect(messages != nil || fields["body"] != nil || fields["batch"] != nil || command.body.isEmpty)
        if let messages { try Self.compare(messages, inBody: command.body) }
    }

    private static func compare(_ expected: [[String: Any]], _ command: RemotingCommand) throws {
        let found = try SendRequest.messages(inBatch: command.body)
        try #require(found.count == expected.count)
        for (message, fields) in zip(found, expected) {
            #expect(fields["body"] as? String == String(decoding: message.body, as: UTF8.self))
            #expect(fields["flag"] as? Int == Int(message.flag))
            #expect(fields["properties"] as? [String: String] == Dictionary(message.properties.map { ($0, $1) }) { $1 })
        }
        #expect(SendRequest.batch(found) == command.body)
    }

    private static func compare(_ expected: [[String: Any]], inBody body: [UInt8]) throws {
        try body.withUnsafeBytes { bytes in
            var messages = StoredMessages(bytes)
            for fields in expected {
                let message = try #require(try messages.next())
                try Self.compare(fields, message, bytes)
            }
            #expect(try messages.next() == nil)
        }
    }

    private static func compare(_ fields: [String: Any], _ message: StoredMessage, _ bytes: UnsafeRawBufferPointer)
        throws
    {
        #expect(message.defect == nil)
        let numbers: [(String, Int64)] = [
            ("storeSize", Int64(message.range.count)), ("bodyCRC", Int64(message.bodyCRC)),
            ("queueId", Int64(message.queueID)), ("flag", Int64(message.flag)), ("queueOffset", message.queueOffset),
            ("physicalOffset", message.physicalOffset), ("sysFlag", Int64(message.systemFlags.rawValue)),
            ("bornTimestamp", message.bornTimestamp), ("storeTimestamp", message.storeTimestamp),
            ("reconsumeTimes", Int64(message.reconsumeTimes)),
            ("preparedTransactionOffset", message.preparedTransactionOffset),
            ("storedBodyLength", Int64(message.body.count)),
        ]
        for (name, found) in numbers { #expect(fields[name] as? Int64 == found, "\(name)") }
        #expect(fields["magic"] as? String == String(message.magic, radix: 16))
        #expect(fields["topic"] as? String == String(decoding: bytes[message.topic], as: UTF8.self))
        #expect(fields["bornHost"] as? String == StoredMessage.host(message.bornHost, of: bytes)?.description)
        #expect(fields["storeHost"] as? String == StoredMessage.host(message.storeHost, of: bytes)?.description)
        let properties = MessageProperties.read(Array(bytes[message.properties]))
        #expect(fields["properties"] as? [String: String] == Dictionary(properties.map { ($0, $1) }) { $1 })
        var body = Array(bytes[message.body])
        if message.systemFlags.isCompressed {
            let compression = try #require(message.systemFlags.compression)
            let plain = try body.withUnsafeBytes { try CompressedBody.decompress($0, compression, limit: 1 << 20) }
            #expect(!plain.isCut)
            let cut = try body.withUnsafeBytes { try CompressedBody.decompress($0, compression, limit: 100) }
            #expect(cut.isCut && cut.bytes == Array(plain.bytes.prefix(100)))
            body = plain.bytes
        }
        if let text = fields["body"] as? String { #expect(text == String(decoding: body, as: UTF8.self)) }
        if let digest = fields["bodySha256"] as? String {
            #expect(fields["bodyLength"] as? Int == body.count)
            #expect(digest == DigestContext.sha256(body).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
        }
        try Self.compareWithWritten(message, bytes)
    }

    /// What a broker of the tests stores has the same bytes as what a real one stored.
    private static func compareWithWritten(_ message: StoredMessage, _ bytes: UnsafeRawBufferPointer) throws {
        var content = StoredMessage.Content()
        content.queueID = message.queueID
        content.flag = message.flag
        content.queueOffset = message.queueOffset
        content.physicalOffset = message.physicalOffset
        content.systemFlags = message.systemFlags.rawValue
        content.bornTimestamp = message.bornTimestamp
        content.storeTimestamp = message.storeTimestamp
        content.bornHost = try #require(StoredMessage.host(message.bornHost, of: bytes))
        content.storeHost = try #require(StoredMessage.host(message.storeHost, of: bytes))
        content.reconsumeTimes = message.reconsumeTimes
        content.preparedTransactionOffset = message.preparedTransactionOffset
        content.body = Array(bytes[message.body])
        content.topic = Array(bytes[message.topic])
        content.properties = Array(bytes[message.properties])
        #expect(content.bytes == Array(bytes[message.range]))
    }

    @Test(
        "Each request is written to the bytes that it was read from",
        arguments: RecordedFrame.all.filter(\.isRequest)
    )
    func encodes(_ frame: RecordedFrame) throws {
        let command = try Self.command(frame.bytes)
        #expect(try RemotingFrame.bytes(of: command) == frame.bytes)
    }

    @Test("Each frame is read the same however it is cut, and in either serialization", arguments: RecordedFrame.all)
    func survivesCutting(_ frame: RecordedFrame) throws {
        let command = try Self.command(frame.bytes)
        var decoder = RemotingFrameDecoder()
        var commands: [RemotingCommand] = []
        for byte in frame.bytes.dropLast() {
            try [byte].withUnsafeBytes { try decoder.feed($0) { commands.append($0) } }
            #expect(commands.isEmpty)
        }
        try frame.bytes.suffix(1).withUnsafeBytes { try decoder.feed($0) { commands.append($0) } }
        #expect(commands == [command] && decoder.heldBytes == 0)
        // Two in parts whose bounds are not theirs.
        let twice = frame.bytes + frame.bytes
        for size in [3, frame.bytes.count - 1, frame.bytes.count + 1, frame.bytes.count + 5] {
            commands = []
            for start in stride(from: 0, to: twice.count, by: size) {
                try twice[start..<min(start + size, twice.count)].withUnsafeBytes {
                    try decoder.feed($0) { commands.append($0) }
                }
            }
            #expect(commands == [command, command] && decoder.heldBytes == 0)
        }
        for serialization in RemotingCommand.Serialization.allCases {
            var other = command
            other.serialization = serialization
            #expect(try Self.command(try RemotingFrame.bytes(of: other)) == other)
        }
    }

    @Test("Requests are made as the recorded ones")
    func makesRequests() throws {
        let send = try Self.command(try RecordedFrame.named("send_310.req.bin").bytes)
        let message = SendRequest.Message(
            body: send.body,
            properties: MessageProperties.read(Array((send["i"] ?? "").utf8))
        )
        var request = SendRequest(
            producerGroup: "PG_TEST",
            queue: MessageQueueName(topic: "shop_orders", broker: "broker-p", id: 0),
            bornTimestamp: 1_795_821_671_233,
            messages: [message]
        )
        request.namesBroker = false
        #expect(request.command.fields == send.fields)
        #expect(request.command.code == 310)
        let batch = try Self.command(try RecordedFrame.named("send_batch_320.req.bin").bytes)
        request.queue.id = 2
        request.bornTimestamp = 1_795_821_671_267
        request.messages = try SendRequest.messages(inBatch: batch.body)
        #expect(request.command.fields == batch.fields)
        #expect(request.command.body == batch.body)
        #expect(request.command.code == 320)
        let lock = try Self.command(try RecordedFrame.named("lock_41.req.bin").bytes)
        let queues = try GroupBodies.queues("mqSet", in: lock.body)
        #expect(GroupBodies.locks(client: "127.0.0.1@tidemark-1", group: "tidemark_live", queues) == lock.body)
        let heartbeat = try Self.command(try RecordedFrame.named("heartbeat_34.req.bin").bytes)
        let subscription = GroupBodies.Subscription(
            topic: "shop_orders",
            expression: "paid || shipped",
            type: "TAG",
            tags: ["paid", "shipped"],
            version: 1_795_821_689_801
        )
        let made = GroupBodies.heartbeat(client: "127.0.0.1@tidemark-1", group: "tidemark_live", [subscription])
        // The recorded one has blanks.
        #expect(try LenientJSON(made) == LenientJSON(heartbeat.body))
    }

    @Test(
        "Signatures are the recorded ones, of fields and body",
        arguments: ["acl_pull_11.req.bin", "acl_heartbeat_34.req.bin"]
    )
    func signs(_ name: String) throws {
        let command = try Self.command(try RecordedFrame.named(name).bytes)
        var signed = command
        AccessSignature.sign(&signed, accessKey: "reader01", secretKey: "secret-reader")
        #expect(signed == command)
    }

    @Test("Routes are read with quoted numbers, bare ones, and IPv6 addresses")
    func readsRoutes() throws {
        let quoted = try TopicRoute(try Self.command(try RecordedFrame.named("route_105.resp.bin").bytes).body)
        let bare = try TopicRoute(
            try Self.command(try RecordedFrame.named("route_105_unquoted_keys.resp.bin").bytes).body
        )
        #expect(quoted == bare)
        #expect(quoted.brokers.first?.addresses == [0: "127.0.0.1:30911", 1: "127.0.0.1:32911"])
        #expect(quoted.readableQueues(of: "t").map(\.id) == [0, 1, 2, 3])
        let recorded = try RecordedFrame.named("route_105.resp.bin")
        #expect(try Self.command(recorded.bytes).body == quoted.json)
        let six = try TopicRoute(try Self.command(try RecordedFrame.named("route_105_ipv6.resp.bin").bytes).body)
        #expect(six.brokers.first?.master == "::1:33911")
    }
}
