public import TidemarkCore

/// How messages are written to a topic.
public enum PublicationForm: String, Sendable, CaseIterable {
    /// One line of Tidemark's own format for each event.
    case tidemark
    /// The message as it came, once for each entity that it has rows of. With
    /// ``PublicationConfiguration/stampsSequence``, a message of several entities becomes a line for each event, since
    /// each of them has a number of its own.
    case original
}

/// What a publication's topic is of.
public enum PublicationType: String, Sendable, CaseIterable { case kafka, rocketmq }

/// The topic that a source is written to.
public enum PublicationTarget: Sendable {
    case kafka(KafkaTarget)
    case rocketmq(RocketMQTarget)

    public var topic: String {
        switch self {
        case .kafka(let target): target.topic
        case .rocketmq(let target): target.topic
        }
    }

    public var type: PublicationType {
        switch self {
        case .kafka: .kafka
        case .rocketmq: .rocketmq
        }
    }
}

/// A source that is written to a topic.
public struct PublicationConfiguration: Sendable {
    /// The source's name.
    public var source: String
    public var target: PublicationTarget
    public var form = PublicationForm.original
    /// Each message of an entity gets a number in a header, above those before it.
    public var stampsSequence = false

    public init(source: String, target: PublicationTarget) {
        self.source = source
        self.target = target
    }

    /// What it is known by in the database, and in messages.
    public var name: String {
        "\(self.source) > \(self.target.topic)\(self.target.type == .kafka ? "" : " (\(self.target.type))")"
    }

    /// Why the source cannot be written to the topic: the key that is wrong, and what is wrong with it.
    package func mistake(reading source: SourceConfiguration) -> (key: String, text: String)? {
        if source.type == .http { return ("source", "is of type http: what clients send cannot be read again") }
        let isOwn =
            switch self.target {
            case .kafka(let target): source.kafka?.reads(target.topic, of: target.brokers)
            case .rocketmq(let target): source.rocketmq?.reads(target)
            }
        return isOwn == true ? ("topic", "is read by the source itself: it would never end") : nil
    }
}

extension ConfigurationReader {
    mutating func readPublications(_ items: [ConfigurationNode]) {
        var publications: [PublicationConfiguration] = []
        for item in items {
            guard let map = item.mapping(ConfigurationKeys.publication) else { continue }
            let source = map.required("source", "name the source that is written to the topic")?.text("a source") ?? ""
            let isRocketMQ = map["type"]?.choice(PublicationType.allCases) == .rocketmq
            map.refuseAccess(ofKafka: isRocketMQ, "publications")
            var publication = PublicationConfiguration(
                source: source,
                target: isRocketMQ
                    ? .rocketmq(map.rocketmqTarget(of: item, folder: self.folder)) : .kafka(map.kafkaTarget(of: item))
            )
            if let form = map["message"]?.choice(PublicationForm.allCases) { publication.form = form }
            if let value = map["sequence"]?.boolean() { publication.stampsSequence = value }
            if let node = map["source"], !source.isEmpty {
                if let found = self.configuration.sources.first(where: { $0.name == source }) {
                    if let mistake = publication.mistake(reading: found), let node = map[mistake.key] {
                        node.fail("\(node.shownText) \(mistake.text)")
                    }
                } else {
                    node.fail("\(node.shownText) is no source of this configuration")
                }
            }
            if publications.contains(where: { $0.name == publication.name }) {
                item.fail("writes a source to a topic that an earlier one writes it to")
            }
            publications.append(publication)
        }
        self.setPublications(publications)
    }
}
