import Testing
import TidemarkTesting

@testable import TidemarkCore

/// What a row is: each column's binary value where an event has given it one, and the state.
private struct FoldedRow: Hashable {
    var columns: [[UInt8]?]
    var state: String?
    var isDeleted = true

    init(_ count: Int) { self.columns = Array(repeating: nil, count: count) }

    /// Takes what the event carries; a delete takes all of it away.
    mutating func take(_ change: EncodedView) {
        guard change.operation != .delete else { return self = FoldedRow(self.columns.count) }
        self.isDeleted = false
        let fields = change.valueFields
        for index in fields.indices where !change.item.isPartial || change.carried[index] == 1 {
            self.columns[index] = fields[index]
        }
        if change.item.carriesState { self.state = change.state }
    }
}

/// Encodes and folds batches of one projection, and keeps rows and states as a store does.
private struct RowStore {
    let bench: EncoderBench
    private var states: [KeyHash: EntityState] = [:]
    private(set) var rows: [String: FoldedRow] = [:]
    /// By entity, the order keys that reached each milestone.
    private(set) var milestones: [String: [Int: [UInt8]]] = [:]

    init(_ definition: ProjectionDefinition) { self.bench = EncoderBench(definition) }

    mutating func fold(_ events: [TestEvent]) {
        for event in events { _ = self.bench.encode(event) }
        let batch = self.bench.takeBatch()
        let groups = EntityGroups(batch.changes, of: batch)
        let fold = BatchFold(
            batch: batch,
            groups: groups,
            states: groups.indices.map { self.states[groups.keyHashes[$0]] ?? EntityState() },
            plan: self.bench.plan,
            sources: ["test"]
        )
        func view(_ item: ItemReference) -> EncodedView {
            EncodedView(batch[item], lane: 0, of: batch.segments[Int(item.segment)])
        }
        for entity in fold.entities {
            self.states[batch[entity.keyItem].keyHash] = entity.after
            let key = view(entity.keyItem).key
            var row = self.rows[key] ?? FoldedRow(self.bench.plan.valueColumns?.count ?? 0)
            if entity.isMerged, let merge = entity.merge?.columns {
                self.merge(merge, into: &row, view)
                row.isDeleted = entity.after.isDeleted
            } else if let item = entity.row {
                row.take(view(item))
            }
            self.rows[key] = row
        }
        for milestone in fold.milestones {
            let change = view(milestone.item)
            let former = self.milestones[change.key]?[milestone.milestone]
            if let former, !change.orderKey.lexicographicallyPrecedes(former) { continue }
            self.milestones[change.key, default: [:]][milestone.milestone] = change.orderKey
        }
    }

    private func merge(_ merge: ColumnMerge, into row: inout FoldedRow, _ view: (ItemReference) -> EncodedView) {
        for (index, column) in (self.bench.plan.valueColumns ?? []).enumerated() {
            switch merge.origin(of: Array(column.name.utf8)) {
            case .stored: break
            case .unknown: row.columns[index] = nil
            case .item(let item): row.columns[index] = view(item).valueFields[index]
            }
        }
        switch merge.originOfState {
        case .stored: break
        case .unknown: row.state = nil
        case .item(let item): row.state = view(item).state
        }
    }

    /// The events by entity, each in the order of its order keys, one after the other.
    static func sorted(_ events: [TestEvent], _ definition: ProjectionDefinition) -> [String: FoldedRow] {
        let bench = EncoderBench(definition)
        let changes = Dictionary(grouping: events.flatMap { bench.encode($0).encoded }, by: \.key)
        return changes.mapValues { changes in
            var row = FoldedRow(bench.plan.valueColumns?.count ?? 0)
            for change in changes.sorted(by: { $0.orderKey.lexicographicallyPrecedes($1.orderKey) }) {
                row.take(change)
            }
            return row
        }
    }
}

/// Events with placeholders, from the message to the row: the order of arrival must not show.
@Suite struct PartialFoldTests {
    private static func event(_ random: inout SeededGenerator) -> TestEvent {
        func cell(_ values: [TestCell]) -> TestCell {
            random.chance(30) ? .unavailable : random.chance(10) ? .null : random.pick(values)
        }
        func row() -> TestRow {
            [
                "id": .number("\(Int.random(in: 1...3, using: &random))"),
                "version": .number("\(Int.random(in: 1...6, using: &random))"),
                "status": cell(["created", "paid", "shipped", "delivered", "lost"]), "total": cell(["1", "2.5"]),
            ]
        }
        if random.chance(18) { return TestEvent(.delete, before: row()) }
        // A change of the key now and then.
        let before: TestRow? = random.chance(15) ? ["id": .number("\(Int.random(in: 1...3, using: &random))")] : nil
        return TestEvent(random.pick([.insert, .update, .snapshot]), before: before, after: row())
    }

    @Test(arguments: [true, false])
    func `events in any order, repetition and batching end in the rows of their order keys`(_ keepsTimeline: Bool) {
        var definition = ProjectionDefinition.orders()
        definition.timeline = keepsTimeline
        let generator = SeededGenerator.forTest("partial folds")
        for number in 0..<150 {
            var random = generator.fork(number)
            let events = (0..<Int.random(in: 1...24, using: &random)).map { _ in Self.event(&random) }
            let expected = RowStore.sorted(events, definition)
            var milestones: [String: [Int: [UInt8]]]?
            for _ in 0..<3 {
                var arrival = events + (0..<3).map { _ in random.pick(events) }
                arrival.shuffle(using: &random)
                var store = RowStore(definition)
                while !arrival.isEmpty {
                    let count = Int.random(in: 1...min(9, arrival.count), using: &random)
                    store.fold(Array(arrival.prefix(count)))
                    arrival.removeFirst(count)
                }
                let comment: Comment = "seed \(generator.seed), history \(number)"
                #expect(store.rows == expected, comment)
                #expect(store.milestones == milestones ?? store.milestones, comment)
                milestones = store.milestones
            }
        }
    }
}
