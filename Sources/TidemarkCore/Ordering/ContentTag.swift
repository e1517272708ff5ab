/// What a content has of a column, in its first byte: one of these, or `value` and how many bytes of canonical text
/// follow (``ByteWriter/storeCount(at:base:)``). A row of a few columns is two blocks of SHA-256 this way, not three.
enum ContentTag {
    static let absent: UInt8 = 0
    static let null: UInt8 = 1
    /// Of a column that is configured no more: bytes that its type does not hold.
    static let invalid: UInt8 = 2
    static let value: UInt8 = 3
}

extension ByteBuffer {
    /// Appends a column's canonical text to a content.
    mutating func appendContent(_ text: Span<UInt8>) {
        var cursor = self.writer(reserving: ByteWriter.valueBytesMax(text.count))
        cursor.appendContent(text)
        self.commit(cursor)
    }
}

extension ByteWriter {
    /// Appends a column's canonical text to a content. The room is that of a value.
    @inline(__always)
    mutating func appendContent(_ text: Span<UInt8>) {
        let start = self.address
        self.append(ContentTag.value)
        text.withUnsafeBytes { self.append($0) }
        _ = self.storeCount(at: start, base: ContentTag.value)
    }
}
