/// From what was encoded to an item of a run, its bytes in one piece.
extension EventStager {
    mutating func append(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ origin: Origin,
        _ operation: Operation,
        isOldKey: Bool,
        milestones: UInt64 = 0,
        into runs: inout [EventRun]
    ) {
        let lane = self.lane(isOldKey: isOldKey, among: runs.count)
        let base = runs[lane].bytes.count
        var staged = self.item(.change, event, origin, isOldKey: isOldKey, base)
        staged.operation = operation
        staged.orderKey = self.record.add(self.order.bytes, base)
        staged.position = self.record.add(message.bytes.span.extracting(event.positionText.range), base)
        if self.plan.truncatesDelete {
            staged.table = self.record.add(message.bytes.span.extracting(event.table.range), base)
        }
        if operation != .delete {
            staged.valueFields = self.record.add(self.values, base)
            if self.plan.keepsTimeline { staged.image = self.record.add(self.image, base) }
            if let state = self.state { staged.state = self.record.add(state.span, base) }
            staged.milestones = milestones
            if self.isPartial {
                staged.isPartial = true
                staged.carriesState = self.carriesState
                staged.carried = self.record.add(self.carried, base)
                let missing = self.missing
                staged.missing = self.record.add(missing.span, base)
            }
        }
        runs[lane].append(staged, self.record)
    }

    @inline(__always)
    func lane(isOldKey: Bool, among count: Int) -> Int {
        guard count > 1 else { return 0 }
        return isOldKey
            ? self.oldKey.withSpan { Murmur2.lane(of: $0, among: count) }
            : self.key.withSpan { Murmur2.lane(of: $0, among: count) }
    }

    /// An item with the event's key, place and sequence; it begins a record.
    /// - Parameter base: where in its run the record will begin.
    mutating func item(
        _ kind: StagedEvent.Kind,
        _ event: ChangeEvent,
        _ origin: Origin,
        isOldKey: Bool,
        _ base: Int
    ) -> StagedEvent {
        var staged = StagedEvent(kind: kind, offset: origin.place.offset, row: origin.place.row)
        staged.line = origin.line
        staged.projection = Int32(self.index)
        staged.source = Int32(origin.sourceIndex)
        self.record.truncate()
        if isOldKey {
            staged.keyHash = self.oldKey.withSpan { SipHash128.process.hash($0) }
            staged.key = self.record.add(self.oldKey, base)
            staged.keyFields = self.record.add(self.oldKeyFields, base)
        } else {
            staged.keyHash = self.key.withSpan { SipHash128.process.hash($0) }
            staged.key = self.record.add(self.key, base)
            staged.keyFields = self.record.add(self.keyFields, base)
        }
        staged.sequenceCount = UInt16(self.order.sequenceCount)
        staged.sequence = self.record.add(self.order.text, base)
        staged.eventTime = event.eventTime
        return staged
    }
}

extension ByteSink {
    /// Appends bytes of a record that will begin at `base` of its run.
    /// - Returns: where in the run they will stand.
    @inline(__always)
    fileprivate mutating func add(_ other: borrowing ByteSink, _ base: Int) -> ByteRange {
        let start = base + self.count
        self.append(other)
        return ByteRange(start: start, end: base + self.count)
    }

    @inline(__always)
    fileprivate mutating func add(_ bytes: Span<UInt8>, _ base: Int) -> ByteRange {
        let start = base + self.count
        self.append(bytes)
        return ByteRange(start: start, end: base + self.count)
    }
}
