/// What is known of one entity before a batch.
package struct EntityState: Sendable, Hashable {
    /// The greatest order key seen; `nil` before the first event.
    package var highWater: OrderKey?
    /// Tells whether another event with the high-water mark's order key came from the same place and time.
    package var provenance: UInt64
    /// Milestones known to be reached, a bit each. One that is not set may have been reached all the same.
    package var reached: UInt64
    /// The entity has been counted among those that this replay touched.
    package var isTouched: Bool
    /// The high-water mark is a delete.
    package var isDeleted: Bool
    /// Where the columns come from, when that takes more than the high-water mark to say.
    @Boxed package var columns: ColumnState?

    package init(
        highWater: OrderKey? = nil,
        provenance: UInt64 = 0,
        reached: UInt64 = 0,
        isTouched: Bool = false,
        isDeleted: Bool = false,
        columns: ColumnState? = nil
    ) {
        self.highWater = highWater
        self.provenance = provenance
        self.reached = reached
        self.isTouched = isTouched
        self.isDeleted = isDeleted
        self.columns = columns
    }
}

/// Where an item of a batch is: which segment, and which item of it.
@usableFromInline
package struct ItemReference: Sendable, Hashable, Comparable {
    @usableFromInline package var segment: Int32
    @usableFromInline package var index: Int32

    /// In the order of arrival.
    @usableFromInline
    package static func < (left: ItemReference, right: ItemReference) -> Bool {
        (left.segment, left.index) < (right.segment, right.index)
    }

    package init(segment: Int, index: Int) {
        self.segment = Int32(segment)
        self.index = Int32(index)
    }
}

/// A lane's share of what has arrived, in the order of arrival. All of it is committed in one transaction.
@usableFromInline
package struct LaneBatch: Sendable {
    @usableFromInline package var segments: [LaneSegment] = []
    /// The segments that the batch carries progress over; others only hold bytes.
    package private(set) var extent: Range<Int> = 0..<0
    /// The last segment of `extent` has items behind those of the batch.
    package private(set) var endsInside = false
    package private(set) var items: [ItemReference] = []
    // What is asked of all items, noted when each is looked at anyway: going over them again takes longer than deciding.
    /// Those of the items that are changes.
    package private(set) var changes: [ItemReference] = []
    /// Those that are none.
    package private(set) var others: [ItemReference] = []
    package private(set) var tally = Tally()
    /// The milestones that one of the items implies, of whatever projection.
    package private(set) var milestones: UInt64 = 0
    /// One of the changes lacks columns.
    package private(set) var hasPartialImages = false
    /// One of the segments has a receipt.
    package private(set) var hasReceipts = false

    package init() {}

    /// Begins the next segment.
    package mutating func beginSegment(_ segment: LaneSegment) {
        self.segments.append(segment)
        if segment.receipt != nil { self.hasReceipts = true }
        self.extent = self.extent.lowerBound..<self.segments.count
        self.endsInside = true
    }

    /// All items of the last segment are in this batch, or were in an earlier one.
    package mutating func endSegment() {
        self.endsInside = false
        if let last = self.segments.last { self.tally += last.pendingTally }
    }

    package mutating func append(_ item: ItemReference) {
        self.items.append(item)
        let segment = Int(item.segment), index = Int(item.index)
        self.tally += self.segments[segment].items[index].tally
        if self.segments[segment].items[index].kind == .change {
            self.changes.append(item)
            self.milestones |= self.segments[segment].items[index].milestones
            if self.segments[segment].items[index].isPartial { self.hasPartialImages = true }
        } else {
            self.others.append(item)
        }
    }

    /// The same segments, and only these of their items.
    package func with(_ items: some Sequence<ItemReference>) -> LaneBatch {
        self.with(items, extent: self.extent, endsInside: self.endsInside)
    }

    private func with(
        _ items: some Sequence<ItemReference>,
        extent: Range<Int>,
        endsInside: Bool
    ) -> LaneBatch {
        var batch = LaneBatch()
        batch.segments = self.segments
        batch.hasReceipts = self.hasReceipts
        batch.extent = extent
        batch.endsInside = endsInside
        for item in items { batch.append(item) }
        for segment in batch.finished { batch.tally += self.segments[segment].pendingTally }
        return batch
    }

    /// The batch in two parts, to be committed one after the other; `nil` when all items stand at one offset.
    package var halves: (LaneBatch, LaneBatch)? {
        func isBorder(_ index: Int) -> Bool {
            let (left, right) = (self.items[index - 1], self.items[index])
            return left.segment != right.segment || !self[right].isAtOffset(of: self[left])
        }
        let middle = self.items.count / 2
        guard self.items.count > 1,
            let border = (middle..<self.items.count).first(where: { $0 > 0 && isBorder($0) })
                ?? (1..<middle).last(where: isBorder)
        else { return nil }
        let segment = Int(self.items[border].segment)
        let isInside = self.items[border - 1].segment == self.items[border].segment
        return (
            self.with(
                self.items[..<border],
                extent: self.extent.lowerBound..<(isInside ? segment + 1 : segment),
                endsInside: isInside
            ),
            self.with(
                self.items[border...],
                extent: segment..<self.extent.upperBound,
                endsInside: self.endsInside
            )
        )
    }

    /// The segments that are done with once the batch is committed.
    package var finished: Range<Int> {
        self.endsInside ? self.extent.lowerBound..<(self.extent.upperBound - 1) : self.extent
    }

    /// Where the lane's progress stands in each of the batch's streams once it is committed.
    package var advances: [(key: ProgressKey, to: StreamProgress)] {
        var advances: [(key: ProgressKey, to: StreamProgress)] = []
        for index in self.extent {
            let segment = self.segments[index]
            let isDone = index < self.finished.upperBound
            guard isDone || self.items.last.map({ Int($0.segment) == index }) == true else { continue }
            let to = isDone ? segment.end : self.progressBehindLastItem
            let key = ProgressKey(stream: segment.stream, projection: segment.projection)
            if let known = advances.firstIndex(where: { $0.key == key }) {
                advances[known].to = to
            } else {
                advances.append((key, to))
            }
        }
        return advances
    }

    private var progressBehindLastItem: StreamProgress {
        guard let reference = self.items.last else { return .start }
        let segment = self.segments[Int(reference.segment)]
        let item = self[reference]
        return StreamProgress(
            offset: item.offset.next,
            ordinal: segment.start.ordinal + Int64(item.ordinal),
            resume: segment.start.resume
        )
    }

    /// Events and dead letters.
    package var eventCount: Int { self.items.count }

    // Inlined into other modules: reading one field does not copy the whole event.
    @inlinable
    package subscript(reference: ItemReference) -> EncodedChange {
        self.segments[Int(reference.segment)].items[Int(reference.index)]
    }

    /// The number of an item's source, and its event's time in microseconds since 1970.
    package func origin(of reference: ItemReference) -> (source: Int, eventTime: Int64?) {
        let segment = Int(reference.segment), index = Int(reference.index)
        return (
            Int(self.segments[segment].items[index].source), self.segments[segment].items[index].eventTime
        )
    }

    @inlinable
    package func bytes(_ range: ByteRange, of reference: ItemReference) -> ArraySlice<UInt8> {
        self.segments[Int(reference.segment)].bytes[range.range]
    }

    /// Passes the bytes of the item's segment, which its ranges are of, to `body`.
    @inlinable @inline(__always)
    package func withBytes<Result>(of reference: ItemReference, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.segments[Int(reference.segment)].bytes.withUnsafeBytes(body)
    }

    @inline(__always)
    func withOrderKey<Result>(of reference: ItemReference, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.withBytes(of: reference) { body(UnsafeRawBufferPointer(rebasing: $0[self[reference].orderKey.range])) }
    }

    package func orderKey(of reference: ItemReference) -> ArraySlice<UInt8> {
        self.bytes(self[reference].orderKey, of: reference)
    }

    /// The order key's first part, without what tells events of one sequence apart.
    package func sequenceBytes(of reference: ItemReference) -> ArraySlice<UInt8> {
        self.orderKey(of: reference).prefix(Int(self[reference].sequenceCount))
    }

    /// Consecutive fields, each after its length.
    package func fields(_ range: ByteRange, of reference: ItemReference) -> [[UInt8]] {
        var reader = LengthPrefixedReader(self.bytes(range, of: reference))
        var fields: [[UInt8]] = []
        while !reader.isAtEnd, let field = try? reader.next() { fields.append(Array(field)) }
        return fields
    }

    /// Compares two order keys of the batch, as `memcmp` does.
    package func compareOrder(_ left: ItemReference, _ right: ItemReference) -> Int {
        self.withOrderKey(of: left) { left in self.withOrderKey(of: right) { Self.compare(left, $0) } }
    }

    package static func compare(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Int {
        left.withUnsafeBytes { left in right.withUnsafeBytes { Self.compare(left, $0) } }
    }

    static func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        let common = min(left.count, right.count)
        var index = 0
        while index + 8 <= common {
            let leftWord = left.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let rightWord = right.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if leftWord != rightWord { return leftWord.bigEndian < rightWord.bigEndian ? -1 : 1 }
            index += 8
        }
        while index < common {
            if left[index] != right[index] { return left[index] < right[index] ? -1 : 1 }
            index += 1
        }
        return left.count - right.count
    }

    /// The names of the columns that a partial image has.
    package func carriedColumns(of reference: ItemReference, _ plan: ProjectionPlan) -> [[UInt8]] {
        let carried = self[reference].carried
        guard let columns = plan.valueColumns else {
            let fields = self.fields(carried, of: reference)
            return stride(from: 0, to: fields.count, by: 2).map { fields[$0] }
        }
        return zip(columns, self.bytes(carried, of: reference)).filter { $1 == 1 }.map { Array($0.0.name.utf8) }
    }

    /// The order among events with one order key: least (event time, operation, source, position), nulls last.
    package func isShownBefore(_ left: ItemReference, _ right: ItemReference, sources: [String]) -> Bool {
        let (first, second) = (self[left], self[right])
        if first.eventTime != second.eventTime {
            return (first.eventTime ?? .max) < (second.eventTime ?? .max)
        }
        if first.operation != second.operation {
            return "\(first.operation)" < "\(second.operation)"
        }
        if first.source != second.source {
            return Array(sources[Int(first.source)].utf8)
                .lexicographicallyPrecedes(Array(sources[Int(second.source)].utf8))
        }
        let (left, right) = (self.bytes(first.position, of: left), self.bytes(second.position, of: right))
        if left.isEmpty != right.isEmpty { return right.isEmpty }
        return Self.compare(left, right) < 0
    }

    /// A fingerprint of what ``isShownBefore(_:_:sources:)`` compares, and of the remarks.
    @inline(__always)
    package func provenance(_ reference: ItemReference) -> UInt64 {
        let item = self[reference]
        var hash = WordHash(0xcbf2_9ce4_8422_2325)
        hash.mix(UInt64(bitPattern: item.eventTime ?? .max))
        let flags = UInt64(item.remarks.rawValue) << 40 | UInt64(item.operation.rawValue) << 32
        hash.mix(flags | UInt64(UInt32(bitPattern: item.source)))
        hash.mix(self.bytes(item.position, of: reference))
        return hash.value
    }
}

extension LaneBatch {
    /// Adds the counts of a committed batch to the receipts of its segments.
    /// - Parameter verdicts: of the events of each segment, for each projection.
    package func report(_ verdicts: [[MessageCounts]]) {
        var counts = [MessageCounts](repeating: MessageCounts(), count: self.segments.count)
        for verdicts in verdicts {
            for segment in verdicts.indices { counts[segment] += verdicts[segment] }
        }
        for item in self.items { counts[Int(item.segment)].add(self[item].tally) }
        for item in self.others where self[item].kind == .deadLetter { counts[Int(item.segment)].deadLetters += 1 }
        for segment in self.finished { counts[segment].add(self.segments[segment].pendingTally) }
        for segment in self.segments.indices where counts[segment] != MessageCounts() {
            self.segments[segment].receipt?.add(counts[segment])
        }
    }

    /// What the batch's segments came to is not known.
    package func abandonReceipts(because reason: String) {
        for segment in self.extent { self.segments[segment].receipt?.abandon(because: reason) }
    }
}
