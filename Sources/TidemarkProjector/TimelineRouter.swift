import Crypto
import TidemarkCore
import TidemarkDecoding
import TidemarkStore

/// From stored events to encoded changes: each is laid out as the message that it came from would be today, and checked
/// and encoded under the new definition. One for each task that routes; it knows no database.
struct TimelineRouter: ~Copyable {
    private let timeline: StoredTimeline
    private let laneRule: LaneRule
    private let isStrict: Bool
    /// By their indexes in the timeline's list.
    private let sources: [SourceSettings]
    private var changeEncoder: ChangeEncoder
    private var decoder: MessageDecoder
    private var message = DecodedMessage()
    private var lastSizes: [(bytes: Int, items: Int)]

    /// - Parameter timeline: with the settings of the sources that its events came from.
    init(
        _ timeline: (stored: StoredTimeline, sources: [SourceSettings]),
        lanes: Int,
        laneRule: LaneRule,
        isStrict: Bool
    ) {
        self.timeline = timeline.stored
        self.sources = timeline.sources
        self.laneRule = laneRule
        self.isStrict = isStrict
        self.changeEncoder = ChangeEncoder(
            plan: ProjectionPlan(timeline.stored.mapping.reading),
            index: 0,
            laneRule: laneRule
        )
        var settings = SourceSettings(name: "")
        settings.format = .tidemark
        // A value may be nested as deep as JSON may; around it stand the message and its image.
        self.decoder = MessageDecoder(settings: settings, extraDepth: 8)
        self.lastSizes = Array(repeating: (0, 0), count: lanes)
    }

    /// Encodes the events that a block carries into one segment for each lane.
    mutating func route(_ block: MessageBlock, of stream: EventRouter.Stream) -> EventRouter.Routed {
        let events = block.attachment as? [StoredEvent] ?? []
        let empty = LaneSegment(stream: stream.id, start: block.start, end: block.end)
        var routed = EventRouter.Routed(segments: Array(repeating: empty, count: self.lastSizes.count))
        for lane in routed.segments.indices {
            routed.segments[lane].name = stream.name
            routed.segments[lane].reserveRoom(like: self.lastSizes[lane])
        }
        for (event, message) in zip(events, block.messages) {
            var origin = ChangeEncoder.Origin(
                settings: stream.settings,
                sourceIndex: 0,
                stream: stream.id,
                offset: message.offset
            )
            origin.ordinal = UInt32(truncatingIfNeeded: message.ordinal - block.start.ordinal)
            self.route(event, &origin, stream, into: &routed)
        }
        routed.isStopped = self.isStrict && routed.deadLetters > 0
        for lane in routed.segments.indices {
            let segment = routed.segments[lane]
            routed.segments[lane].items.removeAll { self.isCommitted($0, of: segment, lane, stream) }
            self.lastSizes[lane] = routed.segments[lane].size
        }
        return routed
    }

    private func isCommitted(
        _ item: EncodedChange,
        of segment: LaneSegment,
        _ lane: Int,
        _ stream: EventRouter.Stream
    ) -> Bool {
        let committed = stream.committed
        if committed.covers(lane: lane, item.offset) { return true }
        guard !committed.older.isEmpty else { return false }
        if item.kind == .deadLetter {
            let ordinal = segment.start.ordinal + Int64(item.ordinal)
            return committed.earlierCovers(messageAt: item.offset, ordinal: ordinal, keys: [])
        }
        return committed.earlierCovers(key: Array(segment.bytes[item.key.range]).span, item.offset)
    }

    private mutating func route(
        _ stored: StoredEvent,
        _ origin: inout ChangeEncoder.Origin,
        _ stream: EventRouter.Stream,
        into routed: inout EventRouter.Routed
    ) {
        let counts = routed.segments.map(\.items.count)
        let source = self.timeline.sources.firstIndex(of: stored.source) ?? 0
        origin.sourceIndex = source
        origin.settings = self.sources[source]
        origin.settings.sendsMinimalImages = stored.missing != nil && !stored.nullsOthers
        origin.settings.absent = stored.nullsOthers ? .null : .unchanged
        origin.remarks = stored.remarks
        let keptParts = self.timeline.mapping.keptParts
        let keepsDigest = self.timeline.mapping.keepsDigests && stored.digest != nil
        if keptParts > 0 || keepsDigest {
            origin.knownSequence = KnownSequence(
                parts: keptParts,
                bytes: keptParts > 0 ? Array(stored.orderKey.prefix(stored.sequenceCount)) : [],
                text: keptParts > 0 ? Array(stored.sequence.utf8) : []
            )
            if keepsDigest { origin.knownSequence?.digest = stored.digest }
            if stored.isErased, keptParts == self.changeEncoder.plan.sequence.count {
                origin.knownSequence?.tieBreakers = Array(stored.orderKey.dropFirst(stored.sequenceCount))
            }
        }
        var rejection: Rejection?
        self.changeEncoder.isErased = stored.isErased
        do throws(Rejection) {
            let event = try self.layOut(stored)
            if case .rejected(let reason) = self.changeEncoder.encode(
                event,
                of: self.message,
                from: origin,
                into: &routed.segments
            ) {
                rejection = reason
            }
        } catch {
            rejection = error
        }
        if let rejection { self.deadLetter(stored, rejection, origin, stream, into: &routed) }
        for lane in routed.segments.indices where routed.segments[lane].items.count > counts[lane] {
            routed.segments[lane].items[counts[lane]].tally.messages += 1
            if stored.isErased { routed.segments[lane].items[counts[lane]].removeImage() }
            let item = routed.segments[lane].items[counts[lane]]
            if !self.isCommitted(item, of: routed.segments[lane], lane, stream) { routed.messages += 1 }
        }
    }

    // MARK: One event

    /// Lays the event into `message`.
    private mutating func layOut(_ stored: StoredEvent) throws(Rejection) -> ChangeEvent {
        if let image = stored.image, stored.operation != .delete {
            let line = Array(#"{"table":"t","op":"insert","after":\#(image)}"#.utf8)
            line.withUnsafeBytes { self.decoder.decode($0, into: &self.message) }
            if let failure = self.message.failure { throw failure }
            if !self.timeline.mapping.jsonColumns.isEmpty { self.unwrapJSON() }
        } else {
            self.message.reset()
        }
        var event = self.message.events.first ?? ChangeEvent(table: .empty, operation: .delete)
        event.operation = stored.operation
        event.eventTime = stored.eventTime
        event.positionText = self.append(stored.position ?? "")
        let keys = self.appendKey(stored)
        if let place = self.changeEncoder.plan.keyColumns.firstIndex(where: \.isDatabase) {
            event.database = self.message.fields[keys.lowerBound + place].value
        }
        guard stored.operation != .delete else {
            event.before = keys
            event.beforeTrust = .key
            return event
        }
        guard !self.timeline.mapping.isWhole || stored.isErased else {
            // The row has the key, unless its source sends minimal images.
            if stored.operation == .update { event.before = keys }
            for name in stored.missing ?? [] { self.appendField(name, nil) }
            event.after = (event.after?.lowerBound ?? 0)..<self.message.fields.count
            return self.withoutKeys(event, keys)
        }
        if stored.isErased { return self.layOutNothing(event) }
        if let name = self.timeline.mapping.stateName {
            if stored.state == nil, stored.missing?.contains(name) ?? false {
                self.appendField(name, nil)
            } else {
                self.appendField(name, stored.state, isNull: stored.state == nil)
            }
        }
        self.appendUnavailable(from: event.after?.lowerBound ?? 0)
        event.after = (event.after?.lowerBound ?? 0)..<self.message.fields.count
        return event
    }

    /// JSON null, as an image has it, is read as the value that it stands for.
    private mutating func unwrapJSON() {
        var fields = Array(self.message.fields)
        for index in fields.indices where fields[index].kind == .json {
            guard let value = JSONNull.unwrapped(fields[index].value.range, of: self.message.bytes),
                self.timeline.mapping.jsonColumns.contains(self.message.text(fields[index].name))
            else { continue }
            fields[index].value = ByteRange(start: value.lowerBound, end: value.upperBound)
        }
        self.message.fields.removeAll()
        for field in fields { self.message.fields.append(field) }
    }

    /// What `forget` left of an event: that it was there, with every column null.
    private mutating func layOutNothing(_ event: ChangeEvent) -> ChangeEvent {
        var event = event
        let keys = Set(self.changeEncoder.plan.keyColumns.map(\.source))
        let columns =
            (self.changeEncoder.plan.valueColumns ?? []) + [self.changeEncoder.plan.stateColumn].compactMap { $0 }
        for column in columns where !keys.contains(column.source) {
            self.appendField(String(decoding: column.source, as: UTF8.self), nil, isNull: true)
        }
        event.after = 0..<self.message.fields.count
        return event
    }

    /// A whole row is what its message said: the key, laid out between the row and what it lacks, goes to the end.
    private mutating func withoutKeys(_ event: ChangeEvent, _ keys: Range<Int>) -> ChangeEvent {
        var event = event
        let row = self.message.fields.indices.filter { !keys.contains($0) }
        let fields = (row + Array(keys)).map { self.message.fields[$0] }
        self.message.fields.removeAll()
        for field in fields { self.message.fields.append(field) }
        event.after = (event.after?.lowerBound ?? 0)..<row.count
        if event.before != nil { event.before = row.count..<fields.count }
        return event
    }

    private mutating func appendKey(_ stored: StoredEvent) -> Range<Int> {
        let start = self.message.fields.count
        for (column, text) in zip(self.changeEncoder.plan.keyColumns, stored.key) {
            self.appendField(String(decoding: column.source, as: UTF8.self), text)
        }
        return start..<self.message.fields.count
    }

    /// Whatever the image lacks may have had a value: it was not kept, or not sent.
    private mutating func appendUnavailable(from start: Int) {
        for column in self.changeEncoder.plan.valueColumns ?? [] {
            let isThere = self.message.fields[start...].contains { field in
                Int(field.name.count) == column.source.count
                    && self.message.bytes[field.name.range].elementsEqual(column.source)
            }
            if !isThere { self.appendField(String(decoding: column.source, as: UTF8.self), nil) }
        }
    }

    private mutating func append(_ text: String) -> ByteRange {
        let start = self.message.bytes.count
        self.message.bytes.append(contentsOf: text.utf8)
        return ByteRange(start: start, end: self.message.bytes.count)
    }

    /// - Parameter text: `nil` for a value that is unavailable, or null.
    private mutating func appendField(_ name: String, _ text: String?, isNull: Bool = false) {
        let name = self.append(name)
        let value = self.append(text ?? "")
        let kind: Field.Kind = text != nil ? .string : isNull ? .null : .unavailable
        self.message.fields.append(Field(name: name, value: value, kind: kind))
    }

    // MARK: What does not fit

    private func deadLetter(
        _ stored: StoredEvent,
        _ rejection: Rejection,
        _ origin: ChangeEncoder.Origin,
        _ stream: EventRouter.Stream,
        into routed: inout EventRouter.Routed
    ) {
        let ordinal = routed.segments[0].start.ordinal + Int64(origin.ordinal)
        let lane = self.laneRule.lane(ofMessageAt: origin.offset, ordinal: ordinal, among: routed.segments.count)
        let raw = Array((stored.image ?? "").utf8)
        var digest = SHA256()
        digest.update(data: Array(stored.key.joined(separator: "\0").utf8))
        digest.update(data: stored.orderKey)
        routed.segments[lane].append(
            deadLetter: DeadLetter(
                projection: self.timeline.mapping.reading.name,
                source: stored.source,
                position: "\(stream.name) \(stored.key.joined(separator: " ")), sequence \(stored.sequence)",
                rejection: rejection,
                row: 0,
                raw: Array(raw.prefix(DeadLetter.rawBytesMax)),
                digest: Array(digest.finalize())
            ),
            at: origin.offset,
            ordinal: origin.ordinal
        )
        if let item = routed.segments[lane].items.last, !self.isCommitted(item, of: routed.segments[lane], lane, stream)
        {
            routed.deadLetters += 1
        }
    }
}
