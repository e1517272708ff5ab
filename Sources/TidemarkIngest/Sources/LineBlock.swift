package import TidemarkCore

/// Consecutive lines of one input. It owns its bytes, and may outlive the reader.
package struct LineBlock: Sendable {
    package struct Line: Sendable, Hashable {
        /// Where its bytes are in the block; of an oversized line, its first ones.
        package var bytes: ByteRange
        /// Where it begins in the decompressed input.
        package var offset: Int64
        /// From 1, blank lines counted.
        package var number: Int64
        /// Its whole length, without the line end.
        package var length: Int64
        /// Longer than a message may be: `bytes` has only the beginning of it.
        package var isOversized: Bool

        package var range: Range<Int> { self.bytes.range }
    }

    /// How many bytes may be read behind the end of any line: a parser that looks ahead needs no copy.
    package static let padding = 64

    /// Line ends, blank lines and padding included; read it through ``lines``.
    package let bytes: [UInt8]
    /// At least one.
    package let lines: [Line]
    /// Offset and number of the line that comes next.
    package let endOffset: Int64
    package let endNumber: Int64

    /// Lends the bytes of one line.
    package func withBytes<R, E: Error>(of line: Line, _ body: (Span<UInt8>) throws(E) -> R) throws(E) -> R {
        try body(self.bytes.span.extracting(line.range))
    }
}

extension LineBlock {
    /// One message that was read before, at the place where it was read.
    package init(message: [UInt8], messageBytesMax: Int, offset: Int64, number: Int64) {
        let line = Line(
            bytes: ByteRange(start: 0, end: message.count),
            offset: offset,
            number: number,
            length: Int64(message.count),
            isOversized: message.count > messageBytesMax
        )
        self.init(
            bytes: message + [UInt8](repeating: 0, count: Self.padding),
            lines: [line],
            endOffset: offset + Int64(message.count),
            endNumber: number + 1
        )
    }
}
