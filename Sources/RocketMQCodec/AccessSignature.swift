internal import CLibCrypto

/// Signs requests for brokers that ask who sends them (both kinds of ACL).
package enum AccessSignature {
    package static let keyField = "AccessKey"
    package static let tokenField = "SecurityToken"
    package static let signatureField = "Signature"

    /// Adds the access key and the signature, or replaces them.
    /// - Parameter token: of temporary credentials.
    package static func sign(
        _ command: inout RemotingCommand,
        accessKey: String,
        secretKey: String,
        token: String? = nil
    ) {
        command.fields.removeAll { [Self.keyField, Self.tokenField, Self.signatureField].contains($0.name) }
        command.fields.append(.init(Self.keyField, accessKey))
        if let token { command.fields.append(.init(Self.tokenField, token)) }
        command.fields.append(.init(Self.signatureField, Self.signature(of: command, secretKey: secretKey)))
    }

    /// Base64 of HMAC-SHA1 over the values of all fields but the signature, in the order of their names, and the body.
    package static func signature(of command: RemotingCommand, secretKey: String) -> String {
        var content: [UInt8] = []
        let fields = command.fields.filter { $0.name != Self.signatureField }
        for field in fields.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            content += field.value.utf8
        }
        content += command.body
        var digest = [UInt8](repeating: 0, count: 20)
        var count: UInt32 = 0
        let key = Array(secretKey.utf8)
        let made = HMAC(EVP_sha1(), key, Int32(clamping: key.count), content, content.count, &digest, &count)
        precondition(made != nil, "a digest of bytes in memory cannot fail")
        return Self.base64(digest)
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let word = part.reduce(0) { $0 << 8 | UInt32($1) } << (8 * (3 - UInt32(part.count)))
            for index in 0..<4 {
                text.append(
                    index <= part.count ? alphabet[Int(word >> (18 - 6 * UInt32(index)) & 63)] : UInt8(ascii: "=")
                )
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
