internal import CRdKafka
import Foundation
import Synchronization
package import TidemarkCore

/// Writes to a topic: idempotent, acknowledged by all replicas in sync, each key in the partition that Kafka's own clients
/// choose for it (murmur2).
package final class KafkaProducer: Sendable {
    private let handle: KafkaHandle
    private let topic: String
    private let poller: KafkaPoller
    private let bytesMax: Int

    /// - Throws: ``BrokerError``, naming a setting that librdkafka refuses.
    package init(_ target: KafkaTarget) throws(BrokerError) {
        self.topic = target.topic
        self.bytesMax = target.options["message.max.bytes"].flatMap { Int($0) } ?? 1_000_000
        let handle = try KafkaHandle.make(.producer, target.properties, nil) { configuration in
            rd_kafka_conf_set_dr_msg_cb(configuration) { _, message, _ in
                guard let message, let opaque = message.pointee._private else { return }
                Unmanaged<Batch>.fromOpaque(opaque).takeUnretainedValue().note(message.pointee.err)
            }
        }
        self.handle = handle
        self.poller = KafkaPoller(handle)
    }

    deinit { self.poller.stop() }

    /// Why no client can be made with the settings; `nil` where one can.
    package static func problem(with target: KafkaTarget) -> String? {
        do throws(BrokerError) {
            _ = try KafkaHandle.make(.producer, target.properties, nil)
            return nil
        } catch {
            return error.description
        }
    }

    /// Returns once a broker has told of the topic.
    /// - Throws: ``BrokerError`` where none does within ten seconds.
    package func check() async throws {
        let (handle, topic) = (self.handle, self.topic)
        let code = await withCheckedContinuation { (continuation: CheckedContinuation<rd_kafka_resp_err_t, Never>) in
            let thread = Thread {
                guard let name = rd_kafka_topic_new(handle.pointer, topic, nil) else {
                    return continuation.resume(returning: rd_kafka_last_error())
                }
                defer { rd_kafka_topic_destroy(name) }
                var metadata: UnsafePointer<rd_kafka_metadata>?
                var code = rd_kafka_metadata(handle.pointer, 0, name, &metadata, 10_000)
                if let found = metadata {
                    if found.pointee.topic_cnt > 0 { code = found.pointee.topics[0].err }
                    rd_kafka_metadata_destroy(found)
                }
                // A topic that brokers create by themselves is not there yet.
                continuation.resume(
                    returning: code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ? RD_KAFKA_RESP_ERR_NO_ERROR : code
                )
            }
            thread.start()
        }
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        throw Self.error(code, topic, handle)
    }

    /// Writes records, in their order in each partition, and returns when all are stored. Nothing is written where one of
    /// them is longer than the client sends (`message.max.bytes`).
    /// - Throws: ``BrokerError``; some of them may be stored then. `CancellationError`.
    package func send(_ records: [OutgoingRecord]) async throws {
        guard !records.isEmpty else { return }
        if let longest = records.map(\.byteCount).max(), longest > self.bytesMax {
            throw BrokerError(
                .operatorNeeded,
                "topic \(self.topic): a message of \(longest) bytes is longer than message.max.bytes (\(self.bytesMax))",
                remedy: "raise message.max.bytes (options), and max.message.bytes of the topic"
            )
        }
        let batch = Batch(count: records.count)
        let handle = self.handle
        guard let name = rd_kafka_topic_new(handle.pointer, self.topic, nil) else {
            throw BrokerError(
                .operatorNeeded,
                "topic \(self.topic): \(KafkaHandle.text(of: rd_kafka_last_error()))",
                remedy: "correct topic and options"
            )
        }
        defer { rd_kafka_topic_destroy(name) }
        await withTaskCancellationHandler {
            for record in records {
                while let code = record.produce(to: name, batch, handle) {
                    guard code == RD_KAFKA_RESP_ERR__QUEUE_FULL, !Task.isCancelled else {
                        batch.note(code)
                        break
                    }
                    // Back-pressure: its queue has room again once brokers have answered, and librdkafka has no callback
                    // for that.
                    try? await Task.sleep(for: .milliseconds(5))
                }
            }
            await batch.wait()
        } onCancel: {
            // Their reports come at once.
            rd_kafka_purge(handle.pointer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
        }
        try Task.checkCancellation()
        if let code = batch.failure { throw Self.error(code, self.topic, handle) }
    }

    private static func error(_ code: rd_kafka_resp_err_t, _ topic: String, _ handle: KafkaHandle) -> BrokerError {
        let text = handle.fatalError ?? KafkaHandle.text(of: code)
        switch code {
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
            return BrokerError(
                .operatorNeeded,
                "topic \(topic): a message is larger than the broker or the client takes: \(text)",
                remedy: "raise message.max.bytes (options) and max.message.bytes of the topic"
            )
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
            return BrokerError(
                .operatorNeeded,
                "topic \(topic): \(text)",
                remedy: "grant WRITE on the topic, and IDEMPOTENT_WRITE on the cluster where the broker asks for it"
            )
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
            return BrokerError(.operatorNeeded, "topic \(topic): \(text)", remedy: "create the topic")
        default:
            return BrokerError(.retryable, "topic \(topic): \(text)", remedy: "it is tried again by itself")
        }
    }
}

/// Serves the reports of a producer, on a thread of its own: a pool's threads are too few to wait on.
private final class KafkaPoller: Sendable {
    private let isStopped = Atomic<Bool>(false)

    init(_ handle: KafkaHandle) {
        let thread = Thread { [self] in
            while !self.isStopped.load(ordering: .acquiring) { rd_kafka_poll(handle.pointer, 100) }
        }
        thread.name = "kafka producer"
        thread.start()
    }

    func stop() { self.isStopped.store(true, ordering: .releasing) }
}

/// Counts the reports of messages that were sent together.
private final class Batch: Sendable {
    private struct State {
        var remaining: Int
        var failure: rd_kafka_resp_err_t?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>

    init(count: Int) { self.state = Mutex(State(remaining: count)) }

    func note(_ code: rd_kafka_resp_err_t) {
        let waiter = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.remaining -= 1
            if code != RD_KAFKA_RESP_ERR_NO_ERROR, state.failure == nil { state.failure = code }
            return state.remaining == 0 ? state.waiter.take() : nil
        }
        waiter?.resume()
    }

    /// Returns once every message has its report.
    func wait() async {
        await withCheckedContinuation { continuation in
            let isDone = self.state.withLock { state in
                if state.remaining > 0 { state.waiter = continuation }
                return state.remaining == 0
            }
            if isDone { continuation.resume() }
        }
    }

    var failure: rd_kafka_resp_err_t? { self.state.withLock { $0.failure } }
}

extension OutgoingRecord {
    /// About what a broker counts of it.
    fileprivate var byteCount: Int {
        self.headers.reduce((self.key?.count ?? 0) + (self.value?.count ?? 0)) { count, header in
            count + header.name.utf8.count + (header.value?.count ?? 0)
        }
    }

    /// Gives the record to librdkafka, which copies it.
    /// - Returns: `nil` where a report follows.
    fileprivate func produce(to topic: OpaquePointer, _ batch: Batch, _ handle: KafkaHandle) -> rd_kafka_resp_err_t? {
        let headers = self.list
        let code = Self.withBytes(self.key) { key, keyCount in
            Self.withBytes(self.value) { value, count in
                var values = [rd_kafka_vu_t](repeating: rd_kafka_vu_t(), count: headers == nil ? 5 : 6)
                values[0].vtype = RD_KAFKA_VTYPE_RKT
                values[0].u.rkt = topic
                values[1].vtype = RD_KAFKA_VTYPE_VALUE
                values[1].u.mem = .init(ptr: UnsafeMutableRawPointer(mutating: value), size: count)
                values[2].vtype = RD_KAFKA_VTYPE_KEY
                values[2].u.mem = .init(ptr: UnsafeMutableRawPointer(mutating: key), size: keyCount)
                values[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS
                values[3].u.i = RD_KAFKA_MSG_F_COPY
                values[4].vtype = RD_KAFKA_VTYPE_OPAQUE
                values[4].u.ptr = Unmanaged.passUnretained(batch).toOpaque()
                if headers != nil {
                    values[5].vtype = RD_KAFKA_VTYPE_HEADERS
                    values[5].u.headers = headers
                }
                return Self.produce(&values, handle)
            }
        }
        // librdkafka owns them only where the message is taken.
        if code != nil, let headers { rd_kafka_headers_destroy(headers) }
        return code
    }

    private static func produce(_ values: inout [rd_kafka_vu_t], _ handle: KafkaHandle) -> rd_kafka_resp_err_t? {
        guard let error = rd_kafka_produceva(handle.pointer, &values, values.count) else { return nil }
        defer { rd_kafka_error_destroy(error) }
        return rd_kafka_error_code(error)
    }

    private var list: OpaquePointer? {
        guard !self.headers.isEmpty else { return nil }
        let list = rd_kafka_headers_new(self.headers.count)
        for header in self.headers {
            _ = Self.withBytes(header.value) { value, count in
                rd_kafka_header_add(list, header.name, -1, value, count)
            }
        }
        return list
    }

    /// What is empty has an address, what is not there has none.
    private static func withBytes<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawPointer?, Int) -> R) -> R {
        guard let bytes else { return body(nil, 0) }
        guard !bytes.isEmpty else { return withUnsafeBytes(of: 0 as UInt8) { body($0.baseAddress, 0) } }
        return bytes.withUnsafeBytes { body($0.baseAddress, $0.count) }
    }
}

extension KafkaTarget {
    /// The configuration of a producer, in order.
    var properties: [(String, String)] {
        [
            ("bootstrap.servers", self.brokers.joined(separator: ",")),
            ("client.id", "tidemark"),
            // With it at most five requests are under way, and one that is sent again keeps its place.
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("linger.ms", "5"),
            // What is not stored by then is sent again by the caller, who knows what came before.
            ("message.timeout.ms", "30000"),
        ] + self.options.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}
