import RocketMQCodec
import Synchronization
import TidemarkCore

/// Makes blocks of a queue's messages. `major` of an offset is the message's offset in the queue.
final class QueueReader: StreamReader {
    private let queue: SharedQueue
    private let puller: QueuePuller
    private let origin: RecordOrigin
    private let messageBytesMax: Int
    private(set) var progress: StreamProgress
    private(set) var bytesRead: Int64 = 0
    /// Pulled and not handed on whole.
    private var pending: ArraySlice<PulledMessages> = []
    /// The first message of the first of them that is to be handed on.
    private var nextMessage = 0
    private let blocks: BlockMemoryPool
    /// A block has told where the queue ends.
    private var hasToldEnd = false
    let acknowledger: (any StreamAcknowledger)?

    /// A block has about so many bytes, or one longer message.
    static let blockBytesMost = 256 << 10

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
        self.blocks = session.blocks
        self.puller = QueuePuller(queue, session, from: beginning)
        self.puller.start()
    }

    deinit { self.puller.stop() }

    var blockBytes: Int { Self.blockBytesMost }
    var head: UInt64? { self.puller.end.flatMap { UInt64(exactly: $0) } }
    var isIdle: Bool { self.pending.isEmpty && !self.puller.isReady && !self.queue.isRevoked }
    var isBehind: Bool { self.puller.isFilling }

    func next() async throws -> MessageBlock? {
        while true {
            try Task.checkCancellation()
            // Before it is asked whether the queue is revoked: a signal in between would not wake the wait below.
            let count = self.queue.wakeup.count
            guard !self.queue.isRevoked else { throw StreamRevoked() }
            if self.pending.isEmpty { self.pending = try self.puller.take(bytes: Self.blockBytesMost)[...] }
            guard self.pending.isEmpty, self.hasToldEnd || self.puller.end == nil else { return self.block() }
            await self.queue.wakeup.wait(since: count)
        }
    }

    func recycle(_ block: consuming MessageBlock) { self.blocks.keep(block) }

    /// Of what is pending, as much as a block has: a few bytes may decompress to many. Without messages where all that came
    /// was skipped: the level follows. One without anything tells once that there is nothing more, so that the lag of a quiet
    /// queue is known.
    private func block() -> MessageBlock {
        self.hasToldEnd = true
        var builder = BlockBuilder(self.messageBytesMax, capacity: Self.blockBytesMost, in: self.blocks.take())
        let start = self.progress
        while let answer = self.pending.first, builder.count < Self.blockBytesMost {
            let (reached, token) = self.append(answer, to: &builder)
            self.progress = StreamProgress(
                offset: StreamOffset(major: UInt64(clamping: reached)),
                ordinal: reached + 1,
                resume: token?.bytes ?? []
            )
        }
        if self.progress.isUnbegun { self.progress.resume = StreamProgress.begunEmpty }
        self.bytesRead += builder.bytesRead
        return builder.block(start: start, end: self.progress, self.origin)
    }

    /// - Returns: how far the block is with it, and the last message before that.
    private func append(_ answer: PulledMessages, to builder: inout BlockBuilder) -> (Int64, RocketMQToken?) {
        answer.body.withUnsafeBytes { bytes in
            var token = RocketMQToken(bytes: self.progress.resume)
            while self.nextMessage < answer.messages.count {
                let message = answer.messages[self.nextMessage]
                builder.append(message, bytes)
                self.nextMessage += 1
                guard self.nextMessage < answer.messages.count, builder.count >= Self.blockBytesMost else { continue }
                if message.defect == nil { token = RocketMQToken(message, of: bytes) }
                return (message.queueOffset + 1, token)
            }
            self.pending.removeFirst()
            self.nextMessage = 0
            return (answer.reached, answer.token)
        }
    }
}

/// Copies messages into a block, decompressed, with their properties as headers.
private struct BlockBuilder {
    private var memory: BlockMemory
    private var defects: [StreamOffset: String] = [:]
    private(set) var bytesRead: Int64 = 0
    private let messageBytesMax: Int
    /// In bytes, what is in it so far.
    var count: Int { self.memory.bytes.count }

    init(_ messageBytesMax: Int, capacity: Int, in memory: consuming BlockMemory) {
        self.messageBytesMax = messageBytesMax
        self.memory = memory
        self.memory.bytes.reserveCapacity(capacity + MessageBlock.padding)
    }

    mutating func append(_ message: StoredMessage, _ source: UnsafeRawBufferPointer) {
        let offset = StreamOffset(major: UInt64(clamping: message.queueOffset))
        let from = self.memory.bytes.count
        var (length, isOversized) = (0, false)
        do throws(RocketMQDataError) {
            if let defect = message.defect { throw RocketMQDataError(defect) }
            (length, isOversized) = try self.appendBody(of: message, source)
        } catch {
            // What cannot be read is kept as it is stored.
            self.memory.bytes.removeSubrange(from...)
            self.memory.bytes += source[message.range].prefix(self.messageBytesMax)
            (length, isOversized) = (message.range.count, false)
            self.defects[offset] = error.description
        }
        var entry = MessageBlock.Message(
            payload: ByteRange(start: from, end: self.memory.bytes.count),
            offset: offset,
            ordinal: message.queueOffset + 1,
            length: Int64(length),
            isOversized: isOversized
        )
        let firstHeader = self.memory.headers.count
        if message.defect == nil { self.appendHeaders(of: message, source) }
        entry.headers = firstHeader..<self.memory.headers.count
        self.memory.messages.append(entry)
        self.bytesRead += Int64(message.range.count)
    }

    /// - Returns: the body's length, as far as it is known, and whether it was cut.
    private mutating func appendBody(
        of message: StoredMessage,
        _ source: UnsafeRawBufferPointer
    ) throws(RocketMQDataError) -> (length: Int, isCut: Bool) {
        let stored = UnsafeRawBufferPointer(rebasing: source[message.body])
        guard message.systemFlags.isCompressed, let compression = message.systemFlags.compression else {
            self.memory.bytes += stored.prefix(self.messageBytesMax)
            return (stored.count, stored.count > self.messageBytesMax)
        }
        let plain = try CompressedBody.decompress(stored, compression, limit: self.messageBytesMax)
        self.memory.bytes += plain.bytes
        return (plain.bytes.count + (plain.isCut ? 1 : 0), plain.isCut)
    }

    private mutating func appendHeaders(of message: StoredMessage, _ source: UnsafeRawBufferPointer) {
        let base = self.memory.bytes.count - message.properties.lowerBound
        self.memory.bytes += source[message.properties]
        MessageProperties.forEach(source, in: message.properties) { name, value in
            guard !MessageProperties.isOfBroker(UnsafeRawBufferPointer(rebasing: source[name])) else { return }
            self.memory.headers.append(
                MessageHeader(
                    name: ByteRange(start: base + name.lowerBound, end: base + name.upperBound),
                    value: ByteRange(start: base + value.lowerBound, end: base + value.upperBound)
                )
            )
        }
    }

    consuming func block(start: StreamProgress, end: StreamProgress, _ origin: RecordOrigin) -> MessageBlock {
        self.memory.bytes.append(contentsOf: repeatElement(0, count: MessageBlock.padding))
        return MessageBlock(
            bytes: self.memory.bytes,
            messages: self.memory.messages,
            start: start,
            end: end,
            headers: self.memory.headers,
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
        self.queue.isUntold.store(false, ordering: .relaxed)
        guard !self.queue.isRevoked, level.offset.major > 0 else { return }
        let name = self.queue.name
        let command = RemotingCommand(
            code: RequestCode.storeOffset,
            fields: [
                .init("consumerGroup", self.session.settings.rocketmq.group), .init("topic", name.topic),
                .init("queueId", "\(name.id)"), .init("commitOffset", "\(level.offset.major)"),
            ]
        )
        let address = await self.session.routes.addresses(of: name.broker, topic: name.topic).first?.address
        if let address, await self.session.client.tell(command, at: address, broker: name.broker) { return }
        self.queue.isUntold.store(true, ordering: .relaxed)
    }

    /// Its connection is opened by the next pull.
    var isRefused: Bool { self.queue.isUntold.load(ordering: .relaxed) && !self.queue.isRevoked }
}
