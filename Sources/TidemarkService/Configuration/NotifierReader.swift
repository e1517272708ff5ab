import Foundation
import TidemarkCore

/// Reads one notifier. Neither its URL nor its secret is repeated in a message: both may hold a token.
struct NotifierReader {
    let name: String
    let node: ConfigurationNode

    func read() -> NotifierConfiguration? {
        if self.name.isEmpty || self.name.utf8.count > 63 || self.name.hasControlCharacter {
            self.node.fail("the name of a notifier has from 1 to 63 bytes and no control characters")
        }
        guard let map = self.node.mapping(ConfigurationKeys.notifier) else { return nil }
        if let type = map.required("type", "write type: webhook") {
            _ = type.type(NotifierConfiguration.NotifierType.self, later: ["kafka", "notify", "command"])
        }
        let secret = map.required("secret", "deliveries are signed with it; write secret: ${WEBHOOK_SECRET}")
        let isPrivateAllowed = map["allow_private"]?.boolean()
        let url = map.required("url", "write the address that deliveries are sent to")
        var notifier = NotifierConfiguration(
            name: self.name,
            url: url.flatMap { self.url($0, isPrivateAllowed: isPrivateAllowed ?? false) } ?? "",
            secret: Secret(secret.flatMap(self.secret) ?? "")
        )
        if let value = isPrivateAllowed { notifier.allowPrivate = value }
        if let value = map["connect_timeout"]?.duration(.milliseconds(1) ... .seconds(600)) {
            notifier.connectTimeout = value
        }
        if let value = map["timeout"]?.duration(.milliseconds(1) ... .seconds(600)) { notifier.timeout = value }
        if let value = map["max_attempts"]?.integer(1...1000) { notifier.maxAttempts = value }
        if let node = map["connect_timeout"], notifier.connectTimeout > notifier.timeout {
            node.fail("is longer than timeout, which is for the whole attempt")
        }
        return notifier
    }

    private func secret(_ node: ConfigurationNode) -> String? {
        guard let scalar = node.scalar("a secret such as ${WEBHOOK_SECRET}") else { return nil }
        guard scalar.isReplaced || scalar.type == .text, !scalar.text.isEmpty else {
            node.fail(scalar.text.isEmpty || scalar.type == .null ? "is empty" : "is not a text; put it in quotes")
            return nil
        }
        if scalar.text.hasPrefix("whsec_") {
            let encoded = Array(scalar.text.utf8.dropFirst(6))
            guard let key = BinaryText.base64(encoded.span, isURLSafe: false), !key.isEmpty else {
                node.fail("begins with whsec_, and what follows is not base64")
                return nil
            }
        }
        return scalar.text
    }

    private func url(_ node: ConfigurationNode, isPrivateAllowed: Bool) -> String? {
        let what = "an address such as https://wms.example/hooks"
        guard let scalar = node.scalar(what) else { return nil }
        guard let parts = URLComponents(string: scalar.text), let host = parts.host, !host.isEmpty,
            ["http", "https"].contains(parts.scheme?.lowercased())
        else {
            node.fail("is not \(what)")
            return nil
        }
        if parts.user != nil || parts.password != nil {
            node.fail("holds a user or a password; deliveries are signed with secret instead")
        }
        if parts.fragment != nil { node.fail("holds a fragment, which is never sent; leave out # and what follows") }
        if !isPrivateAllowed, Self.isPrivate(host.lowercased()) {
            node.fail("is a loopback or private address, where nothing is delivered without allow_private: true")
        }
        return scalar.text
    }

    /// What can be told from the letters; the notifier looks at the addresses that a name stands for.
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

extension String {
    var hasControlCharacter: Bool {
        self.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }
}
