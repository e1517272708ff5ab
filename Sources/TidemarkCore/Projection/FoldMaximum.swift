/// The greatest order key of an entity while its events are looked at: one of the batch's, or one from outside.
struct FoldMaximum {
    private enum Key {
        /// Of an event, whose bytes stay where they are.
        case item(ItemReference)
        case outside(OrderKey)
    }

    private let prefix: OrderKeyPrefix
    private let key: Key

    init(_ key: OrderKey) {
        self.prefix = key.withBytes { OrderKeyPrefix($0) }
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
        return self.withBytes(in: batch) { own in
            batch.withOrderKey(of: grouped.reference) { LaneBatch.compare(own, $0) }
        }
    }

    func isBelow(_ key: [UInt8], in batch: LaneBatch) -> Bool {
        self.withBytes(in: batch) { own in key.withUnsafeBytes { LaneBatch.compare(own, $0) < 0 } }
    }

    /// Whether a snapshot row of PostgreSQL that is below gives way to a streamed change with a lower LSN.
    func isAbove(snapshot: ItemReference, in batch: LaneBatch) -> Bool {
        self.withBytes(in: batch) { own in
            batch.withOrderKey(of: snapshot) { OrderKey.isSnapshot($0, ignoredFor: own) }
        }
    }

    func kept(in batch: LaneBatch) -> OrderKey {
        switch self.key {
        case .item(let item): batch.withOrderKey(of: item) { OrderKey($0) }
        case .outside(let key): key
        }
    }

    @inline(__always)
    private func withBytes<Result>(in batch: LaneBatch, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self.key {
        case .item(let item): batch.withOrderKey(of: item, body)
        case .outside(let key): key.withBytes(body)
        }
    }
}
