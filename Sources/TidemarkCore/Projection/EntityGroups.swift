/// A batch's items by entity: entities in the order in which each is first met, items in the order of arrival. Two
/// arrays, whatever the number of entities.
package struct EntityGroups: Sendable {
    private var items: [ItemReference]
    /// Where each entity's items begin, and where the last one's end.
    private var bounds: [Int32] = [0]

    package var count: Int { self.bounds.count - 1 }
    package var indices: Range<Int> { 0..<self.count }

    package subscript(group: Int) -> ArraySlice<ItemReference> {
        self.items[Int(self.bounds[group])..<Int(self.bounds[group + 1])]
    }

    /// An item of the entity.
    package func first(of group: Int) -> ItemReference { self.items[Int(self.bounds[group])] }

    /// - Parameter items: changes of one projection, in the order of arrival.
    /// - Complexity: O(*n*).
    package init(_ items: [ItemReference], of batch: LaneBatch) {
        // Open addressing: at most half of the places are taken, and a free one ends the search.
        var capacity = 16
        while capacity < 2 * items.count { capacity *= 2 }
        var places = [Int32](repeating: -1, count: capacity)
        var groupOfItem: [Int32] = []
        groupOfItem.reserveCapacity(items.count)
        var firsts: [ItemReference] = []
        var counts: [Int32] = []
        for item in items {
            let hash = batch[item].keyHash
            var place = Int(truncatingIfNeeded: hash.low) & (capacity - 1)
            while places[place] >= 0, batch[firsts[Int(places[place])]].keyHash != hash {
                place = (place + 1) & (capacity - 1)
            }
            if places[place] < 0 {
                places[place] = Int32(firsts.count)
                firsts.append(item)
                counts.append(0)
            }
            counts[Int(places[place])] += 1
            groupOfItem.append(places[place])
        }
        self.bounds.reserveCapacity(counts.count + 1)
        for count in counts { self.bounds.append(self.bounds[self.bounds.count - 1] + count) }
        var next = self.bounds
        self.items = items
        for (item, group) in zip(items, groupOfItem) {
            self.items[Int(next[Int(group)])] = item
            next[Int(group)] += 1
        }
    }
}
