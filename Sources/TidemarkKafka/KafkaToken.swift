import TidemarkCore

/// Identifies the last message that was read: offset, timestamp and digest. A topic that was deleted and created again has
/// another message at that offset, and neither librdkafka nor a broker reports it. The resume token of each level.
struct KafkaToken: Hashable, Sendable {
    private static let version: UInt8 = 1
    private static let digestBytes = 16
    private static let byteCount = 1 + 8 + 8 + digestBytes

    /// The offset of the message.
    let offset: Int64
    private let timestamp: Int64
    private let digest: [UInt8]

    /// - Parameter timestamp: milliseconds since 1970, or -1.
    init(offset: Int64, timestamp: Int64, key: UnsafeRawBufferPointer?, payload: UnsafeRawBufferPointer?) {
        self.offset = offset
        self.timestamp = timestamp
        var context = DigestContext()
        for part in [key, payload] {
            // A length of its own for what is not there, since an empty part is another thing.
            var length: [UInt8] = []
            length.appendBigEndian(part.map { UInt64($0.count) } ?? .max)
            length.withUnsafeBytes { context.update($0) }
            if let part { context.update(part) }
        }
        self.digest = Array(context.finish().prefix(Self.digestBytes))
    }

    /// - Returns: `nil` for bytes that are no token.
    init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes[0] == Self.version else { return nil }
        func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        self.offset = Int64(bitPattern: number(bytes[1..<9]))
        self.timestamp = Int64(bitPattern: number(bytes[9..<17]))
        self.digest = Array(bytes[17...])
    }

    var bytes: [UInt8] {
        var bytes = [Self.version]
        bytes.reserveCapacity(Self.byteCount)
        bytes.appendBigEndian(UInt64(bitPattern: self.offset))
        bytes.appendBigEndian(UInt64(bitPattern: self.timestamp))
        return bytes + self.digest
    }
}
