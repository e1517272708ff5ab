import RocketMQCodec
import TidemarkCore

/// Identifies the last message that was read: queue offset, store time and digest. A topic that was deleted
/// and made again begins at offset 0, and a broker's answers do not tell. The resume token of each level.
struct RocketMQToken: Hashable, Sendable {
    private static let version: UInt8 = 1
    private static let digestBytes = 16
    private static let byteCount = 1 + 8 + 8 + digestBytes

    /// The queue offset of the message.
    let offset: Int64
    /// By the broker's clock.
    let storeTimestamp: Int64
    private let digest: [UInt8]

    /// - Parameter bytes: what the message's ranges are of.
    init(_ message: StoredMessage, of bytes: UnsafeRawBufferPointer) {
        self.offset = message.queueOffset
        self.storeTimestamp = message.storeTimestamp
        var context = DigestContext()
        for range in [message.body, message.properties] {
            var length: [UInt8] = []
            length.appendBigEndian(UInt64(range.count))
            length.withUnsafeBytes { context.update($0) }
            context.update(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
        self.digest = Array(context.finish().prefix(Self.digestBytes))
    }

    /// - Returns: `nil` for bytes that are no token.
    init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes[0] == Self.version else { return nil }
        func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        self.offset = Int64(bitPattern: number(bytes[1..<9]))
        self.storeTimestamp = Int64(bitPattern: number(bytes[9..<17]))
        self.digest = Array(bytes[17...])
    }

    var bytes: [UInt8] {
        var bytes = [Self.version]
        bytes.reserveCapacity(Self.byteCount)
        bytes.appendBigEndian(UInt64(bitPattern: self.offset))
        bytes.appendBigEndian(UInt64(bitPattern: self.storeTimestamp))
        return bytes + self.digest
    }
}
