internal import CRdKafka
import Synchronization
import TidemarkCore

/// A client of librdkafka. It may be called from any thread; it is destroyed with its last reference, which is behind
/// that of every list and queue that was made with it.
final class KafkaHandle: @unchecked Sendable {
    let pointer: OpaquePointer
    /// What callbacks are given, which come until the client is gone.
    private let opaque: AnyObject?
    /// Signalled by the queues of partitions, for as long as the client is there.
    private let wakeups = Mutex<[TopicPartition: Wakeup]>([:])

    init(taking pointer: OpaquePointer, _ opaque: AnyObject?) {
        self.pointer = pointer
        self.opaque = opaque
    }

    deinit { rd_kafka_destroy(self.pointer) }

    private static let kept = Mutex<[KafkaHandle]>([])

    /// Has the client outlive its last reference, with its threads and sockets.
    func keep() { Self.kept.withLock { $0.append(self) } }

    /// One for each partition, however many queues it has had.
    func wakeup(of partition: TopicPartition) -> Wakeup {
        self.wakeups.withLock { wakeups in
            if let known = wakeups[partition] { return known }
            let wakeup = Wakeup()
            wakeups[partition] = wakeup
            return wakeup
        }
    }

    enum Role {
        case consumer, producer

        fileprivate var type: rd_kafka_type_t { self == .consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER }
        /// Where its options stand.
        fileprivate var remedy: String { "correct \(self == .consumer ? "sources: { options: … }" : "its options")" }
    }

    /// A consumer.
    static func make(
        _ settings: KafkaSettings,
        _ opaque: AnyObject?,
        _ prepare: (OpaquePointer?) -> Void = { _ in }
    ) throws(BrokerError) -> KafkaHandle {
        try self.make(.consumer, settings.properties, opaque, prepare)
    }

    /// - Parameter prepare: sets the callbacks.
    /// - Throws: ``BrokerError``, naming a setting that librdkafka refuses.
    static func make(
        _ role: Role,
        _ properties: [(String, String)],
        _ opaque: AnyObject?,
        _ prepare: (OpaquePointer?) -> Void = { _ in }
    ) throws(BrokerError) -> KafkaHandle {
        let configuration = rd_kafka_conf_new()
        var text = [CChar](repeating: 0, count: 512)
        func refused(_ what: String) -> BrokerError {
            let reason = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            return BrokerError(.operatorNeeded, "\(what): \(reason)", remedy: role.remedy)
        }
        for (name, value) in properties {
            guard rd_kafka_conf_set(configuration, name, value, &text, text.count) == RD_KAFKA_CONF_OK else {
                rd_kafka_conf_destroy(configuration)
                throw refused("option \(name) is refused")
            }
        }
        // librdkafka's own would write to standard error.
        rd_kafka_conf_set_log_cb(configuration) { _, _, _, _ in }
        prepare(configuration)
        guard let pointer = rd_kafka_new(role.type, configuration, &text, text.count) else {
            rd_kafka_conf_destroy(configuration)
            throw refused("the \(role) cannot be made")
        }
        let handle = KafkaHandle(taking: pointer, opaque)
        if role == .consumer { rd_kafka_poll_set_consumer(pointer) }
        return handle
    }

    /// A client that joins no group.
    static func standalone(_ settings: KafkaSourceSettings) throws(BrokerError) -> KafkaHandle {
        try self.make(settings.kafka, nil)
    }

    /// Why the client can do nothing more; `nil` while it can.
    var fatalError: String? {
        var text = [CChar](repeating: 0, count: 512)
        guard rd_kafka_fatal_error(self.pointer, &text, text.count) != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    static func name(of code: rd_kafka_resp_err_t) -> String { String(cString: rd_kafka_err2name(code)) }
    static func text(of code: rd_kafka_resp_err_t) -> String { String(cString: rd_kafka_err2str(code)) }
}

/// Partitions of topics with an offset each.
struct TopicPartition: Hashable, Sendable {
    var topic: String
    var partition: Int32
    /// The next message to read; negative ones are librdkafka's own words.
    var offset = Int64(RD_KAFKA_OFFSET_INVALID)

    func at(_ offset: Int64) -> TopicPartition {
        TopicPartition(topic: self.topic, partition: self.partition, offset: offset)
    }

    /// As librdkafka and its tools write it.
    var name: String { "\(self.topic)[\(self.partition)]" }
}

/// Owns a list of partitions for librdkafka. It has to be gone before the client is.
struct PartitionList: ~Copyable {
    let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>
    private let handle: KafkaHandle

    init(_ partitions: [TopicPartition], _ handle: KafkaHandle) {
        self.handle = handle
        self.pointer = rd_kafka_topic_partition_list_new(Int32(partitions.count))
        for partition in partitions {
            rd_kafka_topic_partition_list_add(self.pointer, partition.topic, partition.partition).pointee.offset =
                partition.offset
        }
    }

    deinit { rd_kafka_topic_partition_list_destroy(self.pointer) }

    static func partitions(_ list: UnsafePointer<rd_kafka_topic_partition_list_t>) -> [TopicPartition] {
        (0..<Int(list.pointee.cnt)).map { index in
            let element = list.pointee.elems[index]
            return TopicPartition(
                topic: String(cString: element.topic),
                partition: element.partition,
                offset: element.offset
            )
        }
    }
}
