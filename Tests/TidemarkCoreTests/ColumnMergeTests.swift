import Testing
import TidemarkTesting

@testable import TidemarkCore

/// One event of an entity, as the merge sees it. Its number is its rank in the order, and its value in each column.
private struct ImageEvent: Hashable {
    enum Kind: Hashable { case complete, partial, delete }

    var number: Int
    var kind: Kind
    /// What a partial image carries.
    var carried: Set<String> = []
    /// What it names without a value: columns that a complete image lacks, and placeholders of a partial one.
    var named: Set<String> = []
    var carriesState = true

    /// Two bytes, so that an order key is no number that happens to compare well.
    var key: [UInt8] { [UInt8(self.number >> 8), UInt8(self.number & 0xFF)] }

    func carries(_ column: String) -> Bool {
        switch self.kind {
        case .complete: !self.named.contains(column)
        case .partial: self.carried.contains(column)
        case .delete: false
        }
    }

    static func complete(_ number: Int, lacking named: Set<String> = [], state: Bool = true) -> ImageEvent {
        ImageEvent(number: number, kind: .complete, named: named, carriesState: state)
    }

    static func partial(_ number: Int, _ carried: Set<String>, naming: Set<String> = [], state: Bool = false)
        -> ImageEvent
    {
        ImageEvent(number: number, kind: .partial, carried: carried, named: naming, carriesState: state)
    }

    static func delete(_ number: Int) -> ImageEvent { ImageEvent(number: number, kind: .delete) }
}

/// What a row is: for each column the number of the event that its value comes from.
private struct RowValues: Hashable {
    static let columns = ["a", "b", "c", "d"]

    var columns: [String: Int] = [:]
    var state: Int?
    /// Columns that were named and never carried.
    var namedOnly: [String] = []

    /// The events in their order, each overwriting what it carries.
    static func sorted(_ events: [ImageEvent]) -> RowValues {
        var row = RowValues()
        var named: Set<String> = []
        for event in events.sorted(by: { $0.number < $1.number }) {
            if event.kind == .delete {
                row = RowValues()
                named = []
                continue
            }
            for column in Self.columns where event.carries(column) { row.columns[column] = event.number }
            if event.carriesState { row.state = event.number }
            named.formUnion(event.named)
        }
        row.namedOnly = named.filter { row.columns[$0] == nil }.sorted()
        return row
    }
}

/// An entity's row that is merged batch by batch, as a lane does.
private struct MergedEntity {
    private(set) var row = RowValues()
    private(set) var state = ColumnState()
    private(set) var hasChanged = false
    private var highWater: ImageEvent?
    /// A row that one event explains is stored without a state of its columns.
    var dropsExplained = false

    mutating func merge(_ batch: [ImageEvent]) {
        var merge = ColumnMerge(self.state)
        for (index, event) in batch.enumerated() {
            let item = ItemReference(segment: 0, index: index)
            let named = event.named.map { Array($0.utf8) }
            switch event.kind {
            case .delete: merge.delete(at: event.key)
            case .complete:
                merge.take(complete: item, at: event.key, lacking: named, carriesState: event.carriesState)
            case .partial:
                merge.take(
                    partial: item,
                    at: event.key,
                    columns: event.carried.map { Array($0.utf8) },
                    missing: named,
                    carriesState: event.carriesState
                )
            }
            if event.number > self.highWater?.number ?? -1 { self.highWater = event }
        }
        self.hasChanged = merge.hasChanged
        for column in RowValues.columns {
            self.row.columns[column] = Self.value(merge.origin(of: Array(column.utf8)), self.row.columns[column], batch)
        }
        self.row.state = Self.value(merge.originOfState, self.row.state, batch)
        self.row.namedOnly = merge.namedOnly.map { String(decoding: $0, as: UTF8.self) }
        self.state = merge.state
        guard self.dropsExplained, let highWater, merge.state.isExplained(by: highWater.key) else { return }
        self.state = ColumnState(highWater: highWater.key, isDeleted: highWater.kind == .delete)
    }

    private static func value(_ origin: ColumnMerge.Origin, _ stored: Int?, _ batch: [ImageEvent]) -> Int? {
        switch origin {
        case .stored: stored
        case .unknown: nil
        case .item(let item): batch[Int(item.index)].number
        }
    }

    static func merging(_ batches: [[ImageEvent]]) -> MergedEntity {
        var entity = MergedEntity()
        for batch in batches { entity.merge(batch) }
        return entity
    }
}

extension RowValues {
    fileprivate init(_ columns: [String: Int], state: Int? = nil, namedOnly: [String] = []) {
        self.columns = columns
        self.state = state
        self.namedOnly = namedOnly
    }
}

/// All orders of a few things.
private func permutations<Element>(_ elements: [Element]) -> [[Element]] {
    guard let first = elements.first else { return [[]] }
    return permutations(Array(elements.dropFirst())).flatMap { rest in
        (0...rest.count).map { Array(rest[..<$0]) + [first] + Array(rest[$0...]) }
    }
}

@Suite struct ColumnMergeTests {
    private typealias Case = (events: [ImageEvent], expected: RowValues)

    /// Histories by hand, with the row that a reader expects.
    private static let cases: [Case] = [
        // A partial image changes its columns and no other.
        (
            [.complete(1), .partial(2, ["b"])], RowValues(["a": 1, "b": 2, "c": 1, "d": 1], state: 1)
        ),
        // A complete image overwrites partial ones below it, whichever comes first.
        (
            [.partial(1, ["a"], state: true), .complete(2), .partial(3, ["c"])],
            RowValues(["a": 2, "b": 2, "c": 3, "d": 2], state: 2)
        ),
        // Without a complete image the other columns are unknown.
        ([.partial(1, ["a"]), .partial(2, ["b"], state: true)], RowValues(["a": 1, "b": 2], state: 2)),
        // Nothing of the row before a delete is seen in the row behind it.
        ([.complete(1), .delete(2), .partial(3, ["d"])], RowValues(["d": 3])),
        ([.partial(1, ["a", "b"], state: true), .complete(2), .delete(3)], RowValues()),
        // A placeholder of a complete image leaves the column as it was, from an image or from a partial one.
        ([.complete(1), .complete(2, lacking: ["c"])], RowValues(["a": 2, "b": 2, "c": 1, "d": 2], state: 2)),
        (
            [.complete(1), .partial(2, ["c"]), .complete(3, lacking: ["c"])],
            RowValues(["a": 3, "b": 3, "c": 2, "d": 3], state: 3)
        ),
        (
            [.complete(1), .complete(2, lacking: ["c"]), .complete(3, lacking: ["c", "d"])],
            RowValues(["a": 3, "b": 3, "c": 1, "d": 2], state: 3)
        ),
        // A delete ends what a placeholder could stand for.
        (
            [.complete(1), .delete(2), .complete(3, lacking: ["c"])],
            RowValues(["a": 3, "b": 3, "d": 3], state: 3, namedOnly: ["c"])
        ),
        // A placeholder that no event resolves is named, one that an event resolves is not.
        (
            [.partial(1, ["a"], naming: ["b", "c"]), .partial(2, ["b"])], RowValues(["a": 1, "b": 2], namedOnly: ["c"])
        ),
        // An image without the state leaves the state as it was.
        ([.complete(1), .complete(2, state: false)], RowValues(["a": 2, "b": 2, "c": 2, "d": 2], state: 1)),
        (
            [.partial(1, ["a"], state: true), .delete(2), .complete(3, state: false)],
            RowValues(["a": 3, "b": 3, "c": 3, "d": 3])
        ),
    ]

    @Test(arguments: cases.indices)
    func `a history in any order ends in the row that its order keys say`(_ index: Int) {
        let (events, expected) = Self.cases[index]
        #expect(RowValues.sorted(events) == expected)
        for order in permutations(events) {
            let numbers = order.map(\.number)
            #expect(MergedEntity.merging([order]).row == expected, "in one batch, as \(numbers)")
            #expect(MergedEntity.merging(order.map { [$0] }).row == expected, "one by one, as \(numbers)")
        }
    }

    /// Each test of random histories makes the same ones from a seed.
    private static func history(_ random: inout SeededGenerator) -> [ImageEvent] {
        func some(_ percent: Int) -> Set<String> { Set(RowValues.columns.filter { _ in random.chance(percent) }) }
        return (1...Int.random(in: 1...9, using: &random)).map { number in
            switch Int.random(in: 0..<10, using: &random) {
            case 0, 1: return .delete(number * 97)
            case 2: return .complete(number * 97)
            case 3, 4: return .complete(number * 97, lacking: some(40), state: random.chance(60))
            default:
                let carried = some(45)
                let named = some(25).subtracting(carried)
                return .partial(number * 97, carried, naming: named, state: random.chance(40))
            }
        }
    }

    private static func arrival(_ events: [ImageEvent], _ random: inout SeededGenerator) -> [[ImageEvent]] {
        var arrival = events
        for _ in 0..<Int.random(in: 0...3, using: &random) { arrival.append(random.pick(events)) }
        arrival.shuffle(using: &random)
        var batches: [[ImageEvent]] = []
        while !arrival.isEmpty {
            let count = Int.random(in: 1...arrival.count, using: &random)
            batches.append(Array(arrival.prefix(count)))
            arrival.removeFirst(count)
        }
        return batches
    }

    @Test func `partial images in any order, repetition and batching end in the same row`() {
        let generator = SeededGenerator.forTest("column merge")
        for number in 0..<1500 {
            var random = generator.fork(number)
            let events = Self.history(&random)
            let expected = RowValues.sorted(events)
            for _ in 0..<4 {
                let batches = Self.arrival(events, &random)
                let comment: Comment = "seed \(generator.seed), history \(number): \(batches)"
                #expect(MergedEntity.merging(batches).row == expected, comment)
            }
        }
    }

    @Test func `what is kept of the columns does not show the order of arrival`() {
        let generator = SeededGenerator.forTest("column merge, states")
        for number in 0..<800 {
            var random = generator.fork(number)
            let events = Self.history(&random)
            let expected = MergedEntity.merging([events]).state
            for _ in 0..<3 {
                let batches = Self.arrival(events, &random)
                #expect(MergedEntity.merging(batches).state == expected, "seed \(generator.seed), history \(number)")
            }
        }
    }

    @Test func `a row that one event explains can be stored without a state of its columns`() {
        let generator = SeededGenerator.forTest("column merge, explained rows")
        for number in 0..<1500 {
            var random = generator.fork(number)
            let events = Self.history(&random)
            var entity = MergedEntity()
            entity.dropsExplained = true
            let batches = Self.arrival(events, &random)
            for batch in batches { entity.merge(batch) }
            #expect(entity.row == RowValues.sorted(events), "seed \(generator.seed), history \(number): \(batches)")
        }
    }

    @Test func `an event that is read again changes nothing`() {
        let generator = SeededGenerator.forTest("column merge, repetition")
        for number in 0..<400 {
            var random = generator.fork(number)
            let events = Self.history(&random)
            var entity = MergedEntity.merging(Self.arrival(events, &random))
            let before = (entity.row, entity.state)
            for event in events {
                entity.merge([event])
                #expect(!entity.hasChanged, "seed \(generator.seed), history \(number), \(event)")
            }
            #expect(entity.row == before.0 && entity.state == before.1, "seed \(generator.seed), history \(number)")
        }
    }

    @Test func `a batch that changes the row says so`() {
        let generator = SeededGenerator.forTest("column merge, changes")
        for number in 0..<400 {
            var random = generator.fork(number)
            var entity = MergedEntity()
            for batch in Self.arrival(Self.history(&random), &random) {
                let before = (entity.row, entity.state)
                entity.merge(batch)
                let isSame = entity.row == before.0 && entity.state == before.1
                #expect(entity.hasChanged || isSame, "seed \(generator.seed), history \(number), \(batch)")
            }
        }
    }

    /// A row is patched column by column only while it takes more than its greatest event to say what it is.
    @Test func `a complete image above partial ones explains the row alone`() {
        var entity = MergedEntity.merging([[.partial(1, ["a"]), .partial(2, ["b"], state: true)]])
        #expect(!entity.state.isExplained(by: ImageEvent.partial(2, []).key))
        entity.merge([.complete(3)])
        #expect(entity.state.isExplained(by: ImageEvent.complete(3).key))
        entity.merge([.partial(4, ["a"])])
        #expect(!entity.state.isExplained(by: ImageEvent.partial(4, []).key))
        entity.merge([.delete(5)])
        #expect(entity.state.isExplained(by: ImageEvent.delete(5).key))
        entity.merge([.complete(6, lacking: ["d"])])
        #expect(!entity.state.isExplained(by: ImageEvent.complete(6).key))
    }
}

/// Truncates that delete: of each entity of the table, at the truncate's position among the entity's events.
@Suite struct TruncateLogTests {
    private static func entry(_ table: String, _ key: UInt8) -> TruncateLog.Entry {
        .init(table: Array(table.utf8), orderKey: [key], sequence: Array("\(key)".utf8))
    }

    private static let orders: Set<[UInt8]> = [Array("shop.orders".utf8)]

    @Test func `the greatest truncate of a table counts, whatever the order in which they came`() {
        var log = TruncateLog()
        for key in [3, 9, 5] as [UInt8] { log.add(Self.entry("shop.orders", key)) }
        log.add(Self.entry("shop.items", 20))
        let last = ItemReference(segment: 9, index: 9)
        #expect(log.greatest(of: Self.orders, before: last)?.orderKey == [9])
        #expect(log.greatest(of: Self.orders.union([Array("shop.items".utf8)]), before: last)?.orderKey == [20])
        #expect(log.greatest(of: [], before: last) == nil)
    }

    @Test func `within a batch a truncate counts for the events that arrive after it`() {
        var log = TruncateLog()
        log.add(Self.entry("shop.orders", 7), at: ItemReference(segment: 1, index: 4))
        #expect(log.greatest(of: Self.orders, before: ItemReference(segment: 1, index: 4)) == nil)
        #expect(log.greatest(of: Self.orders, before: ItemReference(segment: 0, index: 9)) == nil)
        #expect(log.greatest(of: Self.orders, before: ItemReference(segment: 1, index: 5))?.orderKey == [7])
        #expect(log.greatest(of: Self.orders, before: ItemReference(segment: 2, index: 0))?.orderKey == [7])
    }

    @Test func `a batch that was not committed leaves no truncate, one that was leaves it for all that follow`() {
        var log = TruncateLog()
        let first = ItemReference(segment: 0, index: 0)
        log.add(Self.entry("shop.orders", 7), at: first)
        log.dropRecent()
        #expect(log.greatest(of: Self.orders, before: ItemReference(segment: 0, index: 1)) == nil)
        log.add(Self.entry("shop.orders", 6), at: first)
        log.commitRecent()
        #expect(log.greatest(of: Self.orders, before: first)?.orderKey == [6])
        log.add(Self.entry("shop.orders", 5), at: first)
        log.commitRecent()
        #expect(log.greatest(of: Self.orders, before: first)?.orderKey == [6])
    }
}
