/// Which lane an entity, and a message, belongs to. It must not change while a pass is unfinished: each lane knows only
/// its own progress.
package enum LaneRule: Int16, Sendable {
    /// Kafka's default partitioner, and the message's ordinal. Only for passes that began under it: a lane would read
    /// the very keys of one partition in four.
    case murmur2 = 1
    /// A hash of the key that shares no structure with Kafka's partitioner, and one of the message's offset.
    case wordHash = 2

    package static let current = LaneRule.wordHash

    @inline(__always)
    package func lane(ofKey key: Span<UInt8>, among count: Int) -> Int {
        guard count > 1 else { return 0 }
        switch self {
        case .murmur2: return Murmur2.lane(of: key, among: count)
        case .wordHash:
            var hash = WordHash(0x7469_6465_6d61_726b)
            key.withUnsafeBytes { hash.mix($0) }
            return Self.scaled(hash, to: count)
        }
    }

    /// The lane that accounts for a message: for its tally where none of its events has a lane, and for its dead letters.
    /// - Parameter ordinal: the number of the message in its stream, from 1.
    @inline(__always)
    package func lane(ofMessageAt offset: StreamOffset, ordinal: Int64, among count: Int) -> Int {
        guard count > 1 else { return 0 }
        switch self {
        case .murmur2: return Int(ordinal % Int64(count))
        case .wordHash:
            var hash = WordHash(offset.major)
            hash.mix(offset.minor)
            return Self.scaled(hash, to: count)
        }
    }

    /// The high half of the hash, spread over `count`: the low bits of a product are its weak ones.
    @inline(__always)
    private static func scaled(_ hash: WordHash, to count: Int) -> Int {
        Int(((hash.value >> 32) &* UInt64(count)) >> 32)
    }
}
