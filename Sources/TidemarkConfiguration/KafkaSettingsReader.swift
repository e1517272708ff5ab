import TidemarkCore

extension ConfigurationMapping {
    private static let kafkaKeys = ["brokers", "options"]
    private static let brokerKeys = ["topics", "group", "start", "lost_history", "added_partitions"]

    /// What a source of Kafka has beside what all sources have.
    /// - Returns: `nil` for sources of other types.
    func kafka(of type: SourceConfiguration.SourceType) -> KafkaSettings? {
        guard type == .kafka else {
            for key in Self.kafkaKeys { self[key]?.fail("belongs to sources of type kafka") }
            guard type != .rocketmq else { return nil }
            for key in Self.brokerKeys { self[key]?.fail("belongs to sources of type kafka and rocketmq") }
            return nil
        }
        Self.refuseWithoutKafka(self["type"])
        var settings = KafkaSettings()
        settings.brokers = self.brokers()
        for topic in self.required("topics", "name at least one, or a pattern such as ^shop\\..*")?.oneOrMore("topic")
            ?? []
        {
            guard let text = topic.text("the name of a topic") else { continue }
            if let mistake = KafkaSettings.mistake(inTopic: text) { topic.fail("\(topic.shownText) \(mistake)") }
            if settings.topics.contains(text) { topic.fail("\(topic.shownText) names the same topic twice") }
            settings.topics.append(text)
        }
        settings.group =
            self.required("group", "name the consumer group: group: tidemark")?.shortText("a name", bytesMax: 255) ?? ""
        if let start = self["start"]?.choice(KafkaSettings.Start.allCases) { settings.start = start }
        if let rule = self["added_partitions"]?.choice(KafkaSettings.AddedPartitions.allCases) {
            settings.addedPartitions = rule
        }
        if let rule = self["lost_history"]?.choice(KafkaSettings.LostHistory.allCases) { settings.lostHistory = rule }
        settings.options = self.options(refusing: KafkaSettings.refusedOptions)
        return settings
    }

    private static func refuseWithoutKafka(_ node: ConfigurationNode?) {
        #if !Kafka
            node?.fail("kafka is not in this build of Tidemark, which was made without the trait Kafka")
        #endif
    }

    /// A topic that is written to, and its brokers.
    /// - Parameter node: what needs Kafka; a build without it refuses it here.
    func kafkaTarget(of node: ConfigurationNode?) -> KafkaTarget {
        Self.refuseWithoutKafka(node)
        var target = KafkaTarget()
        target.brokers = self.brokers()
        if let topic = self.required("topic", "name the topic that is written to") {
            target.topic = topic.text("the name of a topic") ?? ""
            let isPattern = target.topic.hasPrefix("^")
            if let mistake = isPattern ? "is a pattern; name one topic" : KafkaTarget.mistake(inTopic: target.topic) {
                topic.fail("\(topic.shownText) \(mistake)")
            }
        }
        target.options = self.options(refusing: KafkaTarget.refusedOptions)
        return target
    }

    private func brokers() -> [String] {
        var brokers: [String] = []
        for broker in self.required("brokers", "name at least one: brokers: [\"127.0.0.1:9092\"]")?.oneOrMore("broker")
            ?? []
        {
            guard let text = broker.text("host:port") else { continue }
            if text.contains(",") {
                broker.fail("\(broker.shownText) is several brokers; write each as an item of the list")
            } else if !Self.isBroker(text) {
                broker.fail("\(broker.shownText) is not host:port; write 127.0.0.1:9092, or \"[::1]:9092\"")
            }
            brokers.append(text)
        }
        return brokers
    }

    private func options(refusing refused: [String: String]) -> [String: String] {
        var options: [String: String] = [:]
        for (name, value) in self["options"]?.entries(of: "properties of librdkafka") ?? [] {
            if let reason = refused[name] { value.fail("is not passed on: \(reason)") }
            options[name] = value.scalar("a value")?.text
        }
        return options
    }

    /// A host, and a port from 1 to 65535 where one is given; librdkafka takes an IPv6 address in brackets.
    private static func isBroker(_ text: String) -> Bool {
        guard let match = text.wholeMatch(of: /(?:[A-Za-z_]+:\/\/)?(?:\[[0-9A-Fa-f:.]+\]|[^\s:\/\[\]]+)(?::([0-9]+))?/)
        else {
            return false
        }
        guard let port = match.1 else { return true }
        return UInt16(port).map { $0 > 0 } ?? false
    }
}
