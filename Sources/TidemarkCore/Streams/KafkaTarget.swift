/// A topic that is written to.
public struct KafkaTarget: Sendable {
    /// `host:port`, one or more.
    public var brokers: [String] = []
    public var topic = ""
    /// Properties of librdkafka, by their names there.
    public var options: [String: String] = [:]
    public init() {}

    /// Properties that are not passed on, each with the reason.
    public static let refusedOptions: [String: String] = {
        let order = "messages of an entity would be repeated, lost, or change places when one is sent again"
        let own = "Tidemark sets it"
        return [
            "bootstrap.servers": "write brokers: [...]", "metadata.broker.list": "write brokers: [...]",
            "enable.idempotence": order, "acks": order, "request.required.acks": order,
            "max.in.flight": order, "max.in.flight.requests.per.connection": order, "message.send.max.retries": order,
            "retries": order, "enable.gapless.guarantee": order,
            "partitioner": "entities are in the partitions that Kafka's own clients would choose",
            "transactional.id": "messages are not sent in transactions", "delivery.report.only.error": own,
            "opaque": own, "plugin.library.paths": "it would load other programs",
        ]
    }()

    /// Kafka allows letters, digits, dots, underscores and hyphens, up to 249 of them.
    /// - Returns: what is wrong with a name, as the end of a sentence; `nil` for a name of a topic.
    public static func mistake(inTopic text: String) -> String? {
        let allowed = { (byte: UInt8) in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard !text.isEmpty, text.utf8.count <= 249, text.utf8.allSatisfy(allowed), text != ".", text != ".." else {
            return
                "is no name of a topic: those have 1 to 249 letters, digits, dots, underscores and hyphens; a pattern begins with ^"
        }
        return nil
    }

    /// What an entity is keyed by in a topic: the text of its key where that is one value, as most producers write it; else
    /// its values as a JSON array.
    /// - Parameter key: the texts of the key's columns, separated by U+0000.
    public static func recordKey(of key: ArraySlice<UInt8>) -> [UInt8] {
        guard key.contains(0) else { return Array(key) }
        let parts = key.split(separator: 0, omittingEmptySubsequences: false)
        return Array(JSONOutput.array(parts.map { String(decoding: $0, as: UTF8.self) }).utf8)
    }
}

extension KafkaTarget: CustomReflectable {
    /// Without the values of options, among which are passwords.
    public var customMirror: Mirror {
        let options = self.options.withoutValues
        return Mirror(
            self,
            children: [
                "brokers": self.brokers, "topic": self.topic, "options": options.names, "optionsDigest": options.digest,
            ],
            displayStyle: .struct
        )
    }
}

extension [String: String] {
    /// The names of options whose values may be secret, and a digest by which two of them are told apart.
    var withoutValues: (names: [String], digest: [UInt8]) {
        let options = self.sorted { $0.key < $1.key }
        let text = options.map { "\($0.key)=\($0.value.utf8.count):\($0.value)" }.joined(separator: "\n")
        return (options.map(\.key), DigestContext.sha256(Array(text.utf8)))
    }
}

/// A message to write to a topic.
package struct OutgoingRecord: Sendable, Hashable {
    /// `nil` has it go to any partition.
    package var key: [UInt8]?
    /// `nil` for a tombstone.
    package var value: [UInt8]?
    package var headers: [(name: String, value: [UInt8]?)] = []
    /// What RocketMQ's consumers choose messages by: the table of an event, or the milestone of a delivery. Kafka has no such
    /// thing.
    package var tag: [UInt8]?

    package init(key: [UInt8]?, value: [UInt8]?, headers: [(name: String, value: [UInt8]?)] = []) {
        self.key = key
        self.value = value
        self.headers = headers
    }

    package static func == (left: OutgoingRecord, right: OutgoingRecord) -> Bool {
        left.key == right.key && left.value == right.value && left.tag == right.tag
            && left.headers.elementsEqual(right.headers) { $0.name == $1.name && $0.value == $1.value }
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.key)
        hasher.combine(self.value)
    }
}
