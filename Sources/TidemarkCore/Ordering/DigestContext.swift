internal import CLibCrypto

/// SHA-256 by libcrypto, which has the processor's instructions for it. One context digests one content after the other.
/// It is no EVP context: with one that is reused, a row of 110 bytes takes 0.16 microseconds instead of 0.12, and a
/// replay of a hot log 2% more processor time.
package struct DigestContext: ~Copyable {
    private var context = SHA256_CTX()

    package init() { Self.check(SHA256_Init(&self.context)) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        Self.check(SHA256_Update(&self.context, bytes.baseAddress, bytes.count))
    }

    package mutating func update(_ bytes: some Collection<UInt8>) {
        if bytes.withContiguousStorageIfAvailable({ self.update(UnsafeRawBufferPointer($0)) }) == nil {
            Array(bytes).withUnsafeBytes { self.update($0) }
        }
    }

    /// Writes the digest of what was given over the first 32 bytes of `output`, and begins the next one.
    package mutating func finish(into output: inout [UInt8]) {
        precondition(output.count >= 32)
        Self.check(output.withUnsafeMutableBufferPointer { SHA256_Final($0.baseAddress, &self.context) })
        Self.check(SHA256_Init(&self.context))
    }

    package mutating func finish() -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 32)
        self.finish(into: &output)
        return output
    }

    package static func sha256(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var context = Self()
        context.update(bytes)
        return context.finish()
    }

    /// For name-based UUIDs (RFC 9562, version 5).
    package static func sha1(_ bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 20)
        _ = SHA1(bytes, bytes.count, &output)
        return output
    }

    private static func check(_ result: Int32) {
        precondition(result == 1, "a digest of bytes in memory cannot fail")
    }
}
