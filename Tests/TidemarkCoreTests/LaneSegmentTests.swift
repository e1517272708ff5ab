import Testing
import TidemarkCore
import TidemarkTesting

/// What is written into a segment is what is read from it, whatever stands beside it.
@Suite struct LaneSegmentTests {
    private static func event(_ random: inout SeededGenerator) -> TestEvent {
        func text(_ count: Int) -> String {
            (0..<count).map { _ in random.pick(["a", "é", "\"", "\\", "\n", "😀", "0"]) }.joined()
        }
        func row() -> TestRow {
            let id = TestCell.number("\(Int.random(in: 0...9, using: &random))")
            let version = TestCell.number("\(Int.random(in: 0...999, using: &random))")
            let status = random.pick([
                .null, .unavailable, TestCell(text(Int.random(in: 0...300, using: &random)), .string),
            ])
            let total = random.pick([TestCell.null, .unavailable, "1.5", 7])
            return ["id": id, "version": version, "status": status, "total": total]
        }
        let isDelete = random.chance(20)
        var event = TestEvent(
            isDelete ? .delete : random.pick([.insert, .update, .snapshot]),
            before: isDelete || random.chance(30) ? row() : nil,
            after: isDelete ? nil : row()
        )
        if random.chance(50) { event.change.positionText = event.add("mysql-bin.000042:\(random.next() % 9999)") }
        if random.chance(50) { event.change.eventTime = Int64(random.next() >> 20) }
        return event
    }

    private static func parts(_ change: EncodedView) -> [String] {
        let item = change.item
        return [
            change.key, change.sequence, "\(change.orderKey)", "\(change.keyFields)", "\(change.valueFields)",
            change.image,
            change.state ?? "none", "\(change.missing)", "\(change.carried)", change.text(item.position), change.table,
            "\(item.operation) \(item.isPartial) \(item.milestones) \(item.eventTime ?? -1) \(item.sequenceCount)",
        ]
    }

    @Test(arguments: [true, false])
    func `an event reads the same alone and among others, in any lane`(_ declaresColumns: Bool) throws {
        var random = SeededGenerator.forTest("lane segments")
        var definition = ProjectionDefinition.orders(declaresColumns: declaresColumns)
        definition.onTruncate = .delete
        let together = EncoderBench(definition, lanes: 3)
        var written: [[String]] = []
        var offsets: [UInt64: Int] = [:]
        for number in 0..<300 {
            let event = Self.event(&random)
            let offset = StreamOffset(major: UInt64(number))
            let alone = EncoderBench(definition).encode(event, at: offset)
            let (outcome, encoded) = together.encode(event, at: offset)
            #expect(outcome == alone.outcome, "seed \(random.seed)")
            // Halves of a key change stand in the order of their lanes.
            let expected = alone.encoded.map(Self.parts).sorted { $0[0] < $1[0] }
            #expect(
                encoded.map(Self.parts).sorted { $0[0] < $1[0] } == expected,
                "seed \(random.seed), event \(number)"
            )
            written += expected
            offsets[offset.major] = encoded.count
        }
        // Read back at the end, when the segments have grown and moved.
        var read: [[String]] = []
        for (lane, segment) in together.segments.enumerated() {
            let views = segment.items.map { EncodedView($0, lane: lane, of: segment) }
            read += views.map(Self.parts)
            for view in views { offsets[view.item.offset.major, default: 0] -= 1 }
        }
        #expect(read.map { $0.joined() }.sorted() == written.map { $0.joined() }.sorted(), "seed \(random.seed)")
        #expect(offsets.values.allSatisfy { $0 == 0 })
        #expect(read.contains { $0[10] == "shop.orders" }, "the table stands where truncates are deletes")
    }

    @Test func `without a timeline no image is kept, and the row is the same`() throws {
        var definition = ProjectionDefinition.orders(declaresColumns: false)
        let event = TestEvent(.insert, after: ["id": 1, "version": 2, "status": "paid", "total": 3])
        let with = try #require(EncoderBench(definition).encode(event).encoded.first)
        definition.timeline = false
        let without = try #require(EncoderBench(definition).encode(event).encoded.first)
        #expect(without.image.isEmpty && !with.image.isEmpty)
        #expect(without.valueFields == with.valueFields && without.orderKey == with.orderKey)
    }

    @Test func `an erased image is gone, and nothing else of its event`() throws {
        let bench = EncoderBench(.orders(declaresColumns: false))
        let row: TestRow = ["id": 1, "version": 2, "status": "paid", "total": .unavailable]
        _ = bench.encode(TestEvent(.insert, after: row))
        let segment = bench.segments[0]
        let before = EncodedView(segment.items[0], lane: 0, of: segment)
        var item = segment.items[0]
        item.removeImage()
        let after = EncodedView(item, lane: 0, of: segment)
        #expect(after.image.isEmpty)
        #expect(after.valueFields == before.valueFields && after.state == "paid" && after.missing == ["total"])
    }

    // MARK: Items without a row

    @Test func `a truncate has its table, its order key and its position as people read it`() {
        var segment = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
        segment.append(
            truncate: EncodedChange(kind: .truncate, offset: StreamOffset(major: 5)),
            of: Array("shop.orders".utf8)[...],
            order: (key: [1, 2, 0xFF], text: Array("4:100".utf8))
        )
        segment.append(
            truncate: EncodedChange(kind: .truncate, offset: StreamOffset(major: 6)),
            of: Array("shop.items".utf8)[...],
            order: (key: [9], text: [])
        )
        let views = segment.items.map { EncodedView($0, lane: 0, of: segment) }
        #expect(views.map(\.table) == ["shop.orders", "shop.items"])
        #expect(views.map(\.orderKey) == [[1, 2, 0xFF], [9]])
        #expect(views.map(\.sequence) == ["4:100", ""])
        #expect(views.allSatisfy { $0.key.isEmpty && $0.image.isEmpty && $0.valueFields.isEmpty && $0.state == nil })
    }

    private static func letter(_ bytes: Int) -> DeadLetter {
        DeadLetter(
            projection: nil,
            source: "test",
            position: "file 1",
            rejection: Rejection(.malformedJSON, "\(bytes)"),
            row: 0,
            raw: [UInt8](repeating: 0, count: bytes),
            digest: []
        )
    }

    @Test func `a dead letter's item finds its letter`() {
        var segment = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
        for count in [3, 1, 2] {
            segment.append(
                deadLetter: Self.letter(count),
                at: StreamOffset(major: UInt64(count)),
                ordinal: UInt32(count)
            )
            segment.append(EncodedChange(kind: .change, offset: StreamOffset(major: UInt64(count), row: 1)))
        }
        let letters = segment.items.filter { $0.kind == .deadLetter }
        #expect(letters.map { segment.deadLetters[$0.deadLetter].rejection.detail } == ["3", "1", "2"])
        #expect(letters.map(\.ordinal) == [3, 1, 2] && letters.map(\.offset.major) == [3, 1, 2])
    }

    @Test func `messages without an item are counted with the next item, or with the segment`() {
        var segment = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
        #expect(segment.isEmpty)
        segment.pendingTally.messages = 3
        segment.pendingTally.control = 2
        #expect(!segment.isEmpty, "there is something to commit")
        segment.append(EncodedChange(kind: .change, offset: .start))
        segment.append(EncodedChange(kind: .change, offset: .start))
        #expect(segment.items[0].tally.messages == 3 && segment.items[0].tally.control == 2)
        #expect(segment.items[1].tally.isEmpty && segment.pendingTally.isEmpty)
        segment.pendingTally.filtered = 1
        segment.append(deadLetter: Self.letter(1), at: .start, ordinal: 0)
        #expect(segment.items[2].tally.filtered == 1 && segment.pendingTally.isEmpty)
    }

    /// Back-pressure counts these bytes: what goes into a timeline, and a letter's message, exist three times during a
    /// commit.
    @Test(arguments: [true, false])
    func `an event of a timeline and a dead letter's message weigh three times`(_ keepsTimeline: Bool) throws {
        let event = TestEvent(.insert, after: ["id": 1, "version": 2, "status": "paid", "total": 3])
        var definition = ProjectionDefinition.orders()
        definition.timeline = keepsTimeline
        let bench = EncoderBench(definition)
        _ = bench.encode(event)
        let own = bench.segments[0]
        let items = MemoryLayout<EncodedChange>.stride
        #expect(own.weight == (keepsTimeline ? 3 : 1) * own.bytes.count + items)
        var letters = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
        letters.append(deadLetter: Self.letter(1000), at: .start, ordinal: 0)
        #expect(letters.weight == 3000 + items)
    }

    /// Few others of its key are folded with it, so nearly all of it is sent.
    @Test func `a large event weighs three times, its values included`() throws {
        var definition = ProjectionDefinition.orders(declaresColumns: false)
        definition.timeline = false
        let bench = EncoderBench(definition)
        let note = TestCell(String(repeating: "x", count: 200_000), .string)
        _ = bench.encode(TestEvent(.insert, after: ["id": 1, "version": 2, "note": note]))
        let own = bench.segments[0]
        #expect(own.bytes.count > 200_000)
        #expect(own.weight == 3 * own.bytes.count + MemoryLayout<EncodedChange>.stride)
    }
}
