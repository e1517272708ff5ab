package import TidemarkCore

/// What a lane remembers of the entities it has committed: a set-associative table of fixed size, so that memory is
/// bounded by configuration whatever the log holds. It is changed only after a confirmed commit, and forgetting an
/// entity costs no more than asking the database for it. Used by one task at a time.
package final class EntityCache {
    /// Zeros are a free one.
    private struct Slot: BitwiseCopyable {
        /// The upper half of the entity's hash. The lower half is the slot's tag.
        var high: UInt64 = 0
        var provenance: UInt64 = 0
        var reached: UInt64 = 0
        var highWater = ShortOrderKey()
        var isTouched = false
        var isDeleted = false
    }

    /// Slots that one hash can be in.
    private static let ways = 8

    /// Beside the slots, so that a bucket is searched within one line of the processor's cache. 0 is a free slot's.
    private let tags: ZeroedMemory<UInt64>
    private let slots: ZeroedMemory<Slot>
    private let bucketMask: Int
    private var victim = 0
    /// Nobody reads it: what is written somewhere has to be looked at.
    private var looked: UInt64 = 0

    /// How many entities ``look(at:)`` is best asked to look at.
    package static let lookCount = 64

    /// - Parameter byteCount: upper bound of the memory that the cache takes; 0 for no cache.
    /// - Throws: `.configuration`, when the system refuses so much.
    package init(byteCount: Int) throws(StoreError) {
        let bucketBytes = Self.ways * (MemoryLayout<Slot>.stride + MemoryLayout<UInt64>.stride)
        var buckets = 1
        while buckets * 2 * bucketBytes <= byteCount { buckets *= 2 }
        let count = bucketBytes > byteCount ? 0 : buckets * Self.ways
        self.slots = try ZeroedMemory(count: count)
        self.tags = try ZeroedMemory(count: count)
        self.bucketMask = buckets - 1
    }

    private func bucket(_ hash: KeyHash) -> Range<Int> {
        let start = Int(truncatingIfNeeded: hash.high) & self.bucketMask
        return (start * Self.ways)..<(start * Self.ways + Self.ways)
    }

    private static func tag(_ hash: KeyHash) -> UInt64 { hash.low == 0 ? 1 : hash.low }

    private func place(of hash: KeyHash) -> Int? {
        let tag = Self.tag(hash)
        for index in self.bucket(hash) where self.tags[index] == tag && self.slots[index].high == hash.high {
            return index
        }
        return nil
    }

    /// Has the processor fetch what is asked for next. Entities lie anywhere in the table, and to wait for memory is most
    /// of what asking takes: waits that nothing lies between happen side by side.
    package func look(at hashes: some Sequence<KeyHash>) {
        guard self.slots.count > 0 else { return }
        var seen: UInt64 = 0
        for hash in hashes { seen |= self.tags[self.bucket(hash).lowerBound] }
        for hash in hashes {
            // A slot may lie in two lines.
            if let place = self.place(of: hash) { seen ^= self.slots[place].isTouched ? 1 : 2 }
        }
        self.looked = seen
    }

    package subscript(hash: KeyHash) -> EntityState? {
        guard self.slots.count > 0, let place = self.place(of: hash) else { return nil }
        return EntityState(
            highWater: KeptOrderKey(self.slots[place].highWater),
            provenance: self.slots[place].provenance,
            reached: self.slots[place].reached,
            isTouched: self.slots[place].isTouched,
            isDeleted: self.slots[place].isDeleted
        )
    }

    /// Remembers what a confirmed commit has made of an entity.
    package func store(_ state: EntityState, for hash: KeyHash) {
        guard self.slots.count > 0, let highWater = state.highWater else { return }
        let known = self.place(of: hash)
        // What takes more than a high-water mark to say is asked for each time, as is a mark that is too long to be kept.
        guard state.columns == nil, let kept = highWater.short else {
            if let known { self.tags[known] = 0 }
            return
        }
        let place = known ?? self.vacancy(in: self.bucket(hash))
        self.tags[place] = Self.tag(hash)
        self.slots[place] = Slot(
            high: hash.high,
            provenance: state.provenance,
            reached: state.reached,
            highWater: kept,
            isTouched: state.isTouched,
            isDeleted: state.isDeleted
        )
    }

    /// A free slot, or one whose entity is forgotten.
    private func vacancy(in bucket: Range<Int>) -> Int {
        if let free = bucket.first(where: { self.tags[$0] == 0 }) { return free }
        self.victim = (self.victim + 1) % Self.ways
        return bucket.lowerBound + self.victim
    }

    package func removeAll() {
        for index in 0..<self.tags.count { self.tags[index] = 0 }
    }
}
