/// From what was encoded to an item of a segment, with its bytes in one piece.
extension ChangeEncoder {
    // Inlined into its three callers, which the compiler no longer does by itself.
    @inline(__always)
    mutating func append(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ origin: Origin,
        _ operation: Operation,
        isOldKey: Bool,
        milestones: UInt64 = 0,
        remarks: Remarks = [],
        into segments: inout [LaneSegment]
    ) {
        let lane = self.lane(isOldKey: isOldKey, among: segments.count)
        var encoded = self.item(.change, event, origin, isOldKey: isOldKey)
        encoded.operation = operation
        encoded.remarks = origin.remarks.union(remarks)
        if operation == .snapshot, let position = event.position, position.kind == .lsn {
            encoded.isSnapshotOfLSN = self.plan.definition.sequence.first == .position
        }
        var room = self.beginningBytesMax + Int(event.positionText.count) + self.tableBytesMax(event)
        if operation != .delete { room += self.contentBytes }
        segments[lane].write(atMost: room) { record in
            self.addBeginning(to: &record, of: &encoded, isOldKey: isOldKey)
            encoded.parts.orderKey = record.add(self.order.bytes)
            encoded.parts.position = record.add(message.bytes.span.extracting(event.positionText.range))
            if self.plan.truncatesDelete { self.addTable(event, message, to: &record) }
            encoded.parts.table = record.end
            guard operation != .delete else { return encoded.parts.endBehindTable() }
            encoded.parts.valueFields = record.add(self.values)
            if let state = self.state {
                encoded.stateImage = .value
                _ = record.add(state.span)
            }
            encoded.parts.state = record.end
            encoded.milestones = milestones
            if self.isPartial {
                encoded.isPartial = true
                if !self.carriesState { encoded.stateImage = .absent }
                encoded.nullsOthers = self.nullsOthers
                encoded.parts.carried = record.add(self.carried)
                encoded.parts.missing = record.add(self.missing.span)
            } else {
                (encoded.parts.carried, encoded.parts.missing) = (record.end, record.end)
            }
            if self.plan.keepsTimeline { _ = record.add(self.image) }
            encoded.parts.image = record.end
        }
        segments[lane].append(consume encoded, isStored: self.plan.keepsTimeline)
    }

    /// An event that `tags` drop, where versions are contiguous: its version has been seen.
    mutating func appendSeen(_ event: ChangeEvent, _ origin: Origin, into segments: inout [LaneSegment]) {
        let lane = self.lane(isOldKey: false, among: segments.count)
        var seen = self.item(.seen, event, origin, isOldKey: false)
        segments[lane].write(atMost: self.beginningBytesMax) { record in
            self.addBeginning(to: &record, of: &seen, isOldKey: false)
            seen.parts.endBehindSequence()
        }
        segments[lane].append(seen)
    }

    @inline(__always)
    func lane(isOldKey: Bool, among count: Int) -> Int {
        guard count > 1 else { return 0 }
        return isOldKey
            ? self.oldKey.withSpan { self.laneRule.lane(ofKey: $0, among: count) }
            : self.key.withSpan { self.laneRule.lane(ofKey: $0, among: count) }
    }

    /// The most that key and order key take in a record.
    @inline(__always)
    private var beginningBytesMax: Int {
        let keys = max(self.key.count, self.oldKey.count) + max(self.keyFields.count, self.oldKeyFields.count)
        return keys + self.order.bytes.count + self.order.text.count
    }

    /// What the row takes.
    @inline(__always)
    private var contentBytes: Int {
        let row = self.values.count + self.image.count + (self.state?.count ?? 0)
        return row + self.carried.count + self.missing.count
    }

    /// An item with the event's offset, without any bytes.
    @inline(__always)
    private func item(
        _ kind: EncodedChange.Kind,
        _ event: ChangeEvent,
        _ origin: Origin,
        isOldKey: Bool
    ) -> EncodedChange {
        var encoded = EncodedChange(kind: kind, offset: origin.offset)
        encoded.ordinal = origin.ordinal
        encoded.projection = Int16(self.index)
        encoded.source = Int32(origin.sourceIndex)
        encoded.eventTime = event.eventTime
        encoded.sequenceCount = UInt16(self.order.sequenceCount)
        encoded.orderPrefix = self.order.bytes.withSpan { $0.withUnsafeBytes { OrderKeyPrefix($0) } }
        encoded.keyHash =
            isOldKey
            ? self.oldKey.withSpan { SipHash128.process.hash($0) }
            : self.key.withSpan { SipHash128.process.hash($0) }
        return encoded
    }

    /// What every record begins with: key and sequence.
    @inline(__always)
    private func addBeginning(to record: inout EventRecord, of encoded: inout EncodedChange, isOldKey: Bool) {
        encoded.parts.start = record.end
        encoded.parts.key = isOldKey ? record.add(self.oldKey) : record.add(self.key)
        encoded.parts.keyFields = isOldKey ? record.add(self.oldKeyFields) : record.add(self.keyFields)
        encoded.parts.sequence = record.add(self.order.text)
    }
}

/// One event's bytes, while they are written into a run.
struct EventRecord {
    private var cursor: ByteWriter
    /// Where the run's bytes would begin.
    private let origin: UnsafeMutableRawPointer

    @inline(__always)
    init(_ memory: UnsafeMutableBufferPointer<UInt8>, behind count: Int) {
        guard let base = memory.baseAddress else { preconditionFailure("a record needs room") }
        let start = UnsafeMutableRawPointer(base)
        self.cursor = ByteWriter(start, end: start + memory.count)
        self.origin = start - count
    }

    /// Where the next bytes will stand in the run.
    @inline(__always)
    var end: UInt32 { UInt32(truncatingIfNeeded: self.cursor.address - self.origin) }

    /// Appends bytes.
    /// - Returns: where they end in the run.
    @inline(__always)
    mutating func add(_ bytes: Span<UInt8>) -> UInt32 {
        precondition(self.cursor.hasRoom(bytes.count), "a record is longer than it was said to be")
        bytes.withUnsafeBytes { self.cursor.append($0) }
        return self.end
    }

    @inline(__always)
    mutating func add(_ other: borrowing ByteBuffer) -> UInt32 {
        other.withSpan { self.add($0) }
    }
}
