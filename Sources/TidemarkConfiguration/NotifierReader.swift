import Foundation
import TidemarkCore

/// Reads one notifier. Neither its URL nor its secret is repeated in a message: both may hold a token.
struct NotifierReader {
    let name: String
    let node: ConfigurationNode

    /// The base of relative paths.
    let folder: String

    func read() -> NotifierConfiguration? {
        if self.name.isEmpty || self.name.utf8.count > 63 || self.name.hasControlCharacter {
            self.node.fail("the name of a notifier has from 1 to 63 bytes and no control characters")
        }
        guard let map = self.node.mapping(ConfigurationKeys.notifier) else { return nil }
        let type = map.required("type", "write type: webhook").flatMap {
            $0.type(NotifierConfiguration.NotifierType.self, later: [])
        }
        var notifier = NotifierConfiguration(name: self.name, type: type ?? .webhook)
        if let type { self.refuseForeignKeys(map, of: type) }
        switch notifier.type {
        case .webhook: self.readWebhook(map, into: &notifier)
        case .postgres: self.readPostgres(map, into: &notifier)
        case .command: self.readCommand(map, into: &notifier)
        case .kafka: notifier.kafka = map.kafkaTarget(of: map["type"])
        case .rocketmq: notifier.rocketmq = map.rocketmqTarget(of: map["type"], folder: self.folder)
        case .log, .custom: break
        }
        self.readDelivery(map, into: &notifier)
        return notifier
    }

    // MARK: Kinds

    private static let keys: [(key: String, types: [NotifierConfiguration.NotifierType])] = [
        ("url", [.webhook]), ("secret", [.webhook]), ("allow_private", [.webhook]), ("ca_file", [.webhook]),
        ("connect_timeout", [.webhook]), ("channel", [.postgres]), ("database", [.postgres]),
        ("command", [.command]), ("environment", [.command]), ("timeout", [.webhook, .command]), ("brokers", [.kafka]),
        ("topic", [.kafka, .rocketmq]), ("options", [.kafka]), ("name_servers", [.rocketmq]), ("tls", [.rocketmq]),
        ("access_key", [.rocketmq]), ("secret_key", [.rocketmq]), ("security_token", [.rocketmq]),
    ]

    private func refuseForeignKeys(_ map: ConfigurationMapping, of type: NotifierConfiguration.NotifierType) {
        for (key, types) in Self.keys where !types.contains(type) {
            let owners = types.map(\.rawValue).joined(separator: " and ")
            map[key]?.fail("belongs to type: \(owners), and this one is \(type.rawValue)")
        }
    }

    private func readWebhook(_ map: ConfigurationMapping, into notifier: inout NotifierConfiguration) {
        let secret = map.required("secret", "deliveries are signed with it; write secret: ${WEBHOOK_SECRET}")
        if let secret {
            let items = secret.isList ? secret.oneOrMore("secret") : [secret]
            notifier.secrets = items.compactMap(self.secret).map { Secret($0) }
        }
        if let value = map["allow_private"]?.boolean() { notifier.allowPrivate = value }
        let url = map.required("url", "write the address that deliveries are sent to")
        notifier.url = url.flatMap { self.url($0, isPrivateAllowed: notifier.allowPrivate) } ?? ""
        notifier.authorityFile = map["ca_file"]?.text("a file of certificates in PEM").map {
            SourcePath.normalized($0, relativeTo: self.folder)
        }
        if let value = map["connect_timeout"]?.duration(.milliseconds(1) ... .seconds(600)) {
            notifier.connectTimeout = value
        }
        if let value = map["timeout"]?.duration(.milliseconds(1) ... .seconds(600)) { notifier.timeout = value }
        if let node = map["connect_timeout"], notifier.connectTimeout > notifier.timeout {
            node.fail("is longer than timeout, which is for the whole attempt")
        }
    }

    private func readPostgres(_ map: ConfigurationMapping, into notifier: inout NotifierConfiguration) {
        let channel = map.required("channel", "write the channel that programs LISTEN to")
        notifier.channel = channel?.shortText("a channel", bytesMax: 63) ?? ""
        notifier.database = map["database"]?.connectionString().map { Secret($0) }
    }

    private func readCommand(_ map: ConfigurationMapping, into notifier: inout NotifierConfiguration) {
        notifier.timeout = .seconds(30)
        notifier.concurrency = 4
        let command = map.required("command", "write the program and its arguments: [/usr/local/bin/tell, --now]")
        notifier.command = command?.oneOrMore("program").compactMap { $0.text("a program or an argument") } ?? []
        if let program = notifier.command.first {
            if !program.contains("/") {
                command?.fail("begins with no path; the program is not looked for in PATH, and there is no shell")
            }
            notifier.command[0] = SourcePath.normalized(program, relativeTo: self.folder)
        }
        for item in map["environment"]?.oneOrMore("environment variable") ?? [] {
            guard let text = item.text("the name of an environment variable") else { continue }
            if text.wholeMatch(of: #/[A-Za-z_][A-Za-z0-9_]*/#) == nil {
                item.fail("\(item.shownText) is not the name of an environment variable")
            }
            notifier.environment.append(text)
        }
        if let value = map["timeout"]?.duration(.milliseconds(1) ... .seconds(600)) { notifier.timeout = value }
    }

    // MARK: Delivering

    private func readDelivery(_ map: ConfigurationMapping, into notifier: inout NotifierConfiguration) {
        if let value = map["concurrency"]?.integer(1...256) { notifier.concurrency = value }
        notifier.rate = map["rate"]?.rate()
        if let circuit = map["circuit"]?.mapping(ConfigurationKeys.circuit) {
            if let value = circuit["failures"]?.integer(0...1_000_000) { notifier.circuit.failures = value }
            if let value = circuit["pause"]?.duration(.milliseconds(1) ... .seconds(600)) {
                notifier.circuit.pause = value
            }
        }
        if let node = map["schedule"] { notifier.schedule = self.schedule(node) }
        if let value = map["max_attempts"]?.integer(1...1000) { notifier.maxAttempts = value }
        if let value = map["on_failure"]?.choice(NotifierConfiguration.FailureRule.allCases) {
            notifier.onFailure = value
        }
        if let value = map["body"]?.choice(NotifierConfiguration.Body.allCases) { notifier.body = value }
    }

    private func schedule(_ node: ConfigurationNode) -> [Duration]? {
        let items = node.list(of: "delays such as 0s, 5s, 5min, 2h")
        if node.isEmptyList { node.fail("is an empty list; write the delay before each attempt, the first being 0s") }
        let delays = items.compactMap { $0.duration(.zero ... .seconds(604_800)) }
        if let first = delays.first, first != .zero {
            items.first?.fail("is before the first attempt, which is made at once; write 0s")
        }
        return delays.isEmpty ? nil : delays
    }

    private func secret(_ node: ConfigurationNode) -> String? {
        guard let scalar = node.scalar("a secret such as ${WEBHOOK_SECRET}") else { return nil }
        guard scalar.isReplaced || scalar.type == .text, !scalar.text.isEmpty else {
            return node.refused(
                scalar.text.isEmpty || scalar.type == .null ? "is empty" : "is not a text; put it in quotes"
            )
        }
        if scalar.text.hasPrefix("whsec_") {
            let encoded = Array(scalar.text.utf8.dropFirst(6))
            guard let key = BinaryText.base64(encoded.span, isURLSafe: false), !key.isEmpty else {
                return node.refused("begins with whsec_, and what follows is not base64")
            }
        }
        return scalar.text
    }

    private func url(_ node: ConfigurationNode, isPrivateAllowed: Bool) -> String? {
        let what = "an address such as https://wms.example/hooks"
        guard let scalar = node.scalar(what) else { return nil }
        guard let parts = URLComponents(string: scalar.text), let host = parts.host, !host.isEmpty,
            ["http", "https"].contains(parts.scheme?.lowercased())
        else { return node.refused("is not \(what)") }
        if parts.user != nil || parts.password != nil {
            node.fail("holds a user or a password; deliveries are signed with secret instead")
        }
        if parts.fragment != nil { node.fail("holds a fragment, which is never sent; leave out # and what follows") }
        if !isPrivateAllowed, Self.isPrivate(host.lowercased()) {
            node.fail("is a loopback or private address, where nothing is delivered without allow_private: true")
        }
        return scalar.text
    }

    /// Checks the URL's text; the notifier checks the addresses of its host.
    private static func isPrivate(_ host: String) -> Bool {
        let name = host.trimmingCharacters(in: ["[", "]"])
        if name == "localhost" || name.hasSuffix(".localhost") || name == "::1" { return true }
        let numbers = name.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard numbers.count == 4, let first = numbers[0], let second = numbers[1], !numbers.contains(nil) else {
            return false
        }
        switch (first, second) {
        case (10, _), (127, _), (192, 168), (169, 254), (172, 16...31): return true
        default: return false
        }
    }
}

extension ConfigurationNode {
    /// `100/s`, `60/min` or `10/h`.
    fileprivate func rate() -> NotifierConfiguration.Rate? {
        let what = "a rate such as 100/s, 60/min or 10/h"
        guard let scalar = self.scalar(what) else { return nil }
        guard let match = scalar.text.wholeMatch(of: #/([0-9]{1,6}) ?/ ?(s|min|h)/#), let count = Int(match.1),
            count > 0
        else { return self.refuse(scalar, what) }
        let period: Duration =
            switch match.2 {
            case "s": .seconds(1)
            case "min": .seconds(60)
            default: .seconds(3600)
            }
        return NotifierConfiguration.Rate(attempts: count, period: period)
    }
}

extension String {
    var hasControlCharacter: Bool {
        self.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }
}
