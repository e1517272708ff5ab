internal import CRdKafka
import Synchronization
import TidemarkCore

/// A partition that the group has given to this member, from the assignment until it is given up. Its queue is read by
/// one reader, beside the thread that polls the member.
final class KafkaPartition: Sendable {
    /// Offsets by librdkafka's words: the first message that there is, and the next one that comes.
    static let (beginning, end) = (Int64(RD_KAFKA_OFFSET_BEGINNING), Int64(RD_KAFKA_OFFSET_END))

    let id: TopicPartition
    let handle: KafkaHandle
    private let queue: KafkaQueue
    /// Signalled when its queue has something, and when it is revoked.
    let wakeup = Wakeup()
    private let revoked = Atomic<Bool>(false)
    private let isResumed = Atomic<Bool>(false)
    /// Opened when nothing of it is read or waits for a commit any more.
    let released = Gate()

    /// - Returns: `nil` where librdkafka knows no such partition.
    init?(_ id: TopicPartition, of handle: KafkaHandle) {
        guard let queue = KafkaQueue(id, of: handle) else { return nil }
        self.id = id
        self.handle = handle
        self.queue = queue
        queue.onArrival(self.wakeup)
    }

    var isRevoked: Bool { self.revoked.load(ordering: .acquiring) }

    func revoke() {
        self.revoked.store(true, ordering: .releasing)
        self.wakeup.signal()
    }

    /// Has its messages fetched from an offset on. A partition that was assigned a moment ago may not be ready.
    /// - Throws: ``KafkaError``; `CancellationError`.
    func start(at offset: Int64) async throws {
        var partition = self.id
        partition.offset = offset
        for attempt in 0... {
            guard !self.isRevoked else { throw KafkaPartitionRevoked() }
            if let code = self.seek(partition) {
                guard attempt < 100 else {
                    throw KafkaError(
                        .retryable,
                        "\(self.id.name) cannot be read from offset \(offset) on: \(KafkaHandle.text(of: code))",
                        remedy: "it is tried again by itself"
                    )
                }
                try await Task.sleep(for: .milliseconds(50))
                continue
            }
            self.isResumed.store(true, ordering: .relaxed)
            return
        }
    }

    /// - Returns: `nil` once it is being fetched.
    private func seek(_ partition: TopicPartition) -> rd_kafka_resp_err_t? {
        let list = PartitionList([partition], self.handle)
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

    /// Has a partition fetched from another offset after the broker has refused one: it is dead until it is assigned anew.
    func restart(at offset: Int64) throws(KafkaError) {
        var partition = self.id
        partition.offset = offset
        let list = PartitionList([partition], self.handle)
        for error in [
            rd_kafka_incremental_unassign(self.handle.pointer, list.pointer),
            rd_kafka_incremental_assign(self.handle.pointer, list.pointer),
        ] {
            guard let error else { continue }
            defer { rd_kafka_error_destroy(error) }
            throw KafkaError(
                .retryable,
                "\(self.id.name) cannot be assigned anew: \(String(cString: rd_kafka_error_string(error)))",
                remedy: "it is tried again by itself"
            )
        }
    }

    /// Takes what has been fetched, without waiting.
    func take(atMost count: Int, into messages: inout [KafkaMessage]) {
        self.queue.take(atMost: count, into: &messages)
    }

    /// The first and the last offset of the broker's log as they were seen last; negative where that is not known.
    var watermarks: (low: Int64, high: Int64) {
        var (low, high) = (Int64(-1), Int64(-1))
        rd_kafka_get_watermark_offsets(self.handle.pointer, self.id.topic, self.id.partition, &low, &high)
        return (low, high)
    }
}

/// The partition is another member's from now on.
struct KafkaPartitionRevoked: Error {}

/// The queue of a partition's messages, apart from the member's own queue.
private final class KafkaQueue: @unchecked Sendable {
    private let pointer: OpaquePointer
    private let handle: KafkaHandle
    private var wakeup: Wakeup?

    init?(_ partition: TopicPartition, of handle: KafkaHandle) {
        guard let pointer = rd_kafka_queue_get_partition(handle.pointer, partition.topic, partition.partition) else {
            return nil
        }
        self.pointer = pointer
        self.handle = handle
        // librdkafka keeps this over an assignment.
        rd_kafka_queue_forward(pointer, nil)
    }

    deinit {
        rd_kafka_queue_cb_event_enable(self.pointer, nil, nil)
        rd_kafka_queue_destroy(self.pointer)
    }

    func onArrival(_ wakeup: Wakeup) {
        self.wakeup = wakeup
        rd_kafka_queue_cb_event_enable(
            self.pointer,
            { _, opaque in
                guard let opaque else { return }
                Unmanaged<Wakeup>.fromOpaque(opaque).takeUnretainedValue().signal()
            },
            Unmanaged.passUnretained(wakeup).toOpaque()
        )
    }

    func take(atMost count: Int, into messages: inout [KafkaMessage]) {
        withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<rd_kafka_message_t>?.self, capacity: count) { buffer in
            let taken = rd_kafka_consume_batch_queue(self.pointer, 0, buffer.baseAddress, count)
            guard taken > 0 else { return }
            for index in 0..<taken { if let pointer = buffer[index] { messages.append(KafkaMessage(taking: pointer)) } }
        }
    }
}

/// A message of librdkafka, or one of its events in place of one.
final class KafkaMessage {
    private let pointer: UnsafeMutablePointer<rd_kafka_message_t>

    init(taking pointer: UnsafeMutablePointer<rd_kafka_message_t>) { self.pointer = pointer }

    deinit { rd_kafka_message_destroy(self.pointer) }

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
