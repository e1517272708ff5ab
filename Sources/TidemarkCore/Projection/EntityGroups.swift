/// What deciding asks of an event, in one piece: a batch is tens of thousands of events, and an entity's lie far apart.
package struct GroupedItem: Sendable {
    package var reference: ItemReference
    /// Milestones that the event's state implies, a bit each.
    package var milestones: UInt64
    package var orderPrefix: OrderKeyPrefix
}

/// A batch's items by entity: entities in the order in which each is first met, items in the order of arrival. A few
/// arrays, whatever the number of entities.
package struct EntityGroups: Sendable {
    private var items: [GroupedItem] = []
    /// Of each entity's key.
    package private(set) var keyHashes: [KeyHash] = []
    /// Where each entity's items begin, and where the last one's end.
    private var bounds: [Int32] = [0]

    package var count: Int { self.keyHashes.count }
    package var indices: Range<Int> { 0..<self.count }

    package subscript(group: Int) -> ArraySlice<GroupedItem> {
        self.items[Int(self.bounds[group])..<Int(self.bounds[group + 1])]
    }

    /// An item of the entity.
    package func first(of group: Int) -> ItemReference { self.items[Int(self.bounds[group])].reference }

    /// - Parameter items: changes of one projection, in the order of arrival.
    /// - Complexity: O(*n*).
    package init(_ items: [ItemReference], of batch: LaneBatch) {
        // Open addressing: at most half of the slots are occupied, and a free one ends the search.
        var capacity = 16
        while capacity < 2 * items.count { capacity *= 2 }
        var slots = [Int32](repeating: -1, count: capacity)
        var groupOfItem: [Int32] = []
        groupOfItem.reserveCapacity(items.count)
        var counts: [Int32] = []
        for item in items {
            let hash = batch[item].keyHash
            var slot = Int(truncatingIfNeeded: hash.low) & (capacity - 1)
            while slots[slot] >= 0, self.keyHashes[Int(slots[slot])] != hash {
                slot = (slot + 1) & (capacity - 1)
            }
            if slots[slot] < 0 {
                slots[slot] = Int32(counts.count)
                self.keyHashes.append(hash)
                counts.append(0)
            }
            counts[Int(slots[slot])] += 1
            groupOfItem.append(slots[slot])
        }
        self.bounds.reserveCapacity(counts.count + 1)
        for count in counts { self.bounds.append(self.bounds[self.bounds.count - 1] + count) }
        self.scatter(items, of: batch, groupOfItem)
    }

    /// Goes over the events as they lie in memory, and writes what is wanted of each where it will be read.
    private mutating func scatter(_ items: [ItemReference], of batch: LaneBatch, _ groupOfItem: [Int32]) {
        var next = self.bounds
        self.items = Array(unsafeUninitializedCapacity: items.count) { output, count in
            for (item, group) in zip(items, groupOfItem) {
                let index = Int(next[Int(group)])
                precondition(index < items.count)
                next[Int(group)] += 1
                output.initializeElement(
                    at: index,
                    to: GroupedItem(
                        reference: item,
                        milestones: batch[item].milestones,
                        orderPrefix: batch[item].orderPrefix
                    )
                )
            }
            count = items.count
        }
    }
}
