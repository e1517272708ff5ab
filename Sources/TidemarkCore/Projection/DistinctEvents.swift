/// The distinct events of one entity within a batch, found by their order keys.
struct DistinctEvents {
    var entries: [BatchFold.TimelineEntry] = []
    /// The one that was above all others when it came.
    private(set) var greatest: ItemReference?
    /// Kept for entities with many events in one batch, where looking through them all would be quadratic.
    private var indices: [ArraySlice<UInt8>: Int]?
    private var prefixes: [OrderKeyPrefix] = []

    init(isLarge: Bool) {
        self.indices = isLarge ? [:] : nil
    }

    mutating func append(_ entry: BatchFold.TimelineEntry, _ grouped: GroupedItem, of batch: LaneBatch) {
        self.indices?[batch.orderKey(of: grouped.reference)] = self.entries.count
        if !entry.isLate { self.greatest = entry.item }
        self.entries.append(entry)
        self.prefixes.append(grouped.orderPrefix)
    }

    func index(ofSameOrderKeyAs grouped: GroupedItem, in batch: LaneBatch) -> Int? {
        if let indices { return indices[batch.orderKey(of: grouped.reference)] }
        return self.entries.indices.last {
            self.prefixes[$0] == grouped.orderPrefix
                && batch.compareOrder(self.entries[$0].item, grouped.reference) == 0
        }
    }

    /// Of events with one order key, another one stands for all.
    mutating func replace(by grouped: GroupedItem, in batch: LaneBatch) {
        guard let index = self.index(ofSameOrderKeyAs: grouped, in: batch) else { return }
        self.entries[index].item = grouped.reference
    }

    /// Of events with one order key, the one that stands for all has the remarks of each.
    mutating func add(_ remarks: Remarks, to grouped: GroupedItem, in batch: LaneBatch) {
        guard !remarks.isEmpty, let index = self.index(ofSameOrderKeyAs: grouped, in: batch) else { return }
        self.entries[index].remarks.formUnion(remarks)
    }
}
