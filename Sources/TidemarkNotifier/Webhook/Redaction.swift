internal import Foundation

/// Removes credentials from a receiver's answer: many repeat the request's path in an error page, and a path or a query
/// may hold a token.
struct Redaction: Sendable {
    /// The credentials, the longest first, so that none leaves a part of another.
    private let credentials: [[UInt8]]

    /// Shorter parts of a path are words rather than tokens.
    private static let partMin = 8

    init(url: String, secrets: [String]) {
        var credentials = secrets
        for secret in secrets where secret.hasPrefix("whsec_") { credentials.append(String(secret.dropFirst(6))) }
        let behindScheme = url.firstRange(of: "://").map { url[$0.upperBound...] } ?? url[...]
        let parts = behindScheme.drop { $0 != "/" && $0 != "?" }.split { "/?&=;#".contains($0) }.map(String.init)
        for part in parts where part.utf8.count >= Self.partMin {
            credentials.append(part)
            if let plain = part.removingPercentEncoding, plain != part { credentials.append(plain) }
        }
        // Of a query, values are credentials however short.
        let query = behindScheme.drop { $0 != "?" }.dropFirst().split { "&;#".contains($0) }
        for pair in query {
            let value = pair.drop { $0 != "=" }.dropFirst()
            if value.utf8.count >= 4 { credentials.append(String(value)) }
        }
        self.credentials = credentials.map { Array($0.utf8) }.filter { !$0.isEmpty }.sorted { $0.count > $1.count }
    }

    func redacted(_ text: String) -> String {
        // By bytes, because a combining character after a credential changes its last `Character`.
        let bytes = self.credentials.reduce(Array(text.utf8)) { $0.replacing($1, with: Array("(redacted)".utf8)) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
