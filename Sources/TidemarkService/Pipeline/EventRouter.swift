package import TidemarkCore
package import TidemarkIngest

/// From lines to staged events: decodes each message, finds the projections that take it, checks and encodes it for
/// each, and lays it into the run of the lane its key belongs to. Used by one reader; knows nothing of the database.
package struct EventRouter: ~Copyable {
    /// What is being read.
    package struct Input: Sendable {
        package var settings: SourceSettings
        package var sourceIndex: Int
        /// How a person calls the file.
        package var path: String
        package var file: Int64
        /// Where each lane stands in the file; what a lane has is passed over.
        package var checkpoints: [Checkpoint]

        package init(
            settings: SourceSettings,
            sourceIndex: Int,
            path: String,
            file: Int64,
            checkpoints: [Checkpoint]
        ) {
            self.settings = settings
            self.sourceIndex = sourceIndex
            self.path = path
            self.file = file
            self.checkpoints = checkpoints
        }
    }

    /// What one block of lines came to.
    package struct Routed: Sendable {
        package var runs: [EventRun]
        package var messages = 0
        package var deadLetters = 0
        /// Reading has to stop behind this block: `--strict` met a dead letter.
        package var isStopped = false
    }

    private let lanes: Int
    private let isStrict: Bool
    private let stagers: [StagerBox]
    private var decoder: MessageDecoder
    private var message = DecodedMessage()
    /// Which projections take a table; bounded, since table names come from outside.
    private var routes: [[UInt8]: [Int]] = [:]
    private static let routesMax = 10_000
    /// The last event's table and its takers: neighbours are mostly of one table.
    private var lastTable: [UInt8] = []
    private var lastTakers: [Int]?
    /// How many items each lane's run had before the message.
    private var counts: [Int]
    /// How large each lane's run of the block before was.
    private var lastSizes: [(bytes: Int, items: Int)]

    package init(
        plans: [ProjectionPlan],
        positionKinds: [String: Position.Kind],
        settings: SourceSettings,
        lanes: Int,
        isStrict: Bool
    ) {
        self.lanes = lanes
        self.isStrict = isStrict
        self.lastSizes = Array(repeating: (0, 0), count: lanes)
        self.counts = Array(repeating: 0, count: lanes)
        self.stagers = plans.enumerated().map {
            StagerBox(EventStager(plan: $1, index: $0, positionKind: positionKinds[$1.name]))
        }
        self.decoder = MessageDecoder(settings: settings)
    }

    /// The kinds of position that projections are ordered by are known.
    package mutating func use(_ positionKinds: [String: Position.Kind]) {
        for index in self.stagers.indices {
            let name = self.stagers[index].stager.plan.name
            self.stagers[index].stager.positionKind = positionKinds[name]
        }
    }

    /// Another source begins.
    package mutating func use(_ settings: SourceSettings) {
        self.decoder = MessageDecoder(settings: settings)
    }

    /// Decodes a block's messages and lays what they mean into one run for each lane.
    package mutating func route(_ block: LineBlock, of input: Input) -> Routed {
        var routed = Routed(runs: Array(repeating: EventRun(file: input.file), count: self.lanes))
        for lane in routed.runs.indices {
            routed.runs[lane].path = input.path
            routed.runs[lane].reserveRoom(like: self.lastSizes[lane])
        }
        var origin = EventStager.Origin(
            settings: input.settings,
            sourceIndex: input.sourceIndex,
            place: Place(file: input.file, offset: 0, row: 0),
            line: 0
        )
        var end = (offset: block.endOffset, number: block.endNumber)
        for (index, line) in block.lines.enumerated() {
            let home = input.checkpoints[Int(line.number % Int64(self.lanes))]
            origin.place.offset = line.offset
            origin.line = line.number
            let letters = self.route(line, of: block, input, &origin, into: &routed)
            if !home.covers(offset: line.offset, row: 0) { routed.messages += 1 }
            routed.deadLetters += letters
            if self.isStrict, letters > 0 {
                routed.isStopped = true
                if index + 1 < block.lines.count {
                    end = (block.lines[index + 1].offset, block.lines[index + 1].number)
                }
                break
            }
        }
        for lane in routed.runs.indices {
            Self.passOver(&routed.runs[lane], input.checkpoints[lane])
            routed.runs[lane].close(at: end.offset, line: end.number)
            self.lastSizes[lane] = routed.runs[lane].size
        }
        return routed
    }

    /// Takes out what a checkpoint covers: it was committed before the restart.
    private static func passOver(_ run: inout EventRun, _ checkpoint: Checkpoint) {
        guard let first = run.items.first, checkpoint.covers(offset: first.offset, row: first.row) else { return }
        run.items.removeAll { checkpoint.covers(offset: $0.offset, row: $0.row) }
    }

    // MARK: One message

    /// - Returns: how many dead letters it made that no earlier run has committed.
    private mutating func route(
        _ line: LineBlock.Line,
        of block: LineBlock,
        _ input: Input,
        _ origin: inout EventStager.Origin,
        into routed: inout Routed
    ) -> Int {
        let home = Int(line.number % Int64(self.lanes))
        var tally = Tally()
        tally.messages = 1
        var first: (lane: Int, index: Int)?
        var letters = 0
        for lane in routed.runs.indices { self.counts[lane] = routed.runs[lane].items.count }

        if line.isOversized {
            let rejection = Rejection(
                .tooLarge,
                "the message is \(line.length) bytes long; `limits: { message_bytes: … }` takes longer ones"
            )
            letters = self.setAside(nil, rejection, row: 0, line, block, input, into: &routed.runs[home])
        } else {
            block.bytes.withUnsafeBytes { bytes in
                self.decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[line.range]), into: &self.message)
            }
            letters = self.stage(line, of: block, input, &origin, &tally, home: home, into: &routed)
        }
        // The message is counted by the lane of its first item, with that item: both are committed or neither.
        for lane in routed.runs.indices where routed.runs[lane].items.count > self.counts[lane] {
            if first == nil || lane == home { first = (lane, self.counts[lane]) }
        }
        if let first {
            routed.runs[first.lane].items[first.index].tally += tally
        } else if !input.checkpoints[home].covers(offset: line.offset, row: 0) {
            routed.runs[home].pendingTally += tally
        }
        return letters
    }

    private mutating func stage(
        _ line: LineBlock.Line,
        of block: LineBlock,
        _ input: Input,
        _ origin: inout EventStager.Origin,
        _ tally: inout Tally,
        home: Int,
        into routed: inout Routed
    ) -> Int {
        var letters = 0
        if let failure = self.message.failure {
            return self.setAside(nil, failure, row: 0, line, block, input, into: &routed.runs[home])
        }
        if self.message.isControl {
            tally.control = 1
            return 0
        }
        // In the order of rows, the bad ones among the others: a checkpoint behind one row covers those before it.
        var failures = self.message.rowFailures[...]
        for index in self.message.events.indices {
            let event = self.message.events[index]
            while let failure = failures.first, failure.row < event.row {
                letters += self.setAside(
                    nil,
                    failure.rejection,
                    row: failure.row,
                    line,
                    block,
                    input,
                    into: &routed.runs[home]
                )
                failures.removeFirst()
            }
            let takers = self.takers(of: event)
            if event.operation == .truncate {
                if takers.isEmpty { tally.control = 1 }
                for taker in takers {
                    do throws(Rejection) {
                        try self.recordTruncate(event, taker, line, input.settings, home: home, into: &routed.runs)
                        tally.control = 1
                    } catch {
                        let name = self.stagers[taker].stager.plan.name
                        letters += self.setAside(
                            name,
                            error,
                            row: event.row,
                            line,
                            block,
                            input,
                            into: &routed.runs[home]
                        )
                    }
                }
                continue
            }
            if takers.isEmpty { tally.filtered += 1 }
            origin.place.row = Int32(clamping: event.row)
            for taker in takers {
                switch self.stagers[taker].stager.stage(event, of: self.message, from: origin, into: &routed.runs) {
                case .staged: break
                case .filtered: tally.filtered += 1
                case .rejected(let rejection):
                    let name = self.stagers[taker].stager.plan.name
                    letters += self.setAside(
                        name,
                        rejection,
                        row: event.row,
                        line,
                        block,
                        input,
                        into: &routed.runs[home]
                    )
                }
            }
        }
        for failure in failures {
            letters += self.setAside(
                nil,
                failure.rejection,
                row: failure.row,
                line,
                block,
                input,
                into: &routed.runs[home]
            )
        }
        return letters
    }

    private mutating func takers(of event: ChangeEvent) -> [Int] {
        if let lastTakers, self.message.has(self.lastTable, at: event.table) { return lastTakers }
        let table = Array(self.message.bytes[event.table.range])
        let takers = self.takers(of: table)
        self.lastTable = table
        self.lastTakers = takers
        return takers
    }

    private mutating func takers(of table: [UInt8]) -> [Int] {
        if let known = self.routes[table] { return known }
        let name = String(decoding: table, as: UTF8.self)
        let takers = self.stagers.indices.filter { self.stagers[$0].stager.plan.takes(table: name) }
        if self.routes.count >= Self.routesMax { self.routes.removeAll() }
        self.routes[table] = takers
        return takers
    }

    /// - Returns: 0 for what an earlier run has committed: it was counted there, and stopped that one where it had to.
    private func setAside(
        _ projection: String?,
        _ rejection: Rejection,
        row: Int,
        _ line: LineBlock.Line,
        _ block: LineBlock,
        _ input: Input,
        into run: inout EventRun
    ) -> Int {
        let bytes = block.bytes[line.range]
        let place = Place(file: input.file, offset: line.offset, row: Int32(clamping: row))
        let letter = DeadLetter(
            projection: projection,
            source: input.settings.name,
            position: "\(input.path):\(line.number)",
            rejection: rejection,
            row: Int32(clamping: row),
            raw: Array(bytes.prefix(DeadLetter.rawBytesMax)),
            digest: DeadLetter.digest(of: bytes, oversizedLength: line.isOversized ? line.length : nil),
            reading: DeadLetter.Reading(place: place, line: line.number, sourceIndex: input.sourceIndex),
            isWhole: self.message.failure != nil || line.isOversized
        )
        run.appendDeadLetter(letter, offset: line.offset, line: line.number)
        let home = input.checkpoints[Int(line.number % Int64(self.lanes))]
        return home.covers(offset: line.offset, row: letter.row) ? 0 : 1
    }

    /// Recorded once; where it is a delete, each lane has to know of it, since each has entities of the table.
    private mutating func recordTruncate(
        _ event: ChangeEvent,
        _ taker: Int,
        _ line: LineBlock.Line,
        _ settings: SourceSettings,
        home: Int,
        into runs: inout [EventRun]
    ) throws(Rejection) {
        let isDelete = self.stagers[taker].stager.plan.truncatesDelete
        let order = isDelete ? try self.stagers[taker].stager.truncateOrder(event, settings) : nil
        for lane in isDelete ? Array(runs.indices) : [home] {
            var item = StagedEvent(kind: .truncate, offset: line.offset, row: Int32(clamping: event.row))
            item.line = line.number
            item.projection = Int32(taker)
            item.table = runs[lane].copy(self.message.bytes[event.table.range])
            item.position = runs[lane].copy(self.message.bytes[event.positionText.range])
            item.eventTime = event.eventTime
            if let order {
                item.orderKey = runs[lane].copy(order.key)
                item.sequence = runs[lane].copy(order.text)
            }
            runs[lane].append(item)
        }
    }
}
