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
        for secret in secrets { credentials += Self.keys(of: secret) }
        let spellings = Set(credentials.filter { !$0.isEmpty }.flatMap(Self.spellings))
        self.credentials = spellings.map { Array($0.utf8) }.sorted { $0.count > $1.count }
    }

    /// Other forms of a secret that is base64: without its padding, in the alphabet of URLs, and decoded where that is text.
    private static func keys(of secret: String) -> [String] {
        let encoded = secret.hasPrefix("whsec_") ? String(secret.dropFirst(6)) : secret
        guard let key = Data(base64Encoded: encoded), key.count >= 8 else { return [] }
        let bare = String(encoded.prefix { $0 != "=" })
        let urlSafe = bare.replacing("+", with: "-").replacing("/", with: "_")
        return [bare, urlSafe] + (String(validating: key, as: UTF8.self).map { [$0] } ?? [])
    }

    /// A credential as pages and JSON write it: characters that are no letters and no digits are escaped, in one way or
    /// another.
    private static func spellings(of credential: String) -> [String] {
        func escaped(_ escape: (Unicode.Scalar) -> String) -> String {
            credential.unicodeScalars.map { scalar in
                scalar.isASCII && !scalar.properties.isAlphabetic && scalar.properties.numericType == nil
                    && !"-_.~".unicodeScalars.contains(scalar) ? escape(scalar) : String(scalar)
            }.joined()
        }
        func hex(_ scalar: Unicode.Scalar, _ digits: Int) -> String {
            let text = String(scalar.value, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return [
            credential, credential.replacing("/", with: "\\/"),
            escaped { "%" + hex($0, 2) }, escaped { "%" + hex($0, 2).uppercased() },
            escaped { "\\u" + hex($0, 4) }, escaped { "\\u" + hex($0, 4).uppercased() },
            escaped { "&#x" + hex($0, 2) + ";" }, escaped { "&#x" + hex($0, 2).uppercased() + ";" },
            escaped { "&#\($0.value);" },
        ]
    }

    /// The beginning of an answer without credentials, and without one that it ends within.
    func redacted(_ answer: [UInt8]) -> [UInt8] {
        // By bytes, because a combining character after a credential changes its last `Character`.
        var bytes = self.credentials.reduce(answer) { $0.replacing($1, with: Array("(redacted)".utf8)) }
        let cut = self.credentials.map { Self.overlap(of: bytes, with: $0) }.max() ?? 0
        if cut >= Self.partOfCredentialMin { bytes.replaceSubrange((bytes.count - cut)..., with: "(redacted)".utf8) }
        return bytes
    }

    /// Fewer bytes at the end are no part of a credential, but letters that it begins with.
    private static let partOfCredentialMin = 6

    /// How many of the last bytes a credential begins with.
    private static func overlap(of bytes: [UInt8], with credential: [UInt8]) -> Int {
        let most = min(bytes.count, credential.count - 1)
        guard most > 0 else { return 0 }
        return (1...most).last { bytes.suffix($0).elementsEqual(credential.prefix($0)) } ?? 0
    }
}
