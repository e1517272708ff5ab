internal import CRdKafka

/// librdkafka's mock cluster with a producer, for tests, in a process of its own: a test's end does not take the brokers
/// away from a member that is leaving. It keeps 5 MB a partition.
final class Mock {
    private let client: OpaquePointer
    private let cluster: OpaquePointer
    private var producer: OpaquePointer
    private let brokers: Int32

    struct Failure: Error { var text: String }

    init(brokers: Int32) throws(Failure) {
        let client = try Self.producer([])
        guard let cluster = rd_kafka_mock_cluster_new(client, brokers) else {
            throw Failure(text: "no mock cluster")
        }
        (self.brokers, self.client, self.cluster) = (brokers, client, cluster)
        self.producer = try Self.producer([
            ("bootstrap.servers", String(cString: rd_kafka_mock_cluster_bootstraps(cluster))),
            // The cluster answers a fetch with one batch of a partition.
            ("partitioner", "murmur2_random"), ("linger.ms", "20"),
        ])
    }

    private static func producer(_ properties: [(String, String)]) throws(Failure) -> OpaquePointer {
        try self.client(RD_KAFKA_PRODUCER, properties)
    }

    private static func client(
        _ type: rd_kafka_type_t,
        _ properties: [(String, String)]
    ) throws(Failure) -> OpaquePointer {
        let configuration = rd_kafka_conf_new()
        var text = [CChar](repeating: 0, count: 512)
        for (name, value) in properties {
            guard rd_kafka_conf_set(configuration, name, value, &text, text.count) == RD_KAFKA_CONF_OK else {
                throw Failure(text: "\(name)=\(value)")
            }
        }
        guard let client = rd_kafka_new(type, configuration, &text, text.count) else {
            throw Failure(text: "no client")
        }
        return client
    }

    /// Has another producer send from now on, with other properties.
    private func useProducer(_ properties: ArraySlice<Substring>) throws(Failure) {
        let given = properties.map { property in
            let parts = property.split(separator: "=", maxSplits: 1).map(String.init)
            return (parts[0], parts[1])
        }
        rd_kafka_flush(self.producer, 60_000)
        rd_kafka_destroy(self.producer)
        self.producer = try Self.producer(
            [("bootstrap.servers", self.bootstrap), ("partitioner", "murmur2_random")] + given
        )
    }

    /// Says what is in a partition: a line for each message, its key, its value and its headers separated by tabs.
    private func read(_ topic: String, _ partition: Int32, _ say: (String) -> Void) throws(Failure) {
        let consumer = try Self.client(
            RD_KAFKA_CONSUMER,
            [("bootstrap.servers", self.bootstrap), ("group.id", "reader"), ("enable.partition.eof", "true")]
        )
        rd_kafka_poll_set_consumer(consumer)
        let list = rd_kafka_topic_partition_list_new(1)
        rd_kafka_topic_partition_list_add(list, topic, partition).pointee.offset = 0
        rd_kafka_assign(consumer, list)
        rd_kafka_topic_partition_list_destroy(list)
        while let message = rd_kafka_consumer_poll(consumer, 20_000) {
            defer { rd_kafka_message_destroy(message) }
            if message.pointee.err == RD_KAFKA_RESP_ERR__PARTITION_EOF { break }
            guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            say(Self.line(of: message))
        }
        rd_kafka_consumer_close(consumer)
        rd_kafka_destroy(consumer)
    }

    private func committed(_ group: String, _ topic: String, _ count: Int32) throws(Failure) -> String {
        let consumer = try Self.client(
            RD_KAFKA_CONSUMER,
            [("bootstrap.servers", self.bootstrap), ("group.id", group)]
        )
        defer { rd_kafka_destroy(consumer) }
        let list = rd_kafka_topic_partition_list_new(count)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        for partition in 0..<count { rd_kafka_topic_partition_list_add(list, topic, partition) }
        try self.check(rd_kafka_committed(consumer, list, 20_000))
        guard let list else { return "" }
        return (0..<Int(list.pointee.cnt)).map { "\(list.pointee.elems[$0].offset)" }.joined(separator: " ")
    }

    private static func line(of message: UnsafeMutablePointer<rd_kafka_message_t>) -> String {
        func text(_ pointer: UnsafeRawPointer?, _ count: Int) -> String {
            pointer.map { String(decoding: UnsafeRawBufferPointer(start: $0, count: count), as: UTF8.self) } ?? "\\N"
        }
        var words = [
            text(message.pointee.key, message.pointee.key_len), text(message.pointee.payload, message.pointee.len),
        ]
        var list: OpaquePointer?
        guard rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR else {
            return words.joined(separator: "\t")
        }
        var (name, value, count) = (nil as UnsafePointer<CChar>?, nil as UnsafeRawPointer?, 0)
        while rd_kafka_header_get_all(list, words.count - 2, &name, &value, &count) == RD_KAFKA_RESP_ERR_NO_ERROR {
            words.append("\(name.map { String(cString: $0) } ?? "")=\(text(value, count))")
        }
        return words.joined(separator: "\t")
    }

    var bootstrap: String { String(cString: rd_kafka_mock_cluster_bootstraps(self.cluster)) }

    /// One command, its words separated by tabs:
    ///
    ///     topic NAME PARTITIONS
    ///     send TOPIC PARTITION KEY VALUE [NAME=VALUE …]
    ///                                         a partition of -1 is chosen by the key; \N is no key, or a tombstone;
    ///                                         headers behind the value
    ///     flush                               until all that was sent is stored
    ///     producer [NAME=VALUE …]             with which properties of librdkafka to send from now on
    ///     read TOPIC PARTITION                says each message before it answers
    ///     committed GROUP TOPIC PARTITIONS    says the offsets that a group has committed, separated by spaces
    ///     down BROKER, up BROKER              all of them for 0
    ///     delay BROKER MILLISECONDS           of each answer
    ///     leader TOPIC PARTITION BROKER
    ///     coordinator GROUP BROKER
    ///     fail API CODE TIMES                 the next requests of an API fail
    func perform(_ words: [Substring], _ say: (String) -> Void) throws(Failure) {
        func number(_ index: Int) -> Int32 { index < words.count ? Int32(words[index]) ?? 0 : 0 }
        func text(_ index: Int) -> String { index < words.count ? String(words[index]) : "" }
        switch text(0) {
        case "topic": try self.check(rd_kafka_mock_topic_create(self.cluster, text(1), number(2), 1))
        case "send": try self.send(text(1), number(2), text(3), text(4), headers: words.dropFirst(5))
        case "producer": try self.useProducer(words.dropFirst())
        case "read": try self.read(text(1), number(2), say)
        case "committed": say(try self.committed(text(1), text(2), number(3)))
        case "flush": try self.check(rd_kafka_flush(self.producer, 60_000))
        case "down": try self.each(number(1)) { rd_kafka_mock_broker_set_down(self.cluster, $0) }
        case "up": try self.each(number(1)) { rd_kafka_mock_broker_set_up(self.cluster, $0) }
        case "delay": try self.each(number(1)) { rd_kafka_mock_broker_set_rtt(self.cluster, $0, number(2)) }
        case "leader":
            try self.check(rd_kafka_mock_partition_set_leader(self.cluster, text(1), number(2), number(3)))
        case "coordinator":
            try self.check(rd_kafka_mock_coordinator_set(self.cluster, "group", text(1), number(2)))
        case "fail":
            let codes = [rd_kafka_resp_err_t](repeating: rd_kafka_resp_err_t(number(2)), count: Int(number(3)))
            rd_kafka_mock_push_request_errors_array(self.cluster, Int16(number(1)), codes.count, codes)
        default: throw Failure(text: "no such command: \(text(0))")
        }
    }

    private func check(_ code: rd_kafka_resp_err_t) throws(Failure) {
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw Failure(text: String(cString: rd_kafka_err2str(code))) }
    }

    private func each(_ broker: Int32, _ step: (Int32) -> rd_kafka_resp_err_t) throws(Failure) {
        for broker in broker == 0 ? Array(1...self.brokers) : [broker] { try self.check(step(broker)) }
    }

    private func send(
        _ topic: String,
        _ partition: Int32,
        _ key: String,
        _ value: String,
        headers: ArraySlice<Substring>
    ) throws(Failure) {
        guard let handle = rd_kafka_topic_new(self.producer, topic, nil) else { throw Failure(text: "no topic") }
        defer { rd_kafka_topic_destroy(handle) }
        guard headers.isEmpty else {
            try self.send(handle, partition, key, value, Self.list(headers))
            return
        }
        let (key, value) = (key == "\\N" ? nil : Array(key.utf8), value == "\\N" ? nil : Array(value.utf8))
        while true {
            let status = Self.withBytes(key) { key, keyCount in
                Self.withBytes(value) { value, count in
                    rd_kafka_produce(
                        handle,
                        partition,
                        RD_KAFKA_MSG_F_COPY,
                        UnsafeMutableRawPointer(mutating: value),
                        count,
                        key,
                        keyCount,
                        nil
                    )
                }
            }
            rd_kafka_poll(self.producer, 0)
            if status == 0 { return }
            let code = rd_kafka_last_error()
            guard code == RD_KAFKA_RESP_ERR__QUEUE_FULL else { return try self.check(code) }
            rd_kafka_poll(self.producer, 100)
        }
    }

    private static func list(_ headers: ArraySlice<Substring>) -> OpaquePointer? {
        let list = rd_kafka_headers_new(headers.count)
        for header in headers {
            let parts = header.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            rd_kafka_header_add(list, parts[0], -1, parts[parts.count - 1], -1)
        }
        return list
    }

    private func send(
        _ topic: OpaquePointer,
        _ partition: Int32,
        _ key: String,
        _ value: String,
        _ headers: OpaquePointer?
    ) throws(Failure) {
        let (key, value) = (key == "\\N" ? nil : Array(key.utf8), value == "\\N" ? nil : Array(value.utf8))
        let error = Self.withBytes(key) { key, keyCount in
            Self.withBytes(value) { value, count in
                var values = [rd_kafka_vu_t](repeating: rd_kafka_vu_t(), count: 6)
                values[0].vtype = RD_KAFKA_VTYPE_RKT
                values[0].u.rkt = topic
                values[1].vtype = RD_KAFKA_VTYPE_PARTITION
                values[1].u.i32 = partition
                values[2].vtype = RD_KAFKA_VTYPE_VALUE
                values[2].u.mem = .init(ptr: UnsafeMutableRawPointer(mutating: value), size: count)
                values[3].vtype = RD_KAFKA_VTYPE_KEY
                values[3].u.mem = .init(ptr: UnsafeMutableRawPointer(mutating: key), size: keyCount)
                values[4].vtype = RD_KAFKA_VTYPE_MSGFLAGS
                values[4].u.i = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK
                values[5].vtype = RD_KAFKA_VTYPE_HEADERS
                values[5].u.headers = headers
                return rd_kafka_produceva(self.producer, &values, values.count)
            }
        }
        guard let error else { return }
        defer { rd_kafka_error_destroy(error) }
        throw Failure(text: String(cString: rd_kafka_error_string(error)))
    }

    /// What is empty has an address, what is not there has none.
    private static func withBytes<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawPointer?, Int) -> R) -> R {
        guard let bytes else { return body(nil, 0) }
        return (bytes + [0]).withUnsafeBytes { body($0.baseAddress, bytes.count) }
    }
}
