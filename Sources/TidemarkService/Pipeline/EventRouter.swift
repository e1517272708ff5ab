package import TidemarkCore
package import TidemarkIngest

/// From lines to encoded events: decodes each message, finds the projections that take it, checks and encodes it for
/// each, and lays it into the run of the lane its key belongs to. Used by one reader; knows nothing of the database.
package struct EventRouter: ~Copyable {
    /// What is being read.
    package struct Input: Sendable {
        package var settings: SourceSettings
        /// The source's place among the sources of the run.
        package var sourceIndex: Int
        /// What the database knows the source by.
        package var sourceID: Int64
        /// How a person calls the file.
        package var path: String
        package var file: Int64
        /// Where each lane stands in the file; what a lane has is passed over.
        package var checkpoints: [Checkpoint]

        package init(
            settings: SourceSettings,
            sourceIndex: Int,
            sourceID: Int64 = 0,
            path: String,
            file: Int64,
            checkpoints: [Checkpoint]
        ) {
            self.settings = settings
            self.sourceIndex = sourceIndex
            self.sourceID = sourceID
            self.path = path
            self.file = file
            self.checkpoints = checkpoints
        }
    }

    /// What one block of lines came to.
    package struct Routed: Sendable {
        package var runs: [LaneSegment]
        package var messages = 0
        package var deadLetters = 0
        /// Reading has to stop behind this block: `--strict` met a dead letter.
        package var isStopped = false
    }

    private let lanes: Int
    private let isStrict: Bool
    private let encoders: EncoderTable
    private let wants: MessageDecoder.Wants
    private var decoder: MessageDecoder
    /// Empty while a block is routed: it is lent from hand to hand then, so that nobody has to retain it.
    private var message = DecodedMessage()
    /// Which projections take a table; bounded, since table names come from outside.
    private var routes: [[UInt8]: [Int]] = [:]
    private static let routesMax = 10_000
    /// The last event's table and its takers: neighbours are mostly of one table. A byte that no name has stands for none.
    private var lastTable: [UInt8] = [0xFF]
    private var lastMatching: [Int] = []
    /// A projection tells tables of one name in several databases apart.
    private let distinguishesDatabases: Bool
    /// How many items each lane's run has had behind the messages so far.
    private var counts: [Int]
    /// How large each lane's run of the block before was.
    private var lastSizes: [(bytes: Int, items: Int)]

    package init(
        plans: [ProjectionPlan],
        readings: DetectedReadings = DetectedReadings(),
        settings: SourceSettings,
        lanes: Int,
        isStrict: Bool
    ) {
        self.lanes = lanes
        self.isStrict = isStrict
        self.lastSizes = Array(repeating: (0, 0), count: lanes)
        self.counts = Array(repeating: 0, count: lanes)
        self.encoders = EncoderTable(count: plans.count) { Self.changeEncoder(plans[$0], index: $0, readings) }
        let readsPositions = plans.contains { $0.definition.sequence.contains(.position) || $0.truncatesDelete }
        self.distinguishesDatabases = plans.contains(where: \.distinguishesDatabases)
        var wants: MessageDecoder.Wants = readsPositions ? .positions : []
        if self.distinguishesDatabases { wants.insert(.databases) }
        self.wants = wants
        self.decoder = MessageDecoder(settings: settings, wants: self.wants)
    }

    private static func changeEncoder(
        _ plan: ProjectionPlan,
        index: Int,
        _ readings: DetectedReadings
    ) -> ChangeEncoder {
        ChangeEncoder(
            plan: plan.with(readings.units[plan.name] ?? [:]),
            index: index,
            positionKind: readings.positionKinds[plan.name]
        )
    }

    /// The kinds of position that projections are ordered by, and the units of their columns, are known.
    package mutating func use(_ readings: DetectedReadings) {
        for index in self.encoders.indices {
            let plan = self.encoders[index].pointee.plan
            self.encoders[index].pointee = Self.changeEncoder(plan, index: index, readings)
        }
    }

    /// Another source begins.
    package mutating func use(_ settings: SourceSettings) {
        self.decoder = MessageDecoder(settings: settings, wants: self.wants)
    }

    /// Decodes a block's messages and lays what they mean into one run for each lane.
    package mutating func route(_ block: LineBlock, of input: Input) -> Routed {
        var routed = Routed(runs: Array(repeating: LaneSegment(file: input.file), count: self.lanes))
        for lane in routed.runs.indices {
            routed.runs[lane].path = input.path
            routed.runs[lane].reserveRoom(like: self.lastSizes[lane])
            self.counts[lane] = 0
        }
        var origin = ChangeEncoder.Origin(
            settings: input.settings,
            sourceIndex: input.sourceIndex,
            sourceID: input.sourceID,
            place: Place(file: input.file, offset: 0, row: 0),
            line: 0
        )
        var end = (offset: block.endOffset, number: block.endNumber)
        var message = DecodedMessage()
        swap(&message, &self.message)
        var context = MessageContext(block: block, input: input, line: block.lines[0])
        for (index, line) in block.lines.enumerated() {
            context.line = line
            context.home = Int(line.number % Int64(self.lanes))
            origin.place.offset = line.offset
            origin.line = line.number
            let letters = self.route(context, &origin, &message, into: &routed)
            if !context.isCovered() { routed.messages += 1 }
            routed.deadLetters += letters
            if self.isStrict, letters > 0 {
                routed.isStopped = true
                if index + 1 < block.lines.count {
                    end = (block.lines[index + 1].offset, block.lines[index + 1].number)
                }
                break
            }
        }
        swap(&message, &self.message)
        for lane in routed.runs.indices {
            Self.dropCommitted(&routed.runs[lane], input.checkpoints[lane])
            routed.runs[lane].close(at: end.offset, line: end.number)
            self.lastSizes[lane] = routed.runs[lane].size
        }
        return routed
    }

    /// Takes out what a checkpoint covers: it was committed before the restart.
    private static func dropCommitted(_ run: inout LaneSegment, _ checkpoint: Checkpoint) {
        guard let first = run.items.first, checkpoint.covers(offset: first.offset, row: first.row) else { return }
        run.items.removeAll { checkpoint.covers(offset: $0.offset, row: $0.row) }
    }

    // MARK: One message

    /// Where a message stands, and the lane that accounts for it.
    private struct MessageContext {
        let block: LineBlock
        let input: Input
        var line: LineBlock.Line
        var home = 0

        /// An earlier run has committed the row.
        func isCovered(row: Int32 = 0) -> Bool {
            self.input.checkpoints[self.home].covers(offset: self.line.offset, row: row)
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
        var first: (lane: Int, index: Int)?
        var letters = 0
        if context.line.isOversized {
            let rejection = Rejection(
                .tooLarge,
                "the message is \(context.line.length) bytes long; `limits: { message_bytes: … }` takes longer ones"
            )
            letters = Self.deadLetter(rejection, isWhole: true, context, into: &routed.runs)
        } else {
            context.block.bytes.withUnsafeBytes { bytes in
                self.decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[context.line.range]), into: &message)
            }
            letters = self.encode(message, context, &origin, &tally, into: &routed.runs)
        }
        // The message is counted by the lane of its first item, with that item: both are committed or neither.
        for lane in routed.runs.indices {
            let count = routed.runs[lane].items.count
            guard count > self.counts[lane] else { continue }
            if first == nil || lane == context.home { first = (lane, self.counts[lane]) }
            self.counts[lane] = count
        }
        if let first {
            routed.runs[first.lane].items[first.index].tally += tally
        } else if !context.isCovered() {
            routed.runs[context.home].pendingTally += tally
        }
        return letters
    }

    private mutating func encode(
        _ message: DecodedMessage,
        _ context: MessageContext,
        _ origin: inout ChangeEncoder.Origin,
        _ tally: inout Tally,
        into runs: inout [LaneSegment]
    ) -> Int {
        if let failure = message.failure { return Self.deadLetter(failure, isWhole: true, context, into: &runs) }
        if message.isControl {
            tally.control = 1
            return 0
        }
        var letters = 0
        // In the order of rows, the bad ones among the others: a checkpoint behind one row covers those before it.
        var failures = message.rowFailures[...]
        for index in message.events.indices {
            while let failure = failures.first, failure.row < message.events[index].row {
                letters += Self.deadLetter(failure.rejection, row: failure.row, context, into: &runs)
                failures.removeFirst()
            }
            letters += self.encode(message.events[index], of: message, context, &origin, &tally, into: &runs)
        }
        for failure in failures {
            letters += Self.deadLetter(failure.rejection, row: failure.row, context, into: &runs)
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
        into runs: inout [LaneSegment]
    ) -> Int {
        self.findMatchingProjections(of: event, message)
        if self.lastMatching.isEmpty {
            if event.operation == .truncate { tally.control = 1 } else { tally.filtered += 1 }
        }
        origin.place.row = Int32(clamping: event.row)
        var letters = 0
        for place in self.lastMatching.indices {
            let taker = self.lastMatching[place]
            var rejection: Rejection?
            if event.operation == .truncate {
                do throws(Rejection) {
                    try self.recordTruncate(event, of: message, taker, context, into: &runs)
                    tally.control = 1
                } catch {
                    rejection = error
                }
            } else {
                switch self.encoders[taker].pointee.encode(event, of: message, from: origin, into: &runs) {
                case .encoded: break
                case .filtered: tally.filtered += 1
                case .rejected(let error): rejection = error
                }
            }
            guard let rejection else { continue }
            let name = self.encoders[taker].pointee.plan.name
            letters += Self.deadLetter(rejection, of: name, row: event.row, context, into: &runs)
        }
        return letters
    }

    /// Has `lastMatching` be those of the event.
    @inline(__always)
    private mutating func findMatchingProjections(of event: ChangeEvent, _ message: DecodedMessage) {
        guard !self.distinguishesDatabases else {
            let table = message.fullTable(of: event)
            if table != self.lastTable { (self.lastTable, self.lastMatching) = (table, self.takers(of: table)) }
            return
        }
        guard !message.has(self.lastTable, at: event.table) else { return }
        self.lastTable = Array(message.bytes[event.table.range])
        self.lastMatching = self.takers(of: self.lastTable)
    }

    private mutating func takers(of table: [UInt8]) -> [Int] {
        if let known = self.routes[table] { return known }
        let name = String(decoding: table, as: UTF8.self)
        let takers = self.encoders.indices.filter { self.encoders[$0].pointee.plan.takes(table: name) }
        if self.routes.count >= Self.routesMax { self.routes.removeAll() }
        self.routes[table] = takers
        return takers
    }

    /// - Returns: 0 for what an earlier run has committed: it was counted there, and stopped that one where it had to.
    private static func deadLetter(
        _ rejection: Rejection,
        of projection: String? = nil,
        row: Int = 0,
        isWhole: Bool = false,
        _ context: MessageContext,
        into runs: inout [LaneSegment]
    ) -> Int {
        let (line, input) = (context.line, context.input)
        let bytes = context.block.bytes[line.range]
        let place = Place(file: input.file, offset: line.offset, row: Int32(clamping: row))
        let letter = DeadLetter(
            projection: projection,
            source: input.settings.name,
            position: "\(input.path):\(line.number)",
            rejection: rejection,
            row: place.row,
            raw: Array(bytes.prefix(DeadLetter.rawBytesMax)),
            digest: DeadLetter.digest(of: bytes, oversizedLength: line.isOversized ? line.length : nil),
            reading: DeadLetter.Reading(place: place, line: line.number),
            isWhole: isWhole
        )
        runs[context.home].appendDeadLetter(letter, offset: line.offset, line: line.number)
        return context.isCovered(row: letter.row) ? 0 : 1
    }

    /// Recorded once; where it is a delete, each lane has to know of it, since each has entities of the table.
    private mutating func recordTruncate(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        _ taker: Int,
        _ context: MessageContext,
        into runs: inout [LaneSegment]
    ) throws(Rejection) {
        let isDelete = self.encoders[taker].pointee.plan.truncatesDelete
        let position = message.bytes[event.positionText.range]
        // Without a position that can be compared it is known by what the message says of its place.
        let order =
            try self.encoders[taker].pointee.truncateOrder(event, context.input.settings)
            ?? (key: [0] + position, text: Array(position))
        let table = try self.encoders[taker].pointee.truncatedTable(event, message)
        try Self.checkTruncate(of: table, at: order.text)
        for lane in isDelete ? Array(runs.indices) : [context.home] {
            var item = EncodedChange(kind: .truncate, offset: context.line.offset, row: Int32(clamping: event.row))
            item.line = context.line.number
            item.projection = Int32(taker)
            item.eventTime = event.eventTime
            runs[lane].append(truncate: item, of: table[...], order: order)
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
