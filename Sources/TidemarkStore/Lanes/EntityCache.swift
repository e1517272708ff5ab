package import TidemarkCore

/// Caches the entities that a lane has committed, in a set-associative table of fixed size, so that configuration
/// bounds the memory. It is changed only after a confirmed commit; a cache miss costs one look-up in the database. Used
/// by one task at a time.
///
/// Slots are as wide as the longest order key so far: narrow slots hold more entities and save look-ups. Slots that
/// were never written take no memory. The table does not grow, because memory must not depend on the length of the log.
package final class EntityCache {
    /// The layout of a slot, in words. A free slot is all zeros.
    private struct Layout: BitwiseCopyable {
        /// Words of an order key. The uppermost byte of the last one is the slot's header.
        let keyWords: Int
        let keepsReached: Bool
        /// Slots of a bucket.
        var ways = Self.waysMin
        private static let waysMin = 8

        /// The upper half of the entity's hash. The lower half is the slot's tag.
        static let high = 0
        static let provenance = 1
        static let reached = 2

        var key: Int { self.keepsReached ? 3 : 2 }
        var slotWords: Int { self.key + self.keyWords }
        /// Tags precede the slots of their bucket, so that a search reads one cache line.
        var bucketWords: Int { self.ways * (1 + self.slotWords) }
        var keyBytesMax: Int { 8 * self.keyWords - 1 }
        /// A power of two, or 0 where there is no room for any.
        let bucketsMax: Int

        init(keyWords: Int, keepsReached: Bool, within words: Int) {
            self.keyWords = keyWords
            self.keepsReached = keepsReached
            let wayWords = 1 + keyWords + (keepsReached ? 3 : 2)
            let room = words / (wayWords * Self.waysMin)
            self.bucketsMax = room == 0 ? 0 : 1 << (Int.bitWidth - 1 - room.leadingZeroBitCount)
            // More ways use the memory that rounding the buckets down to a power of two leaves: up to half.
            if room > 0 { self.ways = words / (wayWords * self.bucketsMax) }
        }
    }

    /// The length of an order key, and the bits `touched` and `deleted`.
    private struct SlotHeader {
        let byte: UInt64

        static let shift: UInt64 = 56
        private static let (touched, deleted): (UInt64, UInt64) = (1 << 6, 1 << 7)

        init(word: UInt64) { self.byte = word >> Self.shift }

        init(_ key: OrderKey.Inline, _ state: EntityState) {
            let bits = (state.isTouched ? Self.touched : 0) | (state.isDeleted ? Self.deleted : 0)
            self.byte = UInt64(key.count) | bits
        }

        var count: Int { Int(self.byte & (Self.touched - 1)) }
        var isTouched: Bool { self.byte & Self.touched != 0 }
        var isDeleted: Bool { self.byte & Self.deleted != 0 }
    }

    private let words: ZeroedMemory<UInt64>
    private var layout: Layout
    /// A power of two, or 0 where there is no room for any.
    private var bucketCount: Int
    /// The number of entities in the cache.
    private(set) var count = 0
    /// Nothing has been written yet, so clearing, which would touch all of the memory, is skipped. `count == 0` is not
    /// enough: slots of removed entities keep their words, which another layout would take for tags.
    private var isPristine = true
    private var victim = 0
    /// The sink of ``look(at:)``. It keeps the compiler from removing the loads.
    private var looked: UInt64 = 0

    /// The number of entities to pass to ``look(at:)`` at a time.
    package static let lookCount = 64

    /// - Parameters:
    ///   - byteCount: upper bound of the memory that the cache takes; 0 for no cache.
    ///   - keepsReached: there are milestones to remember.
    /// - Throws: `.configuration`, when the system refuses so much.
    package init(byteCount: Int, keepsReached: Bool) throws(StoreError) {
        self.words = try ZeroedMemory(count: byteCount / MemoryLayout<UInt64>.stride)
        self.layout = Layout(keyWords: 1, keepsReached: keepsReached, within: self.words.count)
        self.bucketCount = self.layout.bucketsMax
    }

    // MARK: Addresses

    /// The address of a way of a bucket, in words.
    private struct Address {
        let tag: Int
        let slot: Int
    }

    private func address(bucket: Int, way: Int) -> Address {
        let start = bucket * self.layout.bucketWords
        return Address(tag: start + way, slot: start + self.layout.ways + way * self.layout.slotWords)
    }

    /// The two buckets that a hash can be in. With two, nearly all slots fill up before an entity is evicted.
    private func buckets(of hash: KeyHash) -> (first: Int, second: Int) {
        let mask = self.bucketCount - 1
        return (Int(truncatingIfNeeded: hash.high) & mask, Int(truncatingIfNeeded: hash.low >> 32) & mask)
    }

    private static func tag(_ hash: KeyHash) -> UInt64 { hash.low == 0 ? 1 : hash.low }

    @inline(__always)
    private func address(of hash: KeyHash) -> Address? {
        let (first, second) = self.buckets(of: hash)
        return self.address(of: hash, in: first) ?? self.address(of: hash, in: second)
    }

    @inline(__always)
    private func address(of hash: KeyHash, in bucket: Int) -> Address? {
        let tag = Self.tag(hash)
        let start = bucket * self.layout.bucketWords
        for way in 0..<self.layout.ways where self.words[start + way] == tag {
            let address = self.address(bucket: bucket, way: way)
            if self.words[address.slot + Layout.high] == hash.high { return address }
        }
        return nil
    }

    private func header(at address: Address) -> SlotHeader {
        SlotHeader(word: self.words[address.slot + self.layout.slotWords - 1])
    }

    /// Prefetches the slots of the next look-ups, which are random accesses. Issuing the loads back to back overlaps
    /// their cache misses.
    package func look(at hashes: some Sequence<KeyHash>) {
        guard self.bucketCount > 0 else { return }
        var seen: UInt64 = 0
        for hash in hashes { seen |= self.words[self.buckets(of: hash).first * self.layout.bucketWords] }
        for hash in hashes {
            // A slot may span two cache lines.
            if let address = self.address(of: hash) { seen ^= self.header(at: address).byte }
        }
        self.looked = seen
    }

    package subscript(hash: KeyHash) -> EntityState? {
        guard self.count > 0, let address = self.address(of: hash) else { return nil }
        let header = self.header(at: address)
        let first = address.slot + self.layout.key
        let last = self.layout.keyWords - 1
        let highWater = OrderKey.Inline(count: header.count) { index in
            let word = self.words[first + index]
            return index == last ? word & ((1 << SlotHeader.shift) - 1) : word
        }
        return EntityState(
            highWater: OrderKey(highWater),
            provenance: self.words[address.slot + Layout.provenance],
            reached: self.layout.keepsReached ? self.words[address.slot + Layout.reached] : 0,
            isTouched: header.isTouched,
            isDeleted: header.isDeleted
        )
    }

    // MARK: Changing

    /// Stores an entity's state after a confirmed commit.
    package func store(_ state: EntityState, for hash: KeyHash) {
        guard self.bucketCount > 0, let highWater = state.highWater else { return }
        // States that need more than a high-water mark, and marks over 56 bytes, are not cached.
        guard state.columns == nil, let kept = highWater.short else { return self.forget(hash) }
        if kept.count > self.layout.keyBytesMax { self.widen(for: kept.count) }
        guard self.bucketCount > 0 else { return }
        let address = self.address(of: hash) ?? self.vacancy(for: hash)
        self.isPristine = false
        if self.words[address.tag] == 0 { self.count += 1 }
        self.words[address.tag] = Self.tag(hash)
        self.words[address.slot + Layout.high] = hash.high
        self.words[address.slot + Layout.provenance] = state.provenance
        if self.layout.keepsReached { self.words[address.slot + Layout.reached] = state.reached }
        let first = address.slot + self.layout.key
        for index in 0..<self.layout.keyWords { self.words[first + index] = kept[word: index] }
        self.words[first + self.layout.keyWords - 1] |= SlotHeader(kept, state).byte << SlotHeader.shift
    }

    private func forget(_ hash: KeyHash) {
        guard let address = self.address(of: hash) else { return }
        self.words[address.tag] = 0
        self.count -= 1
    }

    /// The address of a free slot, or of one whose entity is evicted.
    private func vacancy(for hash: KeyHash) -> Address {
        let (first, second) = self.buckets(of: hash)
        if let address = self.vacancy(in: first) ?? self.vacancy(in: second) { return address }
        self.victim = (self.victim + 1) % self.layout.ways
        let address = self.address(bucket: first, way: self.victim)
        self.words[address.tag] = 0
        self.count -= 1
        return address
    }

    private func vacancy(in bucket: Int) -> Address? {
        let start = bucket * self.layout.bucketWords
        for way in 0..<self.layout.ways where self.words[start + way] == 0 {
            return self.address(bucket: bucket, way: way)
        }
        return nil
    }

    /// Widens the slots for a longer key and empties the cache, which happens a few times at most.
    private func widen(for count: Int) {
        self.removeAll()
        self.layout = Layout(keyWords: count / 8 + 1, keepsReached: self.layout.keepsReached, within: self.words.count)
        self.bucketCount = self.layout.bucketsMax
    }

    package func removeAll() {
        guard !self.isPristine else { return }
        self.words.clear(first: self.bucketCount * self.layout.bucketWords)
        self.count = 0
        self.isPristine = true
    }
}
