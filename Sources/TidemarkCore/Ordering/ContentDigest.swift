internal import CLibCrypto

/// What a content has of a column, in its first byte: one of these, or `value` and how many bytes of canonical text
/// follow (``ByteWriter/storeCount(at:base:)``). A row of a few columns is two blocks of SHA-256 this way, not three.
enum ContentMark {
    static let absent: UInt8 = 0
    static let null: UInt8 = 1
    /// Of a column that is configured no more: bytes that its type does not hold.
    static let invalid: UInt8 = 2
    static let value: UInt8 = 3
}

extension ByteBuffer {
    /// Appends a column's canonical text to a content.
    mutating func appendContent(_ text: Span<UInt8>) {
        var cursor = self.lend(ByteWriter.valueBytesMax(text.count))
        cursor.appendContent(text)
        self.take(cursor)
    }
}

extension ByteWriter {
    /// Appends a column's canonical text to a content. The room is that of a value.
    @inline(__always)
    mutating func appendContent(_ text: Span<UInt8>) {
        let start = self.place
        self.append(ContentMark.value)
        text.withUnsafeBytes { self.append($0) }
        _ = self.storeCount(at: start, base: ContentMark.value)
    }
}

/// SHA-256 of one content after the other, by libcrypto, which knows the processor's instructions for it. With a context
/// of our own: for the few hundred bytes of a row, making one each time and freeing it is a fifth of the work.
struct ContentDigest: ~Copyable {
    private var context = SHA256_CTX()

    static let byteCount = 32

    /// Writes the digest of `content` over the first 32 bytes of `output`.
    mutating func hash(_ content: borrowing ByteBuffer, into output: inout [UInt8]) {
        precondition(output.count >= Self.byteCount)
        let isHashed = output.withUnsafeMutableBufferPointer { output in
            content.withSpan { content in
                content.withUnsafeBytes { bytes in
                    SHA256_Init(&self.context) == 1
                        && SHA256_Update(&self.context, bytes.baseAddress, bytes.count) == 1
                        && SHA256_Final(output.baseAddress, &self.context) == 1
                }
            }
        }
        precondition(isHashed, "SHA-256 of a content in memory cannot fail")
    }
}
