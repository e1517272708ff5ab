internal import CRdKafka
import Synchronization
import TidemarkCore

/// Makes blocks of a partition's messages. `major` of an offset is the message's offset in the partition; they have holes
/// where a topic is compacted, and where control records of transactions stand.
final class KafkaReader: StreamReader {
    private let partition: KafkaPartition
    private let origin: RecordOrigin
    private let messageBytesMax: Int
    private let mayBeginAnew: Bool
    private let onContact: @Sendable () -> Void
    private let onGap: @Sendable (_ what: String) -> Void
    private(set) var progress: StreamProgress
    private(set) var bytesRead: Int64 = 0
    /// What the message before the first one has to be; `nil` once it was compared, and at a beginning.
    private var expected: KafkaToken?
    /// Fetched and not handed on.
    private var pending = KafkaMessages()
    private var nextPending = 0
    /// Where the last block ended.
    private var handedOn: StreamOffset
    /// Whether a block has told where the partition ends.
    private enum End { case unseen, reached, told }

    private var end = End.unseen
    /// What the next call throws.
    private var failure: (any Error)?
    private let blocks: BlockMemoryPool
    let acknowledger: (any StreamAcknowledger)?

    /// A block has about so many bytes, or one longer message.
    static let blockBytesMost = 256 << 10
    private static let takenAtOnce = 2000
    /// Room is made for so many messages of a block, if they are at hand.
    private static let messagesExpected = 1000

    init(
        _ partition: KafkaPartition,
        from progress: StreamProgress,
        expecting expected: KafkaToken?,
        _ settings: KafkaSourceSettings,
        in blocks: BlockMemoryPool,
        onContact: @escaping @Sendable () -> Void,
        onGap: @escaping @Sendable (_ what: String) -> Void
    ) {
        self.partition = partition
        self.origin = RecordOrigin(topic: Array(partition.id.topic.utf8), partition: partition.id.partition)
        self.progress = progress
        self.handedOn = progress.offset
        self.expected = expected
        self.messageBytesMax = settings.messageBytesMax
        self.mayBeginAnew = settings.mayBeginAnew
        self.blocks = blocks
        self.onContact = onContact
        self.onGap = onGap
        // The group is told by its member, whichever client reads.
        self.acknowledger = KafkaAcknowledger(partition.ofGroup)
    }

    deinit { self.partition.giveBack() }

    var blockBytes: Int { Self.blockBytesMost }
    var head: UInt64? { UInt64(exactly: self.partition.watermarks.high) }

    var isIdle: Bool { !self.isReady() }
    var isBehind: Bool { self.head.map { $0 > self.progress.offset.major } ?? false }

    func next() async throws -> MessageBlock? {
        while true {
            try Task.checkCancellation()
            // Before it is asked whether the partition is revoked: a signal in between would not wake the wait below.
            let count = self.partition.wakeup.count
            let isReady = self.isReady()
            guard !self.partition.isRevoked else { throw StreamRevoked() }
            guard isReady else {
                if self.handedOn < self.progress.offset || self.end == .reached {
                    return self.emptyBlock()
                }
                await self.partition.wakeup.wait(since: count)
                continue
            }
            do {
                if let failure = self.failure.take() { throw failure }
                return self.block()
            } catch let error as OffsetOutOfRange {
                try await self.goOn(behind: error)
            }
        }
    }

    func recycle(_ block: consuming MessageBlock) { self.blocks.keep(block) }

    /// Has the level follow where nothing but control records came, or where a partition is begun at its end; and tells once
    /// that there is nothing more, so that the lag of a quiet partition is known.
    private func emptyBlock() -> MessageBlock {
        self.end = .told
        if self.progress.isUnbegun { self.progress.resume = StreamProgress.begunEmpty }
        let start = StreamProgress(offset: self.handedOn, ordinal: Int64(clamping: self.handedOn.major) + 1)
        self.handedOn = self.progress.offset
        let padding = [UInt8](repeating: 0, count: MessageBlock.padding)
        return MessageBlock(bytes: padding, messages: [], start: start, end: self.progress)
    }

    /// Whether a message, or a failure, is at hand. What is neither is taken away.
    private func isReady() -> Bool {
        // What the queue has belongs to the partition's next assignment.
        while self.failure == nil, !self.partition.isRevoked {
            if self.nextPending == self.pending.count {
                self.nextPending = 0
                self.pending = self.partition.take(atMost: Self.takenAtOnce)
                guard self.pending.count > 0 else { return false }
                self.onContact()
            }
            do {
                if try self.isData(self.pending[self.nextPending]) { return true }
            } catch {
                self.failure = error
            }
            self.nextPending += 1
        }
        return true
    }

    /// The first message that is pending is one to hand on.
    private func block() -> MessageBlock {
        var memory = self.blocks.take()
        self.end = .told
        memory.messages.reserveCapacity(min(self.pending.count - self.nextPending, Self.messagesExpected))
        let start = self.progress
        let pending = self.pending
        var last = pending[self.nextPending]
        while self.nextPending < pending.count, memory.bytes.count < Self.blockBytesMost {
            let message = pending[self.nextPending]
            guard message.error == RD_KAFKA_RESP_ERR_NO_ERROR else { break }
            self.nextPending += 1
            last = message
            let payload = message.payload
            let kept = payload.map { UnsafeRawBufferPointer(rebasing: $0.prefix(self.messageBytesMax)) }
            if memory.bytes.isEmpty {
                memory.bytes.reserveCapacity(Self.blockBytesMost + (kept?.count ?? 0) + MessageBlock.padding)
            }
            let from = memory.bytes.count
            if let kept { memory.bytes.append(contentsOf: kept) }
            var entry = MessageBlock.Message(
                payload: kept.map { ByteRange(start: from, end: from + $0.count) },
                offset: StreamOffset(major: UInt64(message.offset)),
                ordinal: message.offset + 1,
                length: Int64(payload?.count ?? 0),
                isOversized: (payload?.count ?? 0) > self.messageBytesMax
            )
            entry.key = message.key.map { memory.bytes.append(part: $0) }
            let firstHeader = memory.headers.count
            message.appendHeaders(to: &memory.headers, &memory.bytes)
            entry.headers = firstHeader..<memory.headers.count
            memory.messages.append(entry)
            self.bytesRead += Int64(message.length)
        }
        memory.bytes.append(contentsOf: repeatElement(0, count: MessageBlock.padding))
        let token = KafkaToken(offset: last.offset, timestamp: last.timestamp, key: last.key, payload: last.payload)
        self.progress = StreamProgress(
            offset: StreamOffset(major: UInt64(last.offset + 1)),
            ordinal: last.offset + 2,
            resume: token.bytes
        )
        self.handedOn = self.progress.offset
        return MessageBlock(
            bytes: memory.bytes,
            messages: memory.messages,
            start: start,
            end: self.progress,
            headers: memory.headers,
            origin: self.origin
        )
    }

    /// - Returns: whether it is a message that was not read before.
    private func isData(_ message: KafkaMessage) throws -> Bool {
        let reached = Int64(clamping: self.progress.offset.major)
        switch message.error {
        case RD_KAFKA_RESP_ERR_NO_ERROR: break
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
            if self.end == .unseen { self.end = .reached }
            // Control records stand between the last message and here.
            if message.offset > reached {
                self.progress.offset = StreamOffset(major: UInt64(message.offset))
                self.progress.ordinal = message.offset + 1
            }
            return false
        case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: throw OffsetOutOfRange()
        default:
            throw BrokerError(
                .retryable,
                "\(self.partition.id.name): \(message.text)",
                remedy: "it is tried again by itself"
            )
        }
        guard let expected else { return message.offset >= reached }
        self.expected = nil
        // Compaction or retention removed the message. Later messages are read; there is nothing to compare them with.
        guard message.offset == expected.offset else {
            self.onGap(Self.notCompared)
            return message.offset >= reached
        }
        let found = KafkaToken(
            offset: message.offset,
            timestamp: message.timestamp,
            key: message.key,
            payload: message.payload
        )
        guard found == expected else {
            throw self.lostHistory("another message stands at offset \(message.offset), so the topic was made anew")
        }
        return false
    }

    private static let notCompared = "the last message that was read is gone, so it cannot be compared"

    private struct OffsetOutOfRange: Error {}

    /// Retention may have taken the message that was to be compared, and nothing behind it: the log begins behind it then.
    /// Where it begins before it, it ended before it when it was asked, whatever has come to it since.
    private func goOn(behind error: OffsetOutOfRange) async throws {
        guard let expected = self.expected, try await self.partition.leastOffset() > expected.offset else {
            let offset = self.expected?.offset ?? Int64(clamping: self.progress.offset.major)
            throw self.lostHistory("the broker has nothing at offset \(offset)")
        }
        self.expected = nil
        self.onGap(Self.notCompared)
        try await self.partition.restart(at: Int64(clamping: self.progress.offset.major))
    }

    private func lostHistory(_ what: String) -> BrokerError {
        var remedy = "lost_history: earliest reads what the topic has now; what is lost has to come from elsewhere"
        if !self.mayBeginAnew {
            remedy +=
                ". Entities are ordered by offsets, which begin anew: raise epoch of this source too, and write "
                + "added_partitions: earliest"
        }
        return BrokerError(
            .lostHistory,
            "\(self.partition.id.name): \(what), where this source goes on: messages that were not read may be lost",
            remedy: remedy
        )
    }
}

/// Tells the group how far a partition is committed, for tools that show its lag; progress is in the database.
struct KafkaAcknowledger: StreamAcknowledger {
    private let partition: KafkaPartition

    init(_ partition: KafkaPartition) { self.partition = partition }

    func acknowledge(_ level: StreamProgress) async throws {
        self.partition.isUntold.store(false, ordering: .relaxed)
        guard !self.partition.isRevoked, level.offset.major > 0 else { return }
        var committed = self.partition.id
        committed.offset = Int64(clamping: level.offset.major)
        let list = PartitionList([committed], self.partition.handle)
        // The member's callback tells what became of it.
        guard rd_kafka_commit(self.partition.handle.pointer, list.pointer, 1) != RD_KAFKA_RESP_ERR_NO_ERROR else {
            return
        }
        self.partition.isUntold.store(true, ordering: .relaxed)
    }

    /// A commit in the middle of a rebalance is refused.
    var isRefused: Bool { self.partition.isUntold.load(ordering: .relaxed) && !self.partition.isRevoked }
}
