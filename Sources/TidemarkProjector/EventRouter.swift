package import TidemarkCore
import TidemarkDecoding

/// From messages to encoded changes: decodes each message, finds the projections that take it, checks and encodes it for
/// each, and appends it to the segment of the lane that its key belongs to. One for each task that routes; it knows no
/// database. What a block comes to depends on the block and its stream alone.
package struct EventRouter: ~Copyable {
    /// A stream, as routers know it.
    package struct Stream: Sendable {
        package var id: StreamID
        package var settings: SourceSettings
        /// The source's index among the sources of the run.
        package var sourceIndex: Int
        /// The source's id in the database.
        package var sourceID: Int64
        /// How a person calls it.
        package var name: String
        /// What has been committed of it is dropped.
        package var committed: CommittedProgress

        package init(
            id: StreamID,
            settings: SourceSettings,
            sourceIndex: Int,
            sourceID: Int64 = 0,
            name: String,
            committed: CommittedProgress
        ) {
            self.id = id
            self.settings = settings
            self.sourceIndex = sourceIndex
            self.sourceID = sourceID
            self.name = name
            self.committed = committed
        }
    }

    /// What one block came to.
    package struct Routed: Sendable {
        /// One for each lane.
        package var segments: [LaneSegment]
        package var messages = 0
        package var deadLetters = 0
        /// Reading has to stop behind this block: `--strict` met a dead letter.
        package var isStopped = false
    }

    private let lanes: Int
    private let laneRule: LaneRule
    private let isStrict: Bool
    private let encoders: EncoderTable
    private let wants: MessageDecoder.Wants
    private var decoder: MessageDecoder
    /// The source that `decoder` is for, and the decoders of others.
    private var decoderSource: Int
    private var parkedDecoders: [Int: ParkedDecoder] = [:]
    /// Moved out during `route` and passed `inout`, to avoid retain and release.
    private var message = DecodedMessage()
    /// Which projections take a table; bounded, since table names come from outside.
    private var routes: [[UInt8]: [Int]] = [:]
    private static let routesMax = 10_000
    /// The last event's table and the projections that take it: neighbours are mostly of one table. No name has the byte
    /// 0xFF, so this one stands for none.
    private var lastTable: [UInt8] = [0xFF]
    private var lastMatching: [Int] = []
    /// A projection tells tables of one name in several databases apart.
    private let distinguishesDatabases: Bool
    /// How many items each lane's segment had before the message.
    private var counts: [Int]
    /// How large each lane's segment of the block before was.
    private var lastSizes: [(bytes: Int, items: Int)]

    private final class ParkedDecoder {
        var decoder: MessageDecoder?

        init(_ decoder: consuming MessageDecoder) { self.decoder = consume decoder }
    }

    package init(
        plans: [ProjectionPlan],
        readings: DetectedReadings = DetectedReadings(),
        settings: SourceSettings,
        sourceIndex: Int = 0,
        lanes: Int,
        laneRule: LaneRule = .current,
        isStrict: Bool
    ) {
        self.lanes = lanes
        self.laneRule = laneRule
        self.isStrict = isStrict
        self.lastSizes = Array(repeating: (0, 0), count: lanes)
        self.counts = Array(repeating: 0, count: lanes)
        self.encoders = EncoderTable(count: plans.count) { Self.encoder(plans[$0], index: $0, readings, laneRule) }
        let readsPositions = plans.contains { $0.definition.sequence.contains(.position) || $0.truncatesDelete }
        self.distinguishesDatabases = plans.contains(where: \.distinguishesDatabases)
        var wants: MessageDecoder.Wants = readsPositions ? .positions : []
        if self.distinguishesDatabases { wants.insert(.databases) }
        self.wants = wants
        self.decoder = MessageDecoder(settings: settings, wants: self.wants)
        self.decoderSource = sourceIndex
    }

    private static func encoder(
        _ plan: ProjectionPlan,
        index: Int,
        _ readings: DetectedReadings,
        _ laneRule: LaneRule
    ) -> ChangeEncoder {
        ChangeEncoder(
            plan: plan.with(readings.units[plan.name] ?? [:]),
            index: index,
            positionKind: readings.positionKinds[plan.name],
            laneRule: laneRule
        )
    }

    /// The kinds of position that projections are ordered by, and the units of their columns, are known.
    package mutating func use(_ readings: DetectedReadings) {
        for index in self.encoders.indices {
            let plan = self.encoders[index].pointee.plan
            self.encoders[index].pointee = Self.encoder(plan, index: index, readings, self.laneRule)
        }
    }

    private mutating func useDecoder(of stream: Stream) {
        guard stream.sourceIndex != self.decoderSource else { return }
        var decoder =
            self.parkedDecoders[stream.sourceIndex]?.decoder.take()
            ?? MessageDecoder(settings: stream.settings, wants: self.wants)
        swap(&decoder, &self.decoder)
        self.parkedDecoders[self.decoderSource] = ParkedDecoder(decoder)
        self.decoderSource = stream.sourceIndex
    }

    /// Decodes a block's messages and appends what they mean to one segment for each lane.
    package mutating func route(_ block: MessageBlock, of stream: Stream) -> Routed {
        self.useDecoder(of: stream)
        let empty = LaneSegment(stream: stream.id, start: block.start, end: block.end)
        var routed = Routed(segments: Array(repeating: empty, count: self.lanes))
        for lane in routed.segments.indices {
            routed.segments[lane].name = stream.name
            routed.segments[lane].reserveRoom(like: self.lastSizes[lane])
            self.counts[lane] = 0
        }
        var origin = ChangeEncoder.Origin(
            settings: stream.settings,
            sourceIndex: stream.sourceIndex,
            sourceID: stream.sourceID,
            stream: stream.id,
            offset: block.start.offset
        )
        var message = DecodedMessage()
        swap(&message, &self.message)
        var context = MessageContext(block: block, stream: stream, message: block.messages[0])
        for (index, next) in block.messages.enumerated() {
            context.message = next
            context.home = self.laneRule.lane(ofMessageAt: next.offset, ordinal: next.ordinal, among: self.lanes)
            origin.offset = next.offset
            origin.ordinal = UInt32(truncatingIfNeeded: next.ordinal &- block.start.ordinal)
            let letters = self.route(context, &origin, &message, into: &routed)
            routed.deadLetters += letters
            if self.isStrict, letters > 0 {
                routed.isStopped = true
                if index + 1 < block.messages.count {
                    let behind = block.messages[index + 1]
                    let end = StreamProgress(offset: behind.offset, ordinal: behind.ordinal, resume: block.start.resume)
                    for lane in routed.segments.indices { routed.segments[lane].end = end }
                }
                break
            }
        }
        swap(&message, &self.message)
        for lane in routed.segments.indices {
            if stream.committed.older.isEmpty {
                Self.dropCommitted(&routed.segments[lane], stream.committed.lanes[lane])
            }
            self.lastSizes[lane] = routed.segments[lane].size
        }
        return routed
    }

    /// Takes out what was committed before the restart.
    private static func dropCommitted(_ segment: inout LaneSegment, _ progress: StreamProgress) {
        guard let first = segment.items.first, progress.covers(first.offset) else { return }
        segment.items.removeAll { progress.covers($0.offset) }
    }

    // MARK: One message

    /// Where a message stands, and the lane that accounts for it.
    private struct MessageContext {
        let block: MessageBlock
        let stream: Stream
        var message: MessageBlock.Message
        var home = 0

        func offset(row: Int) -> StreamOffset {
            var offset = self.message.offset
            offset.row = UInt32(clamping: row)
            return offset
        }

        /// The number of messages of the block before this one.
        var ordinal: UInt32 { UInt32(truncatingIfNeeded: self.message.ordinal &- self.block.start.ordinal) }

        /// An earlier run has committed the row.
        func isCovered(row: Int) -> Bool {
            let offset = self.offset(row: row)
            return self.stream.committed.covers(lane: self.home, offset)
                || self.stream.committed.earlierCovers(
                    messageAt: offset,
                    ordinal: self.message.ordinal,
                    keys: []
                )
        }
    }

    /// - Returns: how many dead letters it made that no earlier run has committed.
    private mutating func route(
        _ context: MessageContext,
        _ origin: inout ChangeEncoder.Origin,
        _ message: inout DecodedMessage,
        into routed: inout Routed
    ) -> Int {
        var tally = Tally()
        tally.messages = 1
        var letters = 0
        if context.message.isOversized {
            let rejection = Rejection(
                .tooLarge,
                "the message is \(context.message.length) bytes long; `limits: { message_bytes: … }` takes longer ones"
            )
            letters = Self.deadLetter(rejection, isWhole: true, context, into: &routed.segments)
        } else if context.message.payload == nil {
            // A tombstone: its delete came before it.
            tally.control = 1
        } else {
            context.block.bytes.withUnsafeBytes { bytes in
                self.decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[context.message.range]), into: &message)
            }
            letters = self.encode(message, context, &origin, &tally, into: &routed.segments)
        }
        // The message is counted by the lane of its first item, with that item: both are committed or neither.
        var first: (lane: Int, index: Int)?
        for lane in routed.segments.indices {
            let count = routed.segments[lane].items.count
            guard count > self.counts[lane] else { continue }
            if first == nil || lane == context.home { first = (lane, self.counts[lane]) }
        }
        let lane = first?.lane ?? context.home
        var isCommitted = context.stream.committed.covers(lane: lane, context.message.offset)
        if !context.stream.committed.older.isEmpty {
            isCommitted = self.dropCommittedEarlier(context, isCommitted, &first, in: &routed)
        }
        for lane in routed.segments.indices { self.counts[lane] = routed.segments[lane].items.count }
        if let first {
            routed.segments[first.lane].items[first.index].tally += tally
        } else if !isCommitted {
            routed.segments[lane].pendingTally += tally
        }
        if !isCommitted { routed.messages += 1 }
        return letters
    }

    /// Takes out those of the message's items that lanes have committed under this or another number of lanes.
    /// - Parameter first: the item that the message is counted with; `nil` afterwards where that is gone, or was counted.
    /// - Returns: whether the message has been counted.
    private func dropCommittedEarlier(
        _ context: MessageContext,
        _ isCommitted: Bool,
        _ first: inout (lane: Int, index: Int)?,
        in routed: inout Routed
    ) -> Bool {
        let committed = context.stream.committed
        var keys: [[UInt8]] = []
        for lane in routed.segments.indices {
            let segment = routed.segments[lane]
            let start = self.counts[lane]
            var kept: [EncodedChange] = []
            // What earlier messages had left to be counted with an item that goes.
            var left = Tally()
            for item in segment.items[start...] {
                let key = Array(segment.bytes[item.key.range])
                var isDone = committed.covers(lane: lane, item.offset)
                switch item.kind {
                case .change, .seen:
                    keys.append(key)
                    isDone = isDone || committed.earlierCovers(key: key.span, item.offset)
                case .deadLetter:
                    let ordinal = context.message.ordinal
                    isDone = isDone || committed.earlierCovers(messageAt: item.offset, ordinal: ordinal, keys: [])
                // Recorded again: every lane has to learn of it.
                case .truncate: break
                }
                if isDone { left += item.tally } else { kept.append(item) }
            }
            if first?.lane == lane, kept.count < segment.items.count - start { first = nil }
            routed.segments[lane].items.replaceSubrange(start..., with: kept)
            routed.segments[lane].pendingTally += left
        }
        let isCounted =
            isCommitted
            || committed.earlierCovers(
                messageAt: context.message.offset,
                ordinal: context.message.ordinal,
                keys: keys
            )
        if isCounted { first = nil }
        return isCounted
    }

    private mutating func encode(
        _ message: DecodedMessage,
        _ context: MessageContext,
        _ origin: inout ChangeEncoder.Origin,
        _ tally: inout Tally,
        into segments: inout [LaneSegment]
    ) -> Int {
        if let failure = message.failure { return Self.deadLetter(failure, isWhole: true, context, into: &segments) }
        if message.isControl {
            tally.control = 1
            return 0
        }
        var letters = 0
        // In the order of rows, the bad ones among the others: progress behind one row covers those before it.
        var failures = message.rowFailures[...]
        for index in message.events.indices {
            while let failure = failures.first, failure.row < message.events[index].row {
                letters += Self.deadLetter(failure.rejection, row: failure.row, context, into: &segments)
                failures.removeFirst()
            }
            letters += self.encode(message.events[index], of: message, context, &origin, &tally, into: &segments)
        }
        for failure in failures {
            letters += Self.deadLetter(failure.rejection, row: failure.row, context, into: &segments)
        }
        return letters
    }

    /// One row for each projection that takes it.
    @inline(__always)
    private mutating func encode(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        _ context: MessageContext,
        _ origin: inout ChangeEncoder.Origin,
        _ tally: inout Tally,
        into segments: inout [LaneSegment]
    ) -> Int {
        self.findMatchingProjections(of: event, message)
        if self.lastMatching.isEmpty {
            if event.operation == .truncate { tally.control = 1 } else { tally.filtered += 1 }
        }
        origin.offset.row = UInt32(clamping: event.row)
        var letters = 0
        for index in self.lastMatching.indices {
            let projection = self.lastMatching[index]
            var rejection: Rejection?
            if event.operation == .truncate {
                do throws(Rejection) {
                    try self.recordTruncate(event, of: message, projection, context, into: &segments)
                    tally.control = 1
                } catch {
                    rejection = error
                }
            } else {
                switch self.encoders[projection].pointee.encode(event, of: message, from: origin, into: &segments) {
                case .encoded: break
                case .filtered: tally.filtered += 1
                case .rejected(let error): rejection = error
                }
            }
            guard let rejection else { continue }
            let name = self.encoders[projection].pointee.plan.name
            letters += Self.deadLetter(rejection, of: name, row: event.row, context, into: &segments)
        }
        return letters
    }

    /// Has `lastMatching` be the projections that take the event.
    @inline(__always)
    private mutating func findMatchingProjections(of event: ChangeEvent, _ message: DecodedMessage) {
        guard !self.distinguishesDatabases else {
            let table = message.fullTable(of: event)
            if table != self.lastTable {
                (self.lastTable, self.lastMatching) = (table, self.matchingProjections(of: table))
            }
            return
        }
        guard !message.has(self.lastTable, at: event.table) else { return }
        self.lastTable = Array(message.bytes[event.table.range])
        self.lastMatching = self.matchingProjections(of: self.lastTable)
    }

    private mutating func matchingProjections(of table: [UInt8]) -> [Int] {
        if let known = self.routes[table] { return known }
        let name = String(decoding: table, as: UTF8.self)
        let matching = self.encoders.indices.filter { self.encoders[$0].pointee.plan.takes(table: name) }
        if self.routes.count >= Self.routesMax { self.routes.removeAll() }
        self.routes[table] = matching
        return matching
    }

    /// - Returns: 0 for what an earlier run has committed: it was counted there, and stopped that one where it had to.
    private static func deadLetter(
        _ rejection: Rejection,
        of projection: String? = nil,
        row: Int = 0,
        isWhole: Bool = false,
        _ context: MessageContext,
        into segments: inout [LaneSegment]
    ) -> Int {
        let (message, stream) = (context.message, context.stream)
        let bytes = context.block.bytes[message.range]
        let offset = context.offset(row: row)
        let letter = DeadLetter(
            projection: projection,
            source: stream.settings.name,
            position: "\(stream.name):\(message.ordinal)",
            rejection: rejection,
            row: Int32(clamping: row),
            raw: Array(bytes.prefix(DeadLetter.rawBytesMax)),
            digest: DeadLetter.digest(of: bytes, oversizedLength: message.isOversized ? message.length : nil),
            reading: DeadLetter.Reading(stream: stream.id, offset: offset, ordinal: message.ordinal),
            isWhole: isWhole
        )
        segments[context.home].append(deadLetter: letter, at: offset, ordinal: context.ordinal)
        return context.isCovered(row: row) ? 0 : 1
    }

    /// Recorded once; where it is a delete, each lane has to know of it, since each has entities of the table.
    private mutating func recordTruncate(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        _ projection: Int,
        _ context: MessageContext,
        into segments: inout [LaneSegment]
    ) throws(Rejection) {
        let isDelete = self.encoders[projection].pointee.plan.truncatesDelete
        let position = message.bytes[event.positionText.range]
        // Without a position that can be compared it is known by what the message says of its place.
        let order =
            try self.encoders[projection].pointee.truncateOrder(event, context.stream.settings)
            ?? (key: [0] + position, text: Array(position))
        let table = try self.encoders[projection].pointee.truncatedTable(event, message)
        try Self.checkTruncate(of: table, at: order.text)
        for lane in isDelete ? Array(segments.indices) : [context.home] {
            var item = EncodedChange(kind: .truncate, offset: context.offset(row: event.row))
            item.ordinal = context.ordinal
            item.projection = Int16(projection)
            item.eventTime = event.eventTime
            segments[lane].append(truncate: item, of: table[...], order: order)
        }
    }

    private static let truncateTextBytesMax = 1024

    /// Refuses a truncate whose table or position the database cannot store. PostgreSQL's text has no U+0000, and the
    /// primary key of the truncates, which holds both, takes 2,704 bytes: the insert would end the process.
    private static func checkTruncate(of table: [UInt8], at position: [UInt8]) throws(Rejection) {
        for (name, text) in [("table name", table), ("position", position)] {
            guard text.count > Self.truncateTextBytesMax || text.contains(0) else { continue }
            throw Rejection(
                .valueInvalid,
                "a truncate of \(Excerpt.quoted(table)) at position \(Excerpt.quoted(position)): expected a \(name) of at "
                    + "most \(Self.truncateTextBytesMax) bytes without U+0000"
            )
        }
    }
}
