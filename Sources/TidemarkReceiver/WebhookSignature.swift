import FoundationEssentials
import TidemarkCore

/// Checks the signature of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.
package struct WebhookSignature: Sendable {
    package enum Outcome: Sendable, Equatable {
        case verified
        case refused(String)
    }

    /// How far the sender's clock, or a repeat of an old message, may be off.
    package static let tolerance: Duration = .seconds(300)

    private let key: [UInt8]

    /// - Parameter secret: `whsec_` and base64, as at the sender; `nil` is returned for another form.
    package init?(secret: String) {
        let text = secret.hasPrefix("whsec_") ? String(secret.dropFirst("whsec_".count)) : secret
        guard let bytes = Data(base64Encoded: text), !bytes.isEmpty else { return nil }
        self.key = Array(bytes)
    }

    /// - Parameter signatures: the header, with several signatures separated by spaces while a secret is replaced.
    /// - Parameter now: seconds since 1970.
    package func check(id: String, timestamp: String, signatures: String, body: [UInt8], now: Int64) -> Outcome {
        guard let sent = Int64(timestamp) else { return .refused("no timestamp") }
        let tolerance = Self.tolerance.components.seconds
        guard sent >= now - tolerance, sent <= now + tolerance else { return .refused("its timestamp is too far off") }
        let content = Array("\(id).\(timestamp).".utf8) + body
        let expected = HMACSHA256.code(of: content, key: self.key)
        for signature in signatures.split(separator: " ") where signature.hasPrefix("v1,") {
            guard let code = Data(base64Encoded: String(signature.dropFirst(3))) else { continue }
            if ConstantTime.isEqual(Array(code), expected) { return .verified }
        }
        return .refused("the signature is another one")
    }
}
