import RocketMQCodec
import TidemarkCore

/// Makes blocks of a queue's messages. `major` of an offset is the message's offset in the queue.
final class QueueReader: StreamReader {
    private let queue: SharedQueue
    private let puller: QueuePuller
    private let origin: RecordOrigin
    private let messageBytesMax: Int
    private(set) var progress: StreamProgress
    private(set) var bytesRead: Int64 = 0
    let acknowledger: (any StreamAcknowledger)?

    /// A block has about so many bytes, or one longer message.
    private static let blockBytesMost = 256 << 10

    init(
        _ queue: SharedQueue,
        _ session: RocketMQSession,
        from progress: StreamProgress,
        _ beginning: QueuePuller.Beginning
    ) {
        self.queue = queue
        self.origin = RecordOrigin(
            topic: Array(queue.name.topic.utf8),
            partition: queue.name.id,
            name: Array(queue.name.description.utf8)
        )
        self.messageBytesMax = session.settings.messageBytesMax
        self.progress = progress
        self.acknowledger = QueueAcknowledger(queue, session)
        self.puller = QueuePuller(queue, session, from: beginning)
        self.puller.start()
    }

    deinit { self.puller.stop() }

    var blockBytes: Int { Self.blockBytesMost }
    var head: UInt64? { self.puller.end.flatMap { UInt64(exactly: $0) } }
    var isIdle: Bool { !self.puller.isReady && !self.queue.isRevoked }

    var isBehind: Bool { self.puller.isFilling }

    func next() async throws -> MessageBlock? {
        while true {
            try Task.checkCancellation()
            guard !self.queue.isRevoked else { throw StreamRevoked() }
            let count = self.queue.wakeup.count
            let pulled = try self.puller.take(bytes: Self.blockBytesMost)
            if let last = pulled.last { return self.block(pulled, last) }
            await self.queue.wakeup.wait(since: count)
        }
    }

    /// Without messages where all that came was skipped: the level follows.
    private func block(_ pulled: [PulledMessages], _ last: PulledMessages) -> MessageBlock {
        var builder = BlockBuilder(self.messageBytesMax, capacity: pulled.reduce(0) { $0 + $1.body.count })
        for answer in pulled {
            answer.body.withUnsafeBytes { bytes in for message in answer.messages { builder.append(message, bytes) } }
        }
        let start = self.progress
        self.bytesRead += builder.bytesRead
        self.progress = StreamProgress(
            offset: StreamOffset(major: UInt64(clamping: last.reached)),
            ordinal: last.reached + 1,
            resume: last.token?.bytes ?? []
        )
        return builder.block(start: start, end: self.progress, self.origin)
    }
}

/// Copies messages into a block, decompressed, with their properties as headers.
private struct BlockBuilder {
    private var bytes: [UInt8] = []
    private var messages: [MessageBlock.Message] = []
    private var headers: [MessageHeader] = []
    private var defects: [StreamOffset: String] = [:]
    private(set) var bytesRead: Int64 = 0
    private let messageBytesMax: Int

    init(_ messageBytesMax: Int, capacity: Int) {
        self.messageBytesMax = messageBytesMax
        self.bytes.reserveCapacity(capacity + MessageBlock.padding)
    }

    mutating func append(_ message: StoredMessage, _ source: UnsafeRawBufferPointer) {
        let offset = StreamOffset(major: UInt64(clamping: message.queueOffset))
        let from = self.bytes.count
        var (length, isOversized) = (0, false)
        do throws(RocketMQDataError) {
            if let defect = message.defect { throw RocketMQDataError(defect) }
            (length, isOversized) = try self.appendBody(of: message, source)
        } catch {
            // What cannot be read is kept as it is stored.
            self.bytes.removeSubrange(from...)
            self.bytes += source[message.range].prefix(self.messageBytesMax)
            (length, isOversized) = (message.range.count, false)
            self.defects[offset] = error.description
        }
        var entry = MessageBlock.Message(
            payload: ByteRange(start: from, end: self.bytes.count),
            offset: offset,
            ordinal: message.queueOffset + 1,
            length: Int64(length),
            isOversized: isOversized
        )
        let firstHeader = self.headers.count
        if message.defect == nil { self.appendHeaders(of: message, source) }
        entry.headers = firstHeader..<self.headers.count
        self.messages.append(entry)
        self.bytesRead += Int64(message.range.count)
    }

    /// - Returns: the body's length, as far as it is known, and whether it was cut.
    private mutating func appendBody(
        of message: StoredMessage,
        _ source: UnsafeRawBufferPointer
    ) throws(RocketMQDataError) -> (length: Int, isCut: Bool) {
        let stored = UnsafeRawBufferPointer(rebasing: source[message.body])
        guard message.systemFlags.isCompressed, let compression = message.systemFlags.compression else {
            self.bytes += stored.prefix(self.messageBytesMax)
            return (stored.count, stored.count > self.messageBytesMax)
        }
        let plain = try CompressedBody.decompress(stored, compression, limit: self.messageBytesMax)
        self.bytes += plain.bytes
        return (plain.bytes.count + (plain.isCut ? 1 : 0), plain.isCut)
    }

    private mutating func appendHeaders(of message: StoredMessage, _ source: UnsafeRawBufferPointer) {
        let base = self.bytes.count - message.properties.lowerBound
        self.bytes += source[message.properties]
        MessageProperties.forEach(source, in: message.properties) { name, value in
            guard !MessageProperties.isOfBroker(UnsafeRawBufferPointer(rebasing: source[name])) else { return }
            self.headers.append(
                MessageHeader(
                    name: ByteRange(start: base + name.lowerBound, end: base + name.upperBound),
                    value: ByteRange(start: base + value.lowerBound, end: base + value.upperBound)
                )
            )
        }
    }

    consuming func block(start: StreamProgress, end: StreamProgress, _ origin: RecordOrigin) -> MessageBlock {
        self.bytes.append(contentsOf: repeatElement(0, count: MessageBlock.padding))
        return MessageBlock(
            bytes: self.bytes,
            messages: self.messages,
            start: start,
            end: end,
            headers: self.headers,
            origin: origin,
            defects: self.defects
        )
    }
}

/// Tells the broker how far a queue is committed, for tools that show the group's lag; progress is in the database.
struct QueueAcknowledger: StreamAcknowledger {
    private let queue: SharedQueue
    private let session: RocketMQSession

    init(_ queue: SharedQueue, _ session: RocketMQSession) { (self.queue, self.session) = (queue, session) }

    func acknowledge(_ level: StreamProgress) async throws {
        guard !self.queue.isRevoked, level.offset.major > 0 else { return }
        let name = self.queue.name
        let command = RemotingCommand(
            code: RequestCode.storeOffset,
            fields: [
                .init("consumerGroup", self.session.settings.rocketmq.group), .init("topic", name.topic),
                .init("queueId", "\(name.id)"), .init("commitOffset", "\(level.offset.major)"),
            ]
        )
        guard let address = await self.session.routes.addresses(of: name.broker, topic: name.topic).first?.address
        else { return }
        await self.session.client.tell(command, at: address, broker: name.broker)
    }
}
