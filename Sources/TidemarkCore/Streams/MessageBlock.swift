/// Consecutive messages of one stream. It owns its bytes, and may outlive its reader.
package struct MessageBlock: Sendable {
    package struct Message: Sendable, Hashable {
        /// Where its bytes are in the block; of an oversized message, its first ones. `nil` for a tombstone.
        package var payload: ByteRange?
        package var offset: StreamOffset
        /// Its number in the stream, from 1; 0 where the source does not count.
        package var ordinal: Int64
        /// Its whole length in bytes.
        package var length: Int64
        /// Longer than a message may be: `payload` has only the beginning of it.
        package var isOversized: Bool
        /// Where a broker's key is in the block; `nil` where there is none.
        package var key: ByteRange?
        /// Which of the block's ``MessageBlock/headers`` are the message's.
        package var headers: Range<Int>

        package init(
            payload: ByteRange?,
            offset: StreamOffset,
            ordinal: Int64,
            length: Int64,
            isOversized: Bool = false,
            key: ByteRange? = nil,
            headers: Range<Int> = 0..<0
        ) {
            self.key = key
            self.headers = headers
            self.payload = payload
            self.offset = offset
            self.ordinal = ordinal
            self.length = length
            self.isOversized = isOversized
        }

        package var range: Range<Int> { self.payload?.range ?? 0..<0 }
    }

    /// How many bytes may be read behind the end of any message: a parser that looks ahead needs no copy.
    package static let padding = 64

    /// Whatever stands between messages included, and the padding; read it through ``messages``.
    package let bytes: [UInt8]
    /// None where only the level moves: a source has come further without a message.
    package let messages: [Message]
    /// Where the block begins, and where the one behind it does.
    package let start: StreamProgress
    package let end: StreamProgress
    /// Of all messages, in their order.
    package let headers: [MessageHeader]
    /// The partition that the messages are of, where they come from a broker; their offset's `major` is the partition's.
    package let origin: RecordOrigin?
    /// Why messages cannot be read, by their offsets, each as a sentence: what a source has found before any decoder. Their
    /// payload is what came in their place.
    package let defects: [StreamOffset: String]
    /// What a source hands on beside bytes, for the router that knows it.
    package let attachment: (any Sendable)?

    package init(
        bytes: [UInt8],
        messages: [Message],
        start: StreamProgress,
        end: StreamProgress,
        headers: [MessageHeader] = [],
        origin: RecordOrigin? = nil,
        defects: [StreamOffset: String] = [:],
        attachment: (any Sendable)? = nil
    ) {
        self.defects = defects
        self.headers = headers
        self.origin = origin
        self.attachment = attachment
        self.bytes = bytes
        self.messages = messages
        self.start = start
        self.end = end
    }

    /// Has what the broker keeps beside a message's value; `nil` for messages of no broker.
    @inline(__always)
    package func withRecord<R>(
        of message: Message,
        _ body: (_ bytes: UnsafeRawBufferPointer, _ record: MessageRecord?) -> R
    ) -> R {
        self.bytes.withUnsafeBytes { bytes in
            guard let origin = self.origin else { return body(bytes, nil) }
            return self.headers.withUnsafeBufferPointer { headers in
                let record = MessageRecord(
                    origin: origin,
                    offset: message.offset.major,
                    key: message.key.map { UnsafeRawBufferPointer(rebasing: bytes[$0.range]) },
                    headers: UnsafeBufferPointer(rebasing: headers[message.headers]),
                    bytes: bytes
                )
                return body(bytes, record)
            }
        }
    }
}
