/// The greatest order key of an entity while its events are looked at: one of the batch's, or one from outside.
struct HighWaterMark {
    private let prefix: OrderKeyPrefix
    /// The event whose it is; its bytes stay where they are.
    private let item: ItemReference?
    private let outside: [UInt8]

    init(_ key: [UInt8]) {
        self.prefix = OrderKeyPrefix(key[...])
        self.item = nil
        self.outside = key
    }

    init(_ grouped: GroupedItem) {
        self.prefix = grouped.orderPrefix
        self.item = grouped.reference
        self.outside = []
    }

    /// - Returns: as `memcmp` does: below zero where the event is above the mark.
    @inline(__always)
    func compare(to grouped: GroupedItem, in batch: LaneBatch) -> Int {
        if self.prefix != grouped.orderPrefix { return self.prefix < grouped.orderPrefix ? -1 : 1 }
        return LaneBatch.compare(self.slice(in: batch), batch.orderKey(of: grouped.reference))
    }

    func isBelow(_ key: [UInt8], in batch: LaneBatch) -> Bool { LaneBatch.compare(self.slice(in: batch), key[...]) < 0 }

    func bytes(in batch: LaneBatch) -> [UInt8] { self.item.map { Array(batch.orderKey(of: $0)) } ?? self.outside }

    private func slice(in batch: LaneBatch) -> ArraySlice<UInt8> {
        self.item.map { batch.orderKey(of: $0) } ?? self.outside[...]
    }
}
