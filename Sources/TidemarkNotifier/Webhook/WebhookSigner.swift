internal import TidemarkCore

/// Signs as Standard Webhooks 1.0 says: HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`.
///
/// A secret is `whsec_` and the key in base64, which is what receivers' libraries expect; any other text is the key
/// itself, as UTF-8. Several secrets sign side by side, so that one can be replaced while receivers still know the
/// other.
package struct WebhookSigner: Sendable {
    private let keys: [[UInt8]]

    /// - Throws: `.invalidSecret` when there is none, when one is empty, or when one begins with `whsec_` and does not
    ///   go on in base64.
    package init(secrets: [String]) throws(NotifierError) {
        guard !secrets.isEmpty else { throw Self.error("there is no secret to sign with") }
        var keys: [[UInt8]] = []
        for secret in secrets { keys.append(try Self.key(secret)) }
        self.keys = keys
    }

    /// The value of the header `webhook-signature`.
    /// - Parameter timestamp: seconds since 1970, as in the header `webhook-timestamp`.
    package func signature(id: String, timestamp: Int64, body: [UInt8]) -> String {
        let content = Array("\(id).\(timestamp).".utf8) + body
        return self.keys.map { "v1," + BinaryText.base64(HMACSHA256.code(of: content, key: $0)) }
            .joined(separator: " ")
    }

    private static let prefix = "whsec_"

    private static func key(_ secret: String) throws(NotifierError) -> [UInt8] {
        guard secret.hasPrefix(Self.prefix) else {
            guard !secret.isEmpty else { throw Self.error("the secret is empty") }
            return Array(secret.utf8)
        }
        let encoded = Array(secret.utf8.dropFirst(Self.prefix.utf8.count))
        guard let key = BinaryText.base64(encoded.span, isURLSafe: false), !key.isEmpty else {
            throw Self.error("the secret begins with whsec_, and what follows is not base64")
        }
        return key
    }

    private static func error(_ message: String) -> NotifierError {
        NotifierError(code: .invalidSecret, message: message)
    }
}
