package import TidemarkCore

/// What a lane remembers of the entities it has committed: a set-associative table of fixed size, so that memory is
/// bounded by configuration whatever the log holds. It is changed only after a confirmed commit, and forgetting an
/// entity costs no more than asking the database for it.
package struct EntityCache {
    private struct Slot {
        var hash = KeyHash(high: 0, low: 0)
        var provenance: UInt64 = 0
        var reached: UInt64 = 0
        var highWater = InlineBytes()
        var isUsed = false
        var isTouched = false
        var isDeleted = false
    }

    /// Order keys up to this length are kept in place; entities with longer ones are not remembered.
    private struct InlineBytes {
        static let countMax = 56
        var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
        var count: UInt8 = 0

        init() {}

        init?(_ bytes: [UInt8]) {
            guard bytes.count <= Self.countMax else { return nil }
            self.count = UInt8(bytes.count)
            withUnsafeMutableBytes(of: &self.words) { $0.copyBytes(from: bytes) }
        }

        var array: [UInt8] {
            withUnsafeBytes(of: self.words) { Array($0.prefix(Int(self.count))) }
        }
    }

    /// Slots that one hash can be in.
    private static let ways = 8

    private var slots: [Slot]
    private let bucketMask: Int
    private var victim = 0

    /// - Parameter byteCount: upper bound of the memory that the cache takes; 0 for no cache.
    package init(byteCount: Int) {
        var buckets = 1
        while buckets * 2 * Self.ways * MemoryLayout<Slot>.stride <= byteCount { buckets *= 2 }
        let isEmpty = Self.ways * MemoryLayout<Slot>.stride > byteCount
        self.slots = isEmpty ? [] : Array(repeating: Slot(), count: buckets * Self.ways)
        self.bucketMask = buckets - 1
    }

    private func bucket(_ hash: KeyHash) -> Range<Int> {
        let start = Int(truncatingIfNeeded: hash.high) & self.bucketMask
        return (start * Self.ways)..<(start * Self.ways + Self.ways)
    }

    package subscript(hash: KeyHash) -> EntityState? {
        guard !self.slots.isEmpty else { return nil }
        for index in self.bucket(hash) where self.slots[index].isUsed && self.slots[index].hash == hash {
            let slot = self.slots[index]
            return EntityState(
                highWater: slot.highWater.array,
                provenance: slot.provenance,
                reached: slot.reached,
                isTouched: slot.isTouched,
                isDeleted: slot.isDeleted
            )
        }
        return nil
    }

    /// Remembers what a confirmed commit has made of an entity.
    package mutating func store(_ state: EntityState, for hash: KeyHash) {
        guard !self.slots.isEmpty, let highWater = state.highWater else { return }
        let bucket = self.bucket(hash)
        var place: Int?
        for index in bucket where self.slots[index].isUsed && self.slots[index].hash == hash { place = index }
        // What takes more than a high-water mark to say is asked for each time.
        guard state.columns == nil, let kept = InlineBytes(highWater) else {
            if let place { self.slots[place].isUsed = false }
            return
        }
        if place == nil { place = bucket.first { !self.slots[$0].isUsed } }
        if place == nil {
            self.victim = (self.victim + 1) % Self.ways
            place = bucket.lowerBound + self.victim
        }
        guard let place else { return }
        self.slots[place] = Slot(
            hash: hash,
            provenance: state.provenance,
            reached: state.reached,
            highWater: kept,
            isUsed: true,
            isTouched: state.isTouched,
            isDeleted: state.isDeleted
        )
    }

    package mutating func removeAll() {
        for index in self.slots.indices { self.slots[index].isUsed = false }
    }
}
