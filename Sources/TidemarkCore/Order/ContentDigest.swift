internal import CLibCrypto

/// SHA-256 of one content after the other. It is libcrypto's, whose context is used again: for the few hundred bytes of
/// a row, making one each time and freeing it takes longer than hashing does.
struct ContentDigest: ~Copyable {
    private let context: OpaquePointer
    private let algorithm: OpaquePointer

    static let byteCount = 32

    init() {
        guard let algorithm = EVP_MD_fetch(nil, "SHA256", nil), let context = EVP_MD_CTX_new() else {
            fatalError("libcrypto offers no SHA-256, or memory is short")
        }
        self.algorithm = algorithm
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(self.context)
        EVP_MD_free(self.algorithm)
    }

    /// Writes the digest of `content` over the first 32 bytes of `output`.
    mutating func hash(_ content: borrowing ByteSink, into output: inout [UInt8]) {
        let isHashed = output.withUnsafeMutableBufferPointer { output in
            precondition(output.count >= Self.byteCount)
            return content.withSpan { content in
                content.withUnsafeBytes { bytes in
                    EVP_DigestInit_ex2(self.context, self.algorithm, nil) == 1
                        && EVP_DigestUpdate(self.context, bytes.baseAddress, bytes.count) == 1
                        && EVP_DigestFinal_ex(self.context, output.baseAddress, nil) == 1
                }
            }
        }
        precondition(isHashed, "SHA-256 of a content in memory cannot fail")
    }
}
