import TidemarkCore

/// A Bloom filter of the entities, or of the sequences of their events, that a lane has written to a relation. A
/// negative answer is certain. Its size is fixed, so false positives, which cost a look-up, grow as it fills. Used by
/// one task at a time.
final class SeenFilter {
    private static let wordsOfBlock = 8
    /// Bits that one entry sets, all in one cache line.
    private static let bitCount = 4

    private let words: ZeroedMemory<UInt64>
    private let blockMask: UInt64

    /// - Parameter byteCount: upper bound of the memory it takes.
    /// - Throws: `.configuration`, when the system refuses so much.
    init(byteCount: Int) throws(StoreError) {
        var blocks = 1
        while blocks * 2 * Self.wordsOfBlock * 8 <= byteCount { blocks *= 2 }
        self.words = try ZeroedMemory(count: blocks * Self.wordsOfBlock)
        self.blockMask = UInt64(blocks - 1)
    }

    /// - Returns: `false` when no event of the entity with this sequence has been noted before.
    func note(_ sequence: ArraySlice<UInt8>, of entity: KeyHash) -> Bool {
        self.note(Self.hash(sequence, of: entity))
    }

    /// - Returns: `false` when the entity has not been noted before.
    func note(_ entity: KeyHash) -> Bool {
        self.note(entity.low)
    }

    private func note(_ hash: UInt64) -> Bool {
        let block = Int(hash & self.blockMask) * Self.wordsOfBlock
        // The upper bits choose within the block: nine for each.
        var rest = hash >> 28
        var isNoted = true
        for _ in 0..<Self.bitCount {
            let word = block + Int(rest & 7)
            let bit: UInt64 = 1 << (rest >> 3 & 63)
            if self.words[word] & bit == 0 {
                isNoted = false
                self.words[word] |= bit
            }
            rest >>= 9
        }
        return isNoted
    }

    /// Equal hashes only cost a look-up.
    private static func hash(_ sequence: ArraySlice<UInt8>, of entity: KeyHash) -> UInt64 {
        var hash = WordHash(entity.low ^ (entity.high << 32 | entity.high >> 32))
        hash.mix(sequence)
        return hash.value
    }
}
