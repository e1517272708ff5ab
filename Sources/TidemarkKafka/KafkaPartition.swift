internal import CRdKafka
import Dispatch
import PlatformC
import Synchronization
import TidemarkCore

/// A partition that the group has given to this member, from the assignment until it is given up. Its queue is read by
/// one reader, beside the thread that polls the member.
///
/// Another reader of it at the same time has a client of its own, which is no member of the group (``take(_:)``).
final class KafkaPartition: Sendable {
    /// Offsets by librdkafka's words: the first message that there is, and the next one that comes.
    static let (beginning, end) = (Int64(RD_KAFKA_OFFSET_BEGINNING), Int64(RD_KAFKA_OFFSET_END))

    let id: TopicPartition
    let handle: KafkaHandle
    private let queue: KafkaQueue
    /// Signalled when its queue has something, and when it is revoked.
    var wakeup: Wakeup { self.queue.wakeup }
    private let revoked = Atomic<Bool>(false)
    private let readers = Mutex(Readers())
    /// The group's, of one that has a client of its own.
    private let group: KafkaPartition?
    /// It is read by the group's member.
    var isOfGroup: Bool { self.group == nil }
    var ofGroup: KafkaPartition { self.group ?? self }
    /// The group did not take the offset that it was told last.
    let isUntold = Atomic<Bool>(false)
    /// Opened when nothing of it is read or waits for a commit any more.
    let released = Gate()

    init(_ id: TopicPartition, of handle: KafkaHandle, _ queue: KafkaQueue, besides group: KafkaPartition? = nil) {
        self.group = group
        self.id = id
        self.handle = handle
        self.queue = queue
        queue.forward()
    }

    var isRevoked: Bool { self.group?.isRevoked ?? self.revoked.load(ordering: .acquiring) }

    func revoke() {
        self.revoked.store(true, ordering: .releasing)
        self.wakeup.signal()
        let others = self.readers.withLock { $0.others.compactMap(\.partition) }
        for other in others { other.wakeup.signal() }
    }

    // MARK: Readers

    private struct Readers {
        struct Other { weak var partition: KafkaPartition? }

        var isTaken = false
        var others: [Other] = []
    }

    /// For a reader: this one where no other reads it, else one with a client of its own. ``giveBack()`` ends it.
    func take(_ settings: KafkaSourceSettings) throws(BrokerError) -> KafkaPartition {
        let isFree = self.readers.withLock { readers in
            defer { readers.isTaken = true }
            return !readers.isTaken
        }
        if isFree { return self }
        let handle = try KafkaHandle.standalone(settings)
        guard let queue = KafkaQueue(self.id, of: handle) else {
            throw BrokerError(.retryable, "\(self.id.name) is not known", remedy: "it is tried again by itself")
        }
        let own = KafkaPartition(self.id, of: handle, queue, besides: self)
        self.readers.withLock { readers in
            readers.others.removeAll { $0.partition == nil }
            readers.others.append(.init(partition: own))
        }
        return own
    }

    /// Its reader is gone.
    func giveBack() { if self.isOfGroup { self.readers.withLock { $0.isTaken = false } } }

    /// Has its messages fetched from an offset on. A partition that was assigned a moment ago may not be ready.
    /// - Throws: ``BrokerError``; ``StreamRevoked``; `CancellationError`.
    func start(at offset: Int64) async throws {
        let partition = self.id.at(offset)
        for attempt in 0... {
            guard !self.isRevoked else { throw StreamRevoked() }
            if let code = await self.offPool({ self.seek(partition) }) {
                guard attempt < 100 else {
                    throw BrokerError(
                        .retryable,
                        "\(self.id.name) cannot be read from offset \(offset) on: \(KafkaHandle.text(of: code))",
                        remedy: "it is tried again by itself"
                    )
                }
                try await Task.sleep(for: .milliseconds(50))
                continue
            }
            return
        }
    }

    /// Runs what waits for librdkafka's own threads where it may block.
    private func offPool<R: Sendable>(_ step: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: step()) }
        }
    }

    /// - Returns: `nil` once it is being fetched.
    private func seek(_ partition: TopicPartition) -> rd_kafka_resp_err_t? {
        let list = PartitionList([partition], self.handle)
        guard self.isOfGroup else {
            let code = rd_kafka_assign(self.handle.pointer, list.pointer)
            return code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : code
        }
        if let error = rd_kafka_seek_partitions(self.handle.pointer, list.pointer, 1000) {
            let code = rd_kafka_error_code(error)
            rd_kafka_error_destroy(error)
            return code
        }
        let code = list.pointer.pointee.elems[0].err
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { return code }
        let resumed = rd_kafka_resume_partitions(self.handle.pointer, list.pointer)
        return resumed == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : resumed
    }

    /// Assigns the partition again, from another offset: librdkafka stops fetching one whose offset the broker refused, and
    /// a seek of it fails.
    func restart(at offset: Int64) async throws {
        let anew = self.id.at(offset)
        let failure = await self.offPool { () -> String? in
            let list = PartitionList([anew], self.handle)
            guard self.isOfGroup else {
                rd_kafka_assign(self.handle.pointer, nil)
                let code = rd_kafka_assign(self.handle.pointer, list.pointer)
                return code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaHandle.text(of: code)
            }
            for error in [
                rd_kafka_incremental_unassign(self.handle.pointer, list.pointer),
                rd_kafka_incremental_assign(self.handle.pointer, list.pointer),
            ] {
                guard let error else { continue }
                defer { rd_kafka_error_destroy(error) }
                return String(cString: rd_kafka_error_string(error))
            }
            return nil
        }
        guard !self.isRevoked else { throw StreamRevoked() }
        guard let failure else { return }
        throw BrokerError(
            .retryable,
            "\(self.id.name) cannot be assigned anew: \(failure)",
            remedy: "it is tried again by itself"
        )
    }

    /// Takes what has been fetched, without waiting.
    func take(atMost count: Int) -> KafkaMessages {
        defer { self.serveOwnClient() }
        return self.queue.take(atMost: count)
    }

    private func serveOwnClient() {
        // A client outside the group has no polling thread, so its events are served here.
        if !self.isOfGroup, let event = rd_kafka_consumer_poll(self.handle.pointer, 0) {
            rd_kafka_message_destroy(event)
        }
    }

    /// Asks the broker for the least offset that it has.
    /// - Throws: ``BrokerError``.
    func leastOffset() async throws(BrokerError) -> Int64 {
        let (least, code) = await self.offPool { () -> (Int64, rd_kafka_resp_err_t) in
            var (low, high) = (Int64(0), Int64(0))
            let id = self.id
            let code = rd_kafka_query_watermark_offsets(self.handle.pointer, id.topic, id.partition, &low, &high, 5000)
            return (low, code)
        }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw BrokerError(
                .retryable,
                "\(self.id.name): the broker does not say where it begins: \(KafkaHandle.text(of: code))",
                remedy: "it is tried again by itself"
            )
        }
        return least
    }

    /// The first and the last offset of the broker's log as they were seen last; negative where that is not known.
    var watermarks: (low: Int64, high: Int64) {
        var (low, high) = (Int64(-1), Int64(-1))
        rd_kafka_get_watermark_offsets(self.handle.pointer, self.id.topic, self.id.partition, &low, &high)
        return (low, high)
    }
}

/// The queue of a partition's messages, apart from the client's own queue, for one assignment. librdkafka has one queue with
/// one callback for a partition, and another once a topic was gone and is there again: of the former one nothing comes any
/// more. It is `Sendable` because its pointers never change and any thread may call librdkafka's functions for queues.
final class KafkaQueue: @unchecked Sendable {
    private let pointer: OpaquePointer
    private let handle: KafkaHandle
    let wakeup: Wakeup

    /// - Returns: `nil` where librdkafka knows no such partition.
    init?(_ partition: TopicPartition, of handle: KafkaHandle) {
        guard let pointer = rd_kafka_queue_get_partition(handle.pointer, partition.topic, partition.partition) else {
            return nil
        }
        self.pointer = pointer
        self.handle = handle
        self.wakeup = handle.wakeup(of: partition)
        // The callback stays when this object goes: a later assignment may have the same queue.
        rd_kafka_queue_cb_event_enable(
            pointer,
            { _, opaque in
                guard let opaque else { return }
                Unmanaged<Wakeup>.fromOpaque(opaque).takeUnretainedValue().signal()
            },
            Unmanaged.passUnretained(self.wakeup).toOpaque()
        )
    }

    /// Keeps the partition's messages out of the client's own queue.
    func forward() { rd_kafka_queue_forward(self.pointer, nil) }

    deinit { rd_kafka_queue_destroy(self.pointer) }

    func take(atMost count: Int) -> KafkaMessages {
        KafkaMessages(capacity: count) { buffer in
            max(0, rd_kafka_consume_batch_queue(self.pointer, 0, buffer.baseAddress, buffer.count))
        }
    }
}

/// Owns messages of librdkafka. One object for all that were taken at once: an object for each message cost a thirtieth of
/// the processor time of reading.
final class KafkaMessages {
    typealias Pointer = UnsafeMutablePointer<rd_kafka_message_t>

    private let pointers: [Pointer?]
    var count: Int { self.pointers.count }

    init() { self.pointers = [] }

    /// - Parameter fill: takes messages, and returns how many.
    init(capacity: Int, _ fill: (UnsafeMutableBufferPointer<Pointer?>) -> Int) {
        self.pointers = Array(unsafeUninitializedCapacity: capacity) { buffer, count in
            buffer.initialize(repeating: nil)
            count = fill(buffer)
        }
    }

    deinit { for case let pointer? in self.pointers { rd_kafka_message_destroy(pointer) } }

    /// Valid for as long as the messages are.
    subscript(index: Int) -> KafkaMessage {
        guard let pointer = self.pointers[index] else { preconditionFailure("librdkafka gave no message") }
        return KafkaMessage(pointer: pointer)
    }
}

/// A message of librdkafka, or one of its events in place of one. It belongs to ``KafkaMessages``.
struct KafkaMessage {
    let pointer: KafkaMessages.Pointer

    var error: rd_kafka_resp_err_t { self.pointer.pointee.err }
    var offset: Int64 { self.pointer.pointee.offset }
    var length: Int { self.pointer.pointee.len }

    /// `nil` for a tombstone. It is valid for as long as the message is.
    var payload: UnsafeRawBufferPointer? {
        self.pointer.pointee.payload.map { UnsafeRawBufferPointer(start: $0, count: self.pointer.pointee.len) }
    }

    /// `nil` where it has none. It is valid for as long as the message is.
    var key: UnsafeRawBufferPointer? {
        self.pointer.pointee.key.map { UnsafeRawBufferPointer(start: $0, count: self.pointer.pointee.key_len) }
    }

    /// Appends its headers, and their texts to `bytes`.
    func appendHeaders(to headers: inout [MessageHeader], _ bytes: inout [UInt8]) {
        var list: OpaquePointer?
        guard rd_kafka_message_headers(self.pointer, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return }
        var (name, value, count) = (nil as UnsafePointer<CChar>?, nil as UnsafeRawPointer?, 0)
        var index = 0
        while rd_kafka_header_get_all(list, index, &name, &value, &count) == RD_KAFKA_RESP_ERR_NO_ERROR, let text = name
        {
            headers.append(
                MessageHeader(
                    name: bytes.append(part: UnsafeRawBufferPointer(start: text, count: strlen(text))),
                    value: value.map { bytes.append(part: UnsafeRawBufferPointer(start: $0, count: count)) }
                )
            )
            index += 1
        }
    }

    /// Milliseconds since 1970, of the producer or of the broker; -1 where there is none.
    var timestamp: Int64 {
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        return rd_kafka_message_timestamp(self.pointer, &type)
    }

    /// What an event says.
    var text: String {
        rd_kafka_message_errstr(self.pointer).map { String(cString: $0) } ?? KafkaHandle.text(of: self.error)
    }
}

extension [UInt8] {
    /// - Returns: where it stands.
    mutating func append(part: UnsafeRawBufferPointer) -> ByteRange {
        let start = self.count
        self.append(contentsOf: part)
        return ByteRange(start: start, end: self.count)
    }
}
