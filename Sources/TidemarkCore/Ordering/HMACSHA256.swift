internal import CLibCrypto

/// Message authentication codes by libcrypto.
package enum HMACSHA256 {
    /// The code of a content, 32 bytes.
    package static func code(of content: [UInt8], key: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: 32)
        let result = HMAC(EVP_sha256(), key, Int32(key.count), content, content.count, &code, nil)
        precondition(result != nil, "a code of bytes in memory cannot fail")
        return code
    }
}

/// Comparison that takes the same time wherever two secrets differ.
package enum ConstantTime {
    package static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
    }
}
