internal import Foundation

/// The endpoint and settings of a webhook.
package struct WebhookSettings: Sendable {
    package var url: String
    /// The current secret, then former ones for receivers that do not know it yet; see ``WebhookSigner``.
    package var secrets: [String]
    /// Deliver to loopback, private and link-local addresses too.
    package var allowPrivate = false
    package var connectTimeout: Duration = .seconds(5)
    /// The time limit of an attempt, from the look-up of the host to the head of the answer.
    package var timeout: Duration = .seconds(15)
    /// The most bytes of an answer's body to read.
    package var responseBytesMax = 16 * 1024
    /// How long to wait for an answer's body, which does not change the result.
    package var responseBodyTimeout: Duration = .seconds(1)
    /// How long the addresses of the host are remembered.
    package var addressLifetime: Duration = .seconds(30)
    package var userAgent = "Tidemark"
    /// PEM certificates that are trusted beside the system's.
    package var authorities: [UInt8]?

    package init(url: String, secrets: [String]) {
        self.url = url
        self.secrets = secrets
    }

}

extension WebhookSettings: CustomStringConvertible, CustomReflectable {
    /// A description without URL and secrets.
    package var description: String { "WebhookSettings(timeout: \(self.timeout), allowPrivate: \(self.allowPrivate))" }

    package var customMirror: Mirror {
        Mirror(self, children: ["timeout": self.timeout, "allowPrivate": self.allowPrivate], displayStyle: .struct)
    }
}

/// A validated URL.
struct WebhookTarget: Sendable {
    let url: String
    /// The host for look-ups, without brackets.
    let host: String
    /// The name in errors: the host, and the port if the URL has one. Path and query may hold a token.
    let name: String

    /// - Throws: `.invalidURL`.
    init(_ url: String) throws(NotifierError) {
        guard let parsed = URL(string: url), let scheme = parsed.scheme?.lowercased() else {
            throw Self.error("the URL cannot be read")
        }
        guard scheme == "http" || scheme == "https" else {
            throw Self.error("the URL begins with neither https nor http")
        }
        guard parsed.user == nil, parsed.password == nil, !Self.hasUserInfo(url) else {
            throw Self.error("the URL holds a user or a password; deliveries are signed instead")
        }
        guard let host = parsed.host, !host.isEmpty else { throw Self.error("the URL names no host") }
        var bare = host[...]
        if bare.first == "[", bare.last == "]" { bare = bare.dropFirst().dropLast() }
        // Characters that the system's resolver, the client and a terminal read alike.
        let isPlain = bare.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
            case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"): true
            default: false
            }
        }
        guard isPlain else {
            throw Self.error(
                "the URL's host is not written in letters, digits, dots and hyphens (for others: punycode)"
            )
        }
        if let port = parsed.port, !(1...65_535).contains(port) { throw Self.error("the URL's port is out of range") }
        self.url = url
        self.host = String(bare)
        let shown = bare.contains(":") ? "[\(bare)]" : String(bare)
        self.name = parsed.port.map { "\(shown):\($0)" } ?? shown
    }

    /// Whether there is an `@` before the path, independent of the URL parser.
    private static func hasUserInfo(_ url: String) -> Bool {
        guard let start = url.firstRange(of: "://")?.upperBound else { return false }
        return url[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }.contains("@")
    }

    private static func error(_ message: String) -> NotifierError {
        NotifierError(code: .invalidURL, message: message)
    }
}
