import Foundation
import TidemarkCore

extension ConfigurationMapping {
    private static let accessKeys = ["name_servers", "tls", "access_key", "secret_key", "security_token"]

    /// What a source of RocketMQ has beside what all sources have.
    /// - Parameter folder: the base of relative paths.
    /// - Returns: `nil` for sources of other types.
    func rocketmq(of type: SourceConfiguration.SourceType, folder: String) -> RocketMQSettings? {
        guard type == .rocketmq else {
            for key in Self.accessKeys + ["tags", "expression", "ordered"] {
                self[key]?.fail("belongs to sources of type rocketmq")
            }
            return nil
        }
        Self.refuseWithoutRocketMQ(self["type"])
        var settings = RocketMQSettings()
        settings.access = self.rocketmqAccess(folder)
        for topic in self.required("topics", "name at least one")?.oneOrMore("topic") ?? [] {
            guard let text = topic.text("the name of a topic") else { continue }
            if let mistake = RocketMQSettings.mistake(inTopic: text) { topic.fail("\(topic.shownText) \(mistake)") }
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
        if let value = self["ordered"]?.boolean() { settings.isOrdered = value }
        if let tags = self["tags"], let text = tags.text("tags such as paid || shipped, or *") {
            let parts = text.components(separatedBy: "||").map { $0.trimmingCharacters(in: .whitespaces) }
            if text != "*", parts.allSatisfy(\.isEmpty) { tags.fail("\(tags.shownText) names no tag; write * for all") }
            if parts.count > 1, parts.contains("*") {
                tags.fail("\(tags.shownText) has * beside tags; write * alone for all")
            }
            settings.tags = text
        }
        if let expression = self["expression"] {
            settings.expression = expression.text("a condition of SQL92 such as amount > 10")
            if self["tags"] != nil { expression.fail("stands beside tags; leave one of them out") }
        }
        return settings
    }

    private static func refuseWithoutRocketMQ(_ node: ConfigurationNode?) {
        #if !RocketMQ
            node?.fail("rocketmq is not in this build of Tidemark, which was made without the trait RocketMQ")
        #endif
    }

    /// Refuses the keys of the other kind of broker.
    func refuseAccess(ofKafka isOfKafka: Bool, _ what: String) {
        let (keys, type) = isOfKafka ? (["brokers", "options"], "kafka") : (Self.accessKeys, "rocketmq")
        for key in keys { self[key]?.fail("belongs to \(what) of type \(type)") }
    }

    /// A topic that is written to, and how its brokers are reached.
    /// - Parameter node: what needs RocketMQ; a build without it refuses it here.
    func rocketmqTarget(of node: ConfigurationNode?, folder: String) -> RocketMQTarget {
        Self.refuseWithoutRocketMQ(node)
        var target = RocketMQTarget()
        target.access = self.rocketmqAccess(folder)
        if let topic = self.required("topic", "name the topic that is written to") {
            target.topic = topic.text("the name of a topic") ?? ""
            if let mistake = RocketMQSettings.mistake(inTopic: target.topic) {
                topic.fail("\(topic.shownText) \(mistake)")
            }
        }
        return target
    }

    private func rocketmqAccess(_ folder: String) -> RocketMQAccess {
        var access = RocketMQAccess()
        let servers = self.required("name_servers", "name at least one: name_servers: [\"127.0.0.1:9876\"]")
        for server in servers?.oneOrMore("name server") ?? [] {
            guard let text = server.text("host:port") else { continue }
            if text.contains(";") || text.contains(",") {
                server.fail("\(server.shownText) is several name servers; write each as an item of the list")
            } else if !Self.isAddress(text) {
                server.fail("\(server.shownText) is not host:port; write 127.0.0.1:9876, or \"[::1]:9876\"")
            }
            access.nameServers.append(text)
        }
        access.tls = self["tls"].flatMap { self.clientTLS($0, folder) }
        self.readCredentials(into: &access)
        return access
    }

    private func readCredentials(into access: inout RocketMQAccess) {
        func text(_ key: String) -> String? {
            guard let node = self[key] else { return nil }
            guard let scalar = node.scalar("a text, best of all an environment variable") else { return nil }
            if scalar.text.isEmpty { node.fail("is empty") }
            return scalar.text
        }
        let (accessKey, secretKey, token) = (text("access_key"), text("secret_key"), text("security_token"))
        if let accessKey, let secretKey {
            access.credentials = .init(accessKey: accessKey, secretKey: secretKey, securityToken: token)
        } else if let node = self["access_key"], secretKey == nil {
            node.fail("needs secret_key beside it, which signs the requests")
        } else if let node = self["secret_key"] ?? self["security_token"], accessKey == nil {
            node.fail("needs access_key beside it, which names whose it is")
        }
    }

    /// `true`, or a mapping.
    private func clientTLS(_ node: ConfigurationNode, _ folder: String) -> RocketMQAccess.TLS? {
        guard node.isMapping else { return node.boolean() == true ? RocketMQAccess.TLS() : nil }
        guard let map = node.mapping(ConfigurationKeys.clientTLS) else { return nil }
        var tls = RocketMQAccess.TLS()
        func path(_ key: String) -> String? {
            map[key]?.text("a file in PEM").map { SourcePath.normalized($0, relativeTo: folder) }
        }
        tls.authorities = path("ca_file")
        tls.certificate = path("certificate")
        tls.key = path("key")
        if let value = map["verify"]?.boolean() { tls.verifies = value }
        if (tls.certificate == nil) != (tls.key == nil) {
            (map["certificate"] ?? map["key"])?.fail("goes with the other of certificate and key; write both")
        }
        return tls
    }

    /// A host and a port from 1 to 65535; an IPv6 address in brackets.
    private static func isAddress(_ text: String) -> Bool {
        guard let match = text.wholeMatch(of: /(?:\[[0-9A-Fa-f:.]+\]|[^\s:\/\[\]]+):([0-9]+)/) else { return false }
        return UInt16(match.1).map { $0 > 0 } ?? false
    }
}
