/// What a source of Kafka reads, and how.
public struct KafkaSettings: Sendable {
    /// Where a partition without progress is begun.
    public enum Start: String, Sendable, CaseIterable { case earliest, latest, fail }

    /// What happens when messages that were not read yet are gone, or the topic is another one.
    public enum LostHistory: String, Sendable, CaseIterable { case stop, earliest }

    /// What happens with partitions that a topic gets later, where entities are ordered by their offsets.
    public enum AddedPartitions: String, Sendable, CaseIterable { case stop, earliest }

    /// `host:port`, one or more.
    public var brokers: [String] = []
    /// Names of topics, or regular expressions that begin with `^`.
    public var topics: [String] = []
    /// The consumer group: its members share the partitions.
    public var group = ""
    public var start = Start.earliest
    public var lostHistory = LostHistory.stop
    public var addedPartitions = AddedPartitions.stop
    /// Properties of librdkafka, by their names there.
    public var options: [String: String] = [:]
    public init() {}

    /// What is wrong with the name of a topic, or a pattern of names; `nil` for one of these.
    public static func mistake(inTopic text: String) -> String? {
        text.hasPrefix("^") ? nil : KafkaTarget.mistake(inTopic: text)
    }

    /// Whether the source reads a topic of these brokers: by its name, or by a pattern.
    public func reads(_ topic: String, of brokers: [String]) -> Bool {
        guard !Set(brokers).isDisjoint(with: self.brokers) else { return false }
        return self.topics.contains { name in
            guard name.hasPrefix("^") else { return name == topic }
            // A pattern that Swift does not read may match anything.
            guard let pattern = try? Regex(name) else { return true }
            return (try? pattern.firstMatch(in: topic)) != nil
        }
    }

    /// Properties that are not passed on, each with the reason.
    public static let refusedOptions: [String: String] = {
        let progress = "progress is committed with the rows, and reported to the group behind that"
        let own = "Tidemark sets it"
        return [
            "bootstrap.servers": "write brokers: [...]", "metadata.broker.list": "write brokers: [...]",
            "group.id": "write group: NAME", "auto.offset.reset": "write start: earliest, latest or fail",
            "enable.auto.commit": progress, "auto.commit.enable": progress, "auto.commit.interval.ms": progress,
            "enable.auto.offset.store": progress, "offset.store.method": progress,
            "enable.partition.eof": own, "queued.max.messages.kbytes": own, "queued.min.messages": own,
            "partition.assignment.strategy": "members that move partitions at once would stop each other",
            "go.delivery.reports": own, "opaque": own, "plugin.library.paths": "it would load other programs",
            "topic.blacklist": "topics: name what is read",
        ]
    }()
}

extension KafkaSettings: CustomReflectable {
    /// Without the values of options, among which are passwords. That they differ shows all the same, since a service
    /// compares a configuration that is read again by its description.
    public var customMirror: Mirror {
        let options = self.options.withoutValues
        return Mirror(
            self,
            children: [
                "brokers": self.brokers, "topics": self.topics, "group": self.group, "start": self.start,
                "lostHistory": self.lostHistory, "addedPartitions": self.addedPartitions, "options": options.names,
                "optionsDigest": options.digest,
            ],
            displayStyle: .struct
        )
    }
}
