import Foundation
import Testing
import TidemarkCore
import TidemarkTesting

/// Folds messages of one small projection, batch by batch, as a lane does, with states kept in memory.
private struct FoldBench: ~Copyable {
    let plan: ProjectionPlan
    private var changeEncoder: ChangeEncoder
    private var states: [KeyHash: EntityState] = [:]
    /// By key, what the timeline holds: order keys, and what shows each.
    private(set) var timeline: [KeyHash: Set<[UInt8]>] = [:]
    private(set) var rows: [KeyHash: [UInt8]] = [:]
    private(set) var milestones: [KeyHash: Set<Int>] = [:]
    private(set) var verdicts = (applied: 0, duplicate: 0, below: 0)

    init(timeline keepsTimeline: Bool = true) {
        var definition = ProjectionDefinition.orders
        definition.timeline = keepsTimeline
        self.plan = ProjectionPlan(definition)
        self.changeEncoder = ChangeEncoder(plan: self.plan, index: 0)
    }

    struct Event: Hashable {
        var id: Int
        var version: Int
        /// `nil` for a delete.
        var status: String?
    }

    private static func message(_ event: Event) -> (message: DecodedMessage, change: ChangeEvent) {
        var message = DecodedMessage()
        func append(_ text: String) -> ByteRange {
            let start = message.bytes.count
            message.bytes.append(contentsOf: text.utf8)
            return ByteRange(start: start, end: message.bytes.count)
        }
        func field(_ name: String, _ value: String, _ kind: Field.Kind) {
            let (name, value) = (append(name), append(value))
            message.fields.append(Field(name: name, value: value, kind: kind))
        }
        field("id", "\(event.id)", .number)
        field("version", "\(event.version)", .number)
        if let status = event.status { field("status", status, .string) }
        var change = ChangeEvent(table: append("shop.orders"), operation: event.status == nil ? .delete : .update)
        if event.status == nil { change.before = 0..<2 } else { change.after = 0..<3 }
        // A parser may look ahead.
        message.bytes += [UInt8](repeating: 0, count: MessageBlock.padding)
        return (message, change)
    }

    mutating func fold(_ events: [Event]) throws {
        var segments = [LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)]
        for (index, event) in events.enumerated() {
            let (message, change) = Self.message(event)
            let origin = ChangeEncoder.Origin(
                settings: SourceSettings(name: "test"),
                sourceIndex: 0,
                stream: StreamID(rawValue: 1),
                offset: StreamOffset(major: UInt64(index))
            )
            let outcome = self.changeEncoder.encode(change, of: message, from: origin, into: &segments)
            try #require(outcome == .encoded, "\(event): \(outcome)")
        }
        var batch = LaneBatch()
        batch.beginSegment(segments[0])
        for index in segments[0].items.indices { batch.append(ItemReference(segment: 0, index: index)) }
        batch.endSegment()
        self.fold(batch)
    }

    private mutating func fold(_ batch: LaneBatch) {
        let groups = EntityGroups(batch.changes, of: batch)
        let fold = BatchFold(
            batch: batch,
            groups: groups,
            states: groups.indices.map { self.states[groups.keyHashes[$0]] ?? EntityState() },
            plan: self.plan,
            sources: ["test"]
        )
        self.verdicts.applied += fold.applied
        self.verdicts.duplicate += fold.duplicate
        self.verdicts.below += fold.below
        for entity in fold.entities {
            let hash = batch[entity.keyItem].keyHash
            self.states[hash] = entity.after
            if let row = entity.row { self.rows[hash] = Array(batch.orderKey(of: row)) }
        }
        for entry in fold.timeline {
            self.timeline[batch[entry.item].keyHash, default: []].insert(Array(batch.orderKey(of: entry.item)))
        }
        for milestone in fold.milestones {
            self.milestones[batch[milestone.item].keyHash, default: []].insert(milestone.milestone)
        }
    }
}

/// The verdicts of one batch, and what every order and every cut of the same events comes to.
@Suite struct BatchFoldTests {
    @Test func eachEventGetsTheVerdictThatItWouldGetAlone() throws {
        var bench = FoldBench()
        try bench.fold([
            .init(id: 1, version: 1, status: "created"), .init(id: 1, version: 3, status: "shipped"),
            .init(id: 1, version: 2, status: "paid"), .init(id: 1, version: 3, status: "shipped"),
            .init(id: 2, version: 1, status: "created"),
        ])
        #expect(bench.verdicts == (applied: 3, duplicate: 1, below: 1))
        #expect(bench.rows.count == 2)
        #expect(bench.milestones.count == 1)
    }

    @Test func whatIsKnownOfAnEntityCountsAsIfItWereInTheBatch() throws {
        var bench = FoldBench()
        try bench.fold([.init(id: 1, version: 5, status: "paid")])
        try bench.fold([.init(id: 1, version: 4, status: "created"), .init(id: 1, version: 5, status: "paid")])
        #expect(bench.verdicts == (applied: 1, duplicate: 1, below: 1))
        #expect(bench.timeline.values.first?.count == 2)
    }

    @Test func aDeleteIsAboveAnUpdateAtItsVersionAndBelowTheNext() throws {
        var bench = FoldBench()
        try bench.fold([.init(id: 1, version: 2, status: nil), .init(id: 1, version: 2, status: "paid")])
        #expect(bench.verdicts == (applied: 1, duplicate: 0, below: 1))
        try bench.fold([.init(id: 1, version: 3, status: "created")])
        #expect(bench.verdicts.applied == 2)
    }

    @Test func aStateThatImpliesAMilestoneReachesItHoweverLateItComes() throws {
        var bench = FoldBench()
        try bench.fold([.init(id: 1, version: 9, status: nil)])
        #expect(bench.milestones.isEmpty)
        try bench.fold([.init(id: 1, version: 4, status: "delivered")])
        #expect(bench.milestones.values.first == [0])
    }

    @Test func twoContentsAtOneVersionAreTwoEventsAndOneOfThemIsTheRowInEveryOrder() throws {
        let events = [FoldBench.Event(id: 1, version: 1, status: "paid"), .init(id: 1, version: 1, status: "created")]
        var forward = FoldBench()
        var backward = FoldBench()
        try forward.fold(events)
        try backward.fold(events.reversed())
        #expect(forward.rows == backward.rows)
        #expect(forward.timeline == backward.timeline && forward.timeline.values.first?.count == 2)
    }

    /// Seeds are printed with a failure; `TIDEMARK_TEST_SEED` runs one alone.
    private static var seeds: [UInt64] {
        if let seed = ProcessInfo.processInfo.environment["TIDEMARK_TEST_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(0..<60)
    }

    @Test(arguments: [true, false])
    func everyOrderRepetitionAndCutFoldsToTheSame(_ keepsTimeline: Bool) throws {
        for seed in Self.seeds {
            var generator = SplitMix64(seed: seed)
            let states = ["created", "paid", "shipped", "delivered", "lost"]
            let events = (0..<40).map { _ in
                FoldBench.Event(
                    id: generator.below(5),
                    version: generator.below(8),
                    status: generator.chance(20) ? nil : states[generator.below(states.count)]
                )
            }
            var expected = FoldBench(timeline: keepsTimeline)
            try expected.fold(events)
            for _ in 0..<4 {
                var arrival = events + (0..<10).map { _ in events[generator.below(events.count)] }
                arrival.shuffle(using: &generator)
                var bench = FoldBench(timeline: keepsTimeline)
                var rest = arrival[...]
                while !rest.isEmpty {
                    let count = 1 + generator.below(9)
                    try bench.fold(Array(rest.prefix(count)))
                    rest = rest.dropFirst(count)
                }
                #expect(bench.rows == expected.rows, "seed \(seed)")
                #expect(bench.timeline == expected.timeline, "seed \(seed)")
                #expect(bench.milestones == expected.milestones, "seed \(seed)")
                let verdicts = bench.verdicts
                #expect(verdicts.applied + verdicts.duplicate + verdicts.below == arrival.count, "seed \(seed)")
            }
        }
    }
}
