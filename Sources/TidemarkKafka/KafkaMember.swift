internal import CRdKafka
import Foundation
import Logging
import Synchronization
import TidemarkCore

/// A member of a consumer group, with a thread of its own that polls it.
///
/// librdkafka tells of assignments inside the poll. A partition that comes is assigned paused, and told to the source,
/// which seeks it to its progress once it has the stream's lease. One that goes is given up when the source has released
/// it, which is after the commit of what was read.
final class KafkaMember: @unchecked Sendable {
    enum Event: Sendable {
        /// After each rebalance: partitions that came, of which there may be none.
        case assigned([KafkaPartition])
        /// It, or the reading of one of its partitions, cannot go on.
        case failed(any Error)
        /// Whether a broker answers, with the reason where none does.
        case reachable(Bool, String?)
    }

    let handle: KafkaHandle
    let events: AsyncStream<Event>
    private let sink: AsyncStream<Event>.Continuation
    private let settings: KafkaSourceSettings
    private let logger: Logger
    private let isStopping = Atomic<Bool>(false)
    /// Opened once it has left the group.
    private let left = Gate()
    private let box: CallbackBox
    /// Used by the polling thread alone.
    private var partitions: [TopicPartition: KafkaPartition] = [:]
    /// librdkafka has told that no broker answers.
    private var areBrokersDown = false
    private var nextLook = ContinuousClock.now
    private var wasAssigned = false
    /// Why the last TLS handshake failed; behind it librdkafka tells no more than that brokers are down.
    private var handshakeFailure: String?
    /// Whether the source was told that a broker answers.
    private let isReachable = Atomic<Bool>(false)
    /// When something came from a broker, in nanoseconds of the machine's uptime.
    private let lastContact = Atomic<UInt64>(0)

    /// - Throws: ``BrokerError`` for a setting that librdkafka refuses.
    init(_ settings: KafkaSourceSettings, logger: Logger) throws(BrokerError) {
        self.settings = settings
        self.logger = logger
        (self.events, self.sink) = AsyncStream.makeStream()
        let box = CallbackBox()
        self.box = box
        self.handle = try Self.makeHandle(settings, box)
        box.member = self
    }

    private static func makeHandle(_ settings: KafkaSourceSettings, _ box: CallbackBox) throws(BrokerError)
        -> KafkaHandle
    {
        try KafkaHandle.make(settings.kafka, box) { configuration in
            rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(box).toOpaque())
            rd_kafka_conf_set_rebalance_cb(configuration) { _, code, list, opaque in
                guard let list, let member = CallbackBox.member(opaque) else { return }
                member.rebalance(code, PartitionList.partitions(list))
            }
            rd_kafka_conf_set_offset_commit_cb(configuration) { _, code, list, opaque in
                guard let list, let member = CallbackBox.member(opaque) else { return }
                member.noteCommit(code, list)
            }
            rd_kafka_conf_set_error_cb(configuration) { _, code, reason, opaque in
                CallbackBox.member(opaque)?.note(rd_kafka_resp_err_t(code), reason.map { String(cString: $0) } ?? "")
            }
            rd_kafka_conf_set_log_cb(configuration) { client, level, facility, text in
                guard let client, let box = rd_kafka_opaque(client), let text else { return }
                CallbackBox.member(box)?.log(level, facility.map { String(cString: $0) } ?? "", String(cString: text))
            }
        }
    }

    /// Joins the group, and polls until ``leave()``.
    func start() throws(BrokerError) {
        let list = PartitionList(
            self.settings.kafka.topics.map { TopicPartition(topic: $0, partition: -1) },
            self.handle
        )
        let code = rd_kafka_subscribe(self.handle.pointer, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            self.box.member = nil
            throw BrokerError(
                .operatorNeeded,
                "the topics \(self.settings.kafka.topics.joined(separator: ", ")) cannot be subscribed: "
                    + KafkaHandle.text(of: code),
                remedy: "correct sources: { topics: … }"
            )
        }
        let thread = Thread { self.poll() }
        thread.name = "kafka \(self.settings.source.name)"
        thread.start()
    }

    /// Leaves the group, once the partitions are released: the others of the group need not wait for its silence. The
    /// cancellation of the calling task does not end the wait.
    func leave() async {
        self.isStopping.store(true, ordering: .sequentiallyConsistent)
        await Task.detached { [left = self.left] in try? await left.wait() }.value
    }

    // MARK: The polling thread

    private static let pollMilliseconds: Int32 = 100

    private func poll() {
        while !self.isStopping.load(ordering: .sequentiallyConsistent) {
            self.lookForBrokers()
            guard let pointer = rd_kafka_consumer_poll(self.handle.pointer, Self.pollMilliseconds) else { continue }
            defer { rd_kafka_message_destroy(pointer) }
            let message = KafkaMessage(pointer: pointer)
            guard message.error != RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            self.note(message.error, message.text)
        }
        // All readers have ended. A partition whose assignment the source did not take up has no reader that releases it.
        for partition in self.partitions.values { partition.released.open() }
        self.settleBeforeLeaving()
        if Self.endsWithoutAssignment, !self.wasAssigned, self.hasMetBrokers { self.handle.keep() }
        // It revokes what is assigned, inside the callback.
        rd_kafka_consumer_close(self.handle.pointer)
        self.partitions = [:]
        self.box.member = nil
        self.sink.finish()
        self.left.open()
    }

    /// How long ``leave()`` waits for a member that is joining.
    private static let joinLimit = Duration.seconds(10)
    /// How long a member waits for a name while brokers answer; the request for one may be under way.
    private static let nameLimit = Duration.seconds(2)

    /// librdkafka before 2.3 ends the process where a client is destroyed between the answer to its first JoinGroup and its
    /// first assignment (https://github.com/confluentinc/librdkafka/pull/4381).
    private static let endsWithoutAssignment = rd_kafka_version() < 0x0203_0000

    /// Once the group has given the member a name, polls until it gives an assignment, however long that takes: the client can
    /// be destroyed then, and its threads end. ``leave()`` waits for ``joinLimit`` at most. A name that the group took back
    /// before it gave an assignment leaves a client that cannot be destroyed, and is kept.
    private func settleBeforeLeaving() {
        guard Self.endsWithoutAssignment else { return }
        let start = ContinuousClock.now
        while !self.wasAssigned {
            let waited = ContinuousClock.now - start
            guard self.isJoining || (waited < Self.nameLimit && self.hasMetBrokers) else { return }
            if waited > Self.joinLimit { self.left.open() }
            if let event = rd_kafka_consumer_poll(self.handle.pointer, Self.pollMilliseconds) {
                rd_kafka_message_destroy(event)
            }
        }
    }

    /// A broker has said which cluster it is of, without which there is no request to join.
    private var hasMetBrokers: Bool {
        guard let cluster = rd_kafka_clusterid(self.handle.pointer, 0) else { return false }
        rd_kafka_mem_free(self.handle.pointer, cluster)
        return true
    }

    /// The coordinator has given it a name.
    private var isJoining: Bool {
        guard let name = rd_kafka_memberid(self.handle.pointer) else { return false }
        defer { rd_kafka_mem_free(self.handle.pointer, name) }
        return name.pointee != 0
    }

    /// A broker is asked after so long without a word, the group's heartbeat, and given up after three of them.
    private static let heartbeat: UInt64 = 3_000_000_000

    /// Asks for metadata while all brokers are down, because librdkafka tells of their return by the next message alone,
    /// and while nothing comes: it tells of a broker that is silent on an open connection only after minutes.
    private func lookForBrokers() {
        let now = ContinuousClock.now
        guard self.wasAssigned, self.nextLook <= now else { return }
        let silence = DispatchTime.now().uptimeNanoseconds &- self.lastContact.load(ordering: .relaxed)
        guard self.areBrokersDown || silence > Self.heartbeat else { return }
        self.nextLook = now + .seconds(2)
        var metadata: UnsafePointer<rd_kafka_metadata>?
        guard rd_kafka_metadata(self.handle.pointer, 0, nil, &metadata, 1000) == RD_KAFKA_RESP_ERR_NO_ERROR else {
            if !self.areBrokersDown, silence > 3 * Self.heartbeat {
                self.areBrokersDown = true
                self.lose("no broker answers: none has for \(silence / 1_000_000_000) s")
            }
            return
        }
        rd_kafka_metadata_destroy(metadata)
        self.areBrokersDown = false
        self.noteContact()
    }

    /// The partitions that the topics of this client have now. Any thread may ask.
    /// - Returns: `nil` where no broker says.
    func partitions(of topics: Set<String>) async -> [String: [TopicPartition]]? {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: self.askForPartitions(of: topics)) }
        }
    }

    private func askForPartitions(of topics: Set<String>) -> [String: [TopicPartition]]? {
        var answer: UnsafePointer<rd_kafka_metadata>?
        // Without a topic, of all that the client knows.
        guard rd_kafka_metadata(self.handle.pointer, 0, nil, &answer, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR, let answer
        else {
            return nil
        }
        defer { rd_kafka_metadata_destroy(answer) }
        var found: [String: [TopicPartition]] = [:]
        for topic in UnsafeBufferPointer(start: answer.pointee.topics, count: Int(answer.pointee.topic_cnt)) {
            let name = String(cString: topic.topic)
            guard topics.contains(name), topic.err == RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
            found[name] = UnsafeBufferPointer(start: topic.partitions, count: Int(topic.partition_cnt)).map {
                TopicPartition(topic: name, partition: $0.id)
            }
        }
        return found
    }

    private func rebalance(_ code: rd_kafka_resp_err_t, _ changed: [TopicPartition]) {
        let isCooperative =
            rd_kafka_rebalance_protocol(self.handle.pointer).map { String(cString: $0) == "COOPERATIVE" } ?? false
        switch code {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS: self.assign(changed, isCooperative)
        default: self.revoke(isCooperative ? changed : Array(self.partitions.keys), isCooperative)
        }
    }

    private func assign(_ added: [TopicPartition], _ isCooperative: Bool) {
        self.wasAssigned = true
        self.handshakeFailure = nil
        let partitions = added.compactMap { added -> KafkaPartition? in
            let id = TopicPartition(topic: added.topic, partition: added.partition)
            guard let queue = KafkaQueue(id, of: self.handle) else { return nil }
            return KafkaPartition(id, of: self.handle, queue)
        }
        let list = PartitionList(
            added.map { .init(topic: $0.topic, partition: $0.partition, offset: Int64(RD_KAFKA_OFFSET_BEGINNING)) },
            self.handle
        )
        self.report(
            isCooperative
                ? rd_kafka_incremental_assign(self.handle.pointer, list.pointer)
                : nil,
            isCooperative ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_assign(self.handle.pointer, list.pointer),
            "taking"
        )
        // Until the source knows where it goes on.
        rd_kafka_pause_partitions(self.handle.pointer, list.pointer)
        for partition in partitions {
            self.partitions[partition.id] = partition
            if self.isStopping.load(ordering: .sequentiallyConsistent) { partition.released.open() }
        }
        self.sink.yield(.assigned(partitions))
        self.noteContact()
        guard !added.isEmpty else { return }
        self.logger.info(
            "the group has given \(added.count) partition\(added.count == 1 ? "" : "s")",
            metadata: ["source": "\(self.settings.source.name)", "in_all": "\(self.partitions.count)"]
        )
    }

    private func revoke(_ lost: [TopicPartition], _ isCooperative: Bool) {
        let ids = lost.map { TopicPartition(topic: $0.topic, partition: $0.partition) }
        let partitions = ids.compactMap { self.partitions[$0] }
        for partition in partitions { partition.revoke() }
        let deadline = DispatchTime.now() + .milliseconds(Int(self.settings.drainTimeout / .milliseconds(1)))
        for partition in partitions {
            let released = DispatchSemaphore(value: 0)
            Task {
                try? await partition.released.wait()
                released.signal()
            }
            if released.wait(timeout: deadline) == .timedOut {
                self.logger.warning(
                    "\(partition.id.name) is given up before what was read of it is committed; it is read again",
                    metadata: ["source": "\(self.settings.source.name)"]
                )
            }
            self.partitions[partition.id] = nil
        }
        let list = PartitionList(ids, self.handle)
        // A pause outlives the assignment.
        rd_kafka_resume_partitions(self.handle.pointer, list.pointer)
        self.report(
            isCooperative
                ? rd_kafka_incremental_unassign(self.handle.pointer, list.pointer)
                : nil,
            isCooperative ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_assign(self.handle.pointer, nil),
            "giving up"
        )
    }

    /// What became of offsets that the group was told.
    private func noteCommit(_ code: rd_kafka_resp_err_t, _ list: UnsafePointer<rd_kafka_topic_partition_list_t>) {
        for index in 0..<Int(list.pointee.cnt) {
            let element = list.pointee.elems[index]
            let failure = element.err == RD_KAFKA_RESP_ERR_NO_ERROR ? code : element.err
            guard failure != RD_KAFKA_RESP_ERR_NO_ERROR, failure != RD_KAFKA_RESP_ERR__NO_OFFSET else { continue }
            let id = TopicPartition(topic: String(cString: element.topic), partition: element.partition)
            self.partitions[id]?.isUntold.store(true, ordering: .relaxed)
            self.logger.debug("\(id.name): the group did not take an offset: \(KafkaHandle.text(of: failure))")
        }
    }

    private func report(_ error: OpaquePointer?, _ code: rd_kafka_resp_err_t, _ what: String) {
        var reason = code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaHandle.text(of: code)
        if let error {
            reason = String(cString: rd_kafka_error_string(error))
            rd_kafka_error_destroy(error)
        }
        guard let reason else { return }
        self.logger.warning(
            "\(what) partitions failed: \(reason)",
            metadata: ["source": "\(self.settings.source.name)"]
        )
    }

    // MARK: What librdkafka tells

    /// An error of the client. Errors are served by the poll, so this runs on the polling thread.
    private func note(_ code: rd_kafka_resp_err_t, _ reason: String) {
        switch code {
        case RD_KAFKA_RESP_ERR__FATAL:
            self.sink.yield(
                .failed(
                    BrokerError(
                        .retryable,
                        self.handle.fatalError ?? reason,
                        remedy: "it joins the group anew by itself"
                    )
                )
            )
        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
            self.areBrokersDown = true
            self.lose("no broker answers: \(self.handshakeFailure ?? reason)\(self.hintOfEncryption)")
        case RD_KAFKA_RESP_ERR__SSL:
            self.handshakeFailure = reason
            self.lose(reason)
        case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
            RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
            self.lose(reason)
        default:
            self.logger.debug("\(KafkaHandle.name(of: code)): \(reason)")
        }
    }

    /// Has ``events`` end the source with the failure of a partition's reading.
    func fail(_ error: any Error) { self.sink.yield(.failed(error)) }

    /// A broker without TLS hangs up on a client that begins with it, and librdkafka does not say so.
    private var hintOfEncryption: String {
        let security = self.settings.kafka.options["security.protocol"]?.uppercased() ?? ""
        guard self.handshakeFailure == nil, security.hasSuffix("SSL"), !self.wasAssigned else { return "" }
        return "; security.protocol is \(security), and a listener without TLS answers nothing"
    }

    private func lose(_ reason: String) {
        self.isReachable.store(false, ordering: .relaxed)
        self.sink.yield(.reachable(false, reason))
    }

    /// Something has come from a broker.
    func noteContact() {
        self.lastContact.store(DispatchTime.now().uptimeNanoseconds, ordering: .relaxed)
        guard !self.isReachable.exchange(true, ordering: .relaxed) else { return }
        self.sink.yield(.reachable(true, nil))
    }

    private func log(_ level: Int32, _ facility: String, _ text: String) {
        // At debug level, because a lost connection is logged at each attempt; the source's state tells of it once.
        self.logger.debug("librdkafka: \(facility): \(text)")
    }
}

/// What callbacks find their member by. It outlives the client.
private final class CallbackBox: @unchecked Sendable {
    private let state = Mutex<KafkaMember?>(nil)

    var member: KafkaMember? {
        get { self.state.withLock { $0 } }
        set { self.state.withLock { $0 = newValue } }
    }

    static func member(_ opaque: UnsafeMutableRawPointer?) -> KafkaMember? {
        opaque.map { Unmanaged<CallbackBox>.fromOpaque($0).takeUnretainedValue().member } ?? nil
    }
}
