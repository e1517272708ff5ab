package import TidemarkCore
import TidemarkDecoding

/// From messages to encoded changes: decodes each message, finds the projections that take it, checks and encodes it for
/// each, and appends it to the segment of the lane that its key belongs to. One for each task that routes; it knows no
/// database. What a block comes to depends on the block and its stream alone.
package struct EventRouter: ~Copyable {
    /// What one block came to.
    package struct Routed: Sendable {
        /// One for each lane.
        package var segments: [LaneSegment]
        package var messages = 0
        package var deadLetters = 0
        /// Reading has to stop behind this block: `--strict` met a dead letter.
        package var isStopped = false
    }

    let lanes: Int
    private let laneRule: LaneRule
    private let isStrict: Bool
    let encoders: EncoderTable
    private let wants: MessageDecoder.Wants
    /// The headers that projections name.
    private let headers: [[UInt8]]
    private let observer: (any MessageObserver)?
    /// Read for each message instead of `observer`: looking into an existential copies it.
    private let isObserved: Bool
    private var decoder: MessageDecoder
    /// The source that `decoder` is for, and the decoders of others.
    private var decoderSource: Int
    private var parkedDecoders: [Int: ParkedDecoder] = [:]
    /// For the events of stored timelines; made with the first of them.
    private var storedDecoder: StoredEventDecoder?
    /// Moved out during `route` and passed `inout`, to avoid retain and release.
    private var message = DecodedMessage()
    private let letters = LetterMessage()
    /// Which projections take a table; bounded, since table names come from outside.
    private var routes: [[UInt8]: [Int]] = [:]
    private static let routesMax = 10_000
    /// The last event's table and the projections that take it: neighbours are mostly of one table. No name has the byte
    /// 0xFF, so this one stands for none.
    private var lastTable: [UInt8] = [0xFF]
    private var lastMatching: [Int] = []
    /// A projection tells tables of one name in several databases apart.
    private let distinguishesDatabases: Bool
    /// The block is not read for all projections alike.
    private var isReadInPart = false
    /// How many items each lane's segment had before the message.
    var counts: [Int]
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
        observer: (any MessageObserver)? = nil,
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
        if observer != nil { wants = .all }
        self.wants = wants
        self.observer = observer
        self.isObserved = observer != nil
        self.headers = Set(plans.flatMap(\.headerNames)).sorted { $0.lexicographicallyPrecedes($1) }
        self.decoder = MessageDecoder(settings: settings, wants: self.wants, headers: self.headers)
        self.decoderSource = sourceIndex
    }

    package init(_ pass: borrowing PassContext, isStrict: Bool) {
        self.init(
            plans: pass.readingPlans,
            readings: pass.readings,
            settings: pass.streams.first?.settings ?? SourceSettings(name: ""),
            // A live pass begins without streams: the first one brings the settings of its source.
            sourceIndex: pass.streams.first?.sourceIndex ?? Self.noSource,
            lanes: pass.lanes,
            laneRule: pass.laneRule,
            observer: pass.observer,
            isStrict: isStrict
        )
    }

    private static let noSource = -1

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
            self.encoders.replace(index, with: Self.encoder(plan, index: index, readings, self.laneRule))
        }
    }

    private mutating func useDecoder(of stream: PassStream) {
        guard stream.sourceIndex != self.decoderSource else { return }
        var decoder =
            self.parkedDecoders[stream.sourceIndex]?.decoder.take()
            ?? MessageDecoder(settings: stream.settings, wants: self.wants, headers: self.headers)
        swap(&decoder, &self.decoder)
        self.parkedDecoders[self.decoderSource] = ParkedDecoder(decoder)
        self.decoderSource = stream.sourceIndex
    }

    /// Decodes a block's messages and appends what they mean to one segment for each lane.
    package mutating func route(_ block: MessageBlock, of stream: PassStream) -> Routed {
        self.useDecoder(of: stream)
        self.isReadInPart = stream.projection != nil || !stream.joins.isEmpty
        let empty = LaneSegment(stream: stream.id, start: block.start, end: block.end)
        var routed = Routed(segments: Array(repeating: empty, count: self.lanes))
        for lane in routed.segments.indices {
            routed.segments[lane].name = stream.name
            routed.segments[lane].projection = stream.key.projection
            routed.segments[lane].reserveRoom(like: self.lastSizes[lane])
            self.counts[lane] = 0
        }
        guard let first = block.messages.first else { return routed }
        var origin = ChangeEncoder.Origin(
            settings: stream.settings,
            sourceIndex: stream.sourceIndex,
            sourceID: stream.sourceID,
            stream: stream.id,
            offset: block.start.offset
        )
        var message = DecodedMessage()
        swap(&message, &self.message)
        var context = MessageContext(block: block, stream: stream, letters: self.letters, message: first)
        let receipt = block.attachment.flatMap { $0 as? CarriedReceipt }
        context.isAttached = block.attachment != nil && receipt == nil
        for (index, next) in block.messages.enumerated() {
            if let limit = stream.limit, next.offset >= limit {
                for lane in routed.segments.indices { routed.segments[lane].end.offset = limit }
                break
            }
            context.message = next
            context.home = self.laneRule.lane(ofMessageAt: next.offset, ordinal: next.ordinal, among: self.lanes)
            origin.offset = next.offset
            origin.ordinal = UInt32(truncatingIfNeeded: next.ordinal &- block.start.ordinal)
            if context.isAttached { context.attached = Attachment(block, index) }
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
        self.letters.reset()
        for lane in routed.segments.indices {
            if stream.committed.older.isEmpty {
                Self.dropCommitted(&routed.segments[lane], stream.committed.lanes[lane])
            }
            self.lastSizes[lane] = routed.segments[lane].size
            routed.segments[lane].receipt = receipt
        }
        if block.bytes.count > Self.keptBytes { self.releaseMemory(of: stream) }
        return routed
    }

    /// The largest block whose memory is kept for the next one: far more than a reader reads at a time.
    private static var keptBytes: Int { 4 << 20 }

    /// Gives back what a large message has made grow: each router would keep it while the lanes need as much.
    private mutating func releaseMemory(of stream: PassStream) {
        self.renewDecoder(of: stream)
        self.message = DecodedMessage()
        for index in self.encoders.indices {
            let (plan, kind) = (self.encoders[index].pointee.plan, self.encoders[index].pointee.positionKind)
            self.encoders.replace(
                index,
                with: ChangeEncoder(plan: plan, index: index, positionKind: kind, laneRule: self.laneRule)
            )
        }
        for lane in self.lastSizes.indices { self.lastSizes[lane] = (0, 0) }
    }

    private mutating func renewDecoder(of stream: PassStream) {
        self.decoder = MessageDecoder(settings: stream.settings, wants: self.wants, headers: self.headers)
    }

    // MARK: One message

    /// - Returns: how many dead letters it made that no earlier run has committed.
    private mutating func route(
        _ context: MessageContext,
        _ origin: inout ChangeEncoder.Origin,
        _ message: inout DecodedMessage,
        into routed: inout Routed
    ) -> Int {
        var tally = Tally()
        // A message is counted where the projections are read together.
        let countsMessages = context.stream.projection == nil
        tally.messages = countsMessages ? 1 : 0
        var letters = 0
        if context.message.isOversized {
            let rejection = Rejection(
                .tooLarge,
                "the message is \(context.message.length) bytes long; `limits: { message_bytes: … }` takes longer ones"
            )
            letters = Self.deadLetter(rejection, isWhole: true, context, into: &routed.segments)
        } else if !context.block.defects.isEmpty, let defect = context.block.defects[context.message.offset] {
            letters = Self.deadLetter(Rejection(.unknownFormat, defect), isWhole: true, context, into: &routed.segments)
        } else if context.isAttached, case .stored(let event) = context.attached {
            self.decode(event, context, &origin, into: &message)
            letters = self.encode(message, context, &origin, &tally, into: &routed.segments)
        } else {
            if context.isAttached, case .retried(let letter) = context.attached {
                origin.retried = letter
                self.decoder.decode(letter.raw, letter.record, into: &message)
            } else {
                self.decoder.decode(context.message, of: context.block, into: &message)
            }
            // The parser has a copy of its own.
            if context.message.range.count > Self.keptBytes { self.renewDecoder(of: context.stream) }
            if self.isObserved {
                self.observer?.observe(
                    message,
                    ordinal: context.message.ordinal,
                    isBeginning: ReadingDetector.isBeginning(context.block),
                    of: context.stream
                )
            }
            letters = self.encode(message, context, &origin, &tally, into: &routed.segments)
        }
        if !countsMessages { tally.control = 0 }
        if context.isAttached, case .retried(let letter) = context.attached {
            letters = self.keepOwn(letter, &tally, in: &routed.segments)
        }
        // The message is counted by the lane of its first item, with that item: both are committed or neither.
        var first: (lane: Int, index: Int)?
        for lane in routed.segments.indices {
            let count = routed.segments[lane].items.count
            guard count > self.counts[lane] else { continue }
            if first == nil || lane == context.home { first = (lane, self.counts[lane]) }
        }
        let lane = first?.lane ?? context.home
        if context.isAttached, case .stored(let event) = context.attached, event.isErased {
            self.removeImages(from: &routed.segments)
        }
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
        if !isCommitted, countsMessages { routed.messages += 1 }
        return letters
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
        if context.isAttached, case .stored = context.attached {
            // A timeline is of one projection, which all of the pass are made from.
            (self.lastTable, self.lastMatching) = ([0xFF], Array(self.encoders.indices))
        } else {
            self.findMatchingProjections(of: event, message)
        }
        if self.lastMatching.isEmpty, context.stream.projection == nil {
            if event.operation == .truncate { tally.control = 1 } else { tally.filtered += 1 }
        }
        origin.offset.row = UInt32(clamping: event.row)
        var letters = 0
        for index in self.lastMatching.indices {
            let projection = self.lastMatching[index]
            if self.isReadInPart, !context.stream.reads(projection, at: origin.offset) { continue }
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

    private mutating func decode(
        _ event: StoredEvent,
        _ context: MessageContext,
        _ origin: inout ChangeEncoder.Origin,
        into message: inout DecodedMessage
    ) {
        if self.storedDecoder == nil, let page = context.block.attachment as? StoredEventPage {
            self.storedDecoder = StoredEventDecoder(page)
        }
        self.storedDecoder?.decode(event, into: &message, &origin)
        for index in self.encoders.indices { self.encoders[index].pointee.isErased = event.isErased }
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
}
