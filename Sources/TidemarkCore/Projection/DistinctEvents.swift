/// The distinct events of one entity within a batch, found by their order keys.
struct DistinctEvents {
    var entries: [BatchFold.TimelineEntry] = []
    /// The one that was above all others when it came.
    private(set) var greatest: ItemReference?
    /// Kept for entities with many events in one batch, where looking through them all would be quadratic.
    private var places: [ArraySlice<UInt8>: Int]?

    init(isLarge: Bool) {
        self.places = isLarge ? [:] : nil
    }

    mutating func append(_ entry: BatchFold.TimelineEntry, of batch: LaneBatch) {
        self.places?[batch.bytes(batch[entry.item].orderKey, of: entry.item)] = self.entries.count
        if !entry.isLate { self.greatest = entry.item }
        self.entries.append(entry)
    }

    func twin(of item: ItemReference, in batch: LaneBatch) -> Int? {
        if let places { return places[batch.bytes(batch[item].orderKey, of: item)] }
        return self.entries.lastIndex { batch.compareOrder($0.item, item) == 0 }
    }

    mutating func replace(_ old: ItemReference, by new: ItemReference, in batch: LaneBatch) {
        guard let place = self.twin(of: old, in: batch) else { return }
        self.entries[place].item = new
    }
}
