/// The greatest order key of an entity while its events are looked at: one of the batch's, or one from outside.
struct HighWaterMark {
    private enum Key {
        /// Of an event, whose bytes stay where they are.
        case item(ItemReference)
        case outside([UInt8])
    }

    private let prefix: OrderKeyPrefix
    private let key: Key

    init(_ key: [UInt8]) {
        self.prefix = OrderKeyPrefix(key[...])
        self.key = .outside(key)
    }

    init(_ grouped: GroupedItem) {
        self.prefix = grouped.orderPrefix
        self.key = .item(grouped.reference)
    }

    /// - Returns: as `memcmp` does: below zero where the event is above the mark.
    @inline(__always)
    func compare(to grouped: GroupedItem, in batch: LaneBatch) -> Int {
        if self.prefix != grouped.orderPrefix { return self.prefix < grouped.orderPrefix ? -1 : 1 }
        return LaneBatch.compare(self.slice(in: batch), batch.orderKey(of: grouped.reference))
    }

    func isBelow(_ key: [UInt8], in batch: LaneBatch) -> Bool { LaneBatch.compare(self.slice(in: batch), key[...]) < 0 }

    func bytes(in batch: LaneBatch) -> [UInt8] { Array(self.slice(in: batch)) }

    private func slice(in batch: LaneBatch) -> ArraySlice<UInt8> {
        switch self.key {
        case .item(let item): batch.orderKey(of: item)
        case .outside(let bytes): bytes[...]
        }
    }
}
