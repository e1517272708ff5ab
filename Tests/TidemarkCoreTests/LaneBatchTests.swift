import Testing
import TidemarkCore
import TidemarkTesting

/// A batch over segments that are put together by hand: what it carries progress over, and where it may be cut.
@Suite struct LaneBatchTests {
    private static func progress(_ major: UInt64, isAtEnd: Bool = false) -> StreamProgress {
        StreamProgress(
            offset: StreamOffset(major: major),
            ordinal: Int64(major),
            resume: [UInt8(major)],
            isAtEnd: isAtEnd
        )
    }

    /// A segment of the block from `start` to `end`, with an item at each of the offsets.
    private static func segment(_ stream: Int64, _ start: UInt64, _ end: UInt64, _ offsets: [StreamOffset])
        -> LaneSegment
    {
        var segment = LaneSegment(
            stream: StreamID(rawValue: stream),
            start: Self.progress(start),
            end: Self.progress(end)
        )
        for offset in offsets {
            var item = EncodedChange(kind: .change, offset: offset)
            item.ordinal = UInt32(offset.major - start)
            segment.append(item)
        }
        return segment
    }

    private static func at(_ majors: UInt64...) -> [StreamOffset] { majors.map { StreamOffset(major: $0) } }

    /// All items of the segments; of the last one the first `count`, or all of them.
    private static func batch(_ segments: [LaneSegment], last count: Int? = nil) -> LaneBatch {
        var batch = LaneBatch()
        for (number, segment) in segments.enumerated() {
            batch.beginSegment(segment)
            let isCut = number == segments.count - 1 && count != nil
            let taken = isCut ? count ?? 0 : segment.items.count
            for index in 0..<taken { batch.append(ItemReference(segment: number, index: index)) }
            if !isCut { batch.endSegment() }
        }
        return batch
    }

    private static func advances(_ batch: LaneBatch) -> [Int64: StreamProgress] {
        Dictionary(uniqueKeysWithValues: batch.advances.map { ($0.key.stream.rawValue, $0.to) })
    }

    // MARK: Advances

    @Test func `each stream advances to the end of its last block that is whole in the batch`() {
        let batch = Self.batch([
            Self.segment(1, 0, 10, Self.at(2, 7)), Self.segment(2, 50, 60, Self.at(55)),
            Self.segment(1, 10, 20, Self.at(11)),
            Self.segment(3, 0, 5, []),
        ])
        #expect(Self.advances(batch) == [1: Self.progress(20), 2: Self.progress(60), 3: Self.progress(5)])
        #expect(batch.finished == 0..<4)
    }

    @Test func `a block that is cut advances behind its last item, and resumes at its beginning`() {
        let segments = [Self.segment(1, 0, 10, Self.at(2)), Self.segment(2, 50, 60, Self.at(51, 54, 58))]
        let cut = Self.batch(segments, last: 2)
        let behind = StreamProgress(offset: StreamOffset(major: 54, row: 1), ordinal: 54, resume: [50])
        #expect(Self.advances(cut) == [1: Self.progress(10), 2: behind])
        #expect(behind.covers(StreamOffset(major: 54)) && !behind.covers(StreamOffset(major: 54, row: 1)))
        #expect(cut.finished == 0..<1)
        // Nothing of the second block is in the batch yet.
        #expect(Self.advances(Self.batch(segments, last: 0)) == [1: Self.progress(10)])
    }

    @Test func `a stream that ended is at its end`() {
        var segment = Self.segment(1, 0, 10, Self.at(3))
        segment.end = Self.progress(10, isAtEnd: true)
        #expect(Self.advances(Self.batch([segment])) == [1: Self.progress(10, isAtEnd: true)])
        #expect(Self.advances(Self.batch([segment], last: 1))[1]?.isAtEnd == false)
    }

    @Test func `what is counted by message is counted with the batch that has the item, or the end of the block`() {
        var first = LaneSegment(stream: StreamID(rawValue: 1), start: Self.progress(0), end: Self.progress(10))
        for messages in [3, 4] as [Int32] {
            first.pendingTally.messages = messages
            first.append(EncodedChange(kind: .change, offset: StreamOffset(major: UInt64(messages))))
        }
        first.pendingTally.messages = 20
        #expect(Self.batch([first], last: 1).tally.messages == 3)
        #expect(Self.batch([first], last: 2).tally.messages == 7)
        #expect(Self.batch([first]).tally.messages == 27)
    }

    @Test func `changes are told from other items, in the order of arrival`() {
        var segment = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
        for (index, kind) in [EncodedChange.Kind.change, .seen, .truncate, .change, .deadLetter].enumerated() {
            var item = EncodedChange(kind: kind, offset: StreamOffset(major: UInt64(index)))
            item.milestones = 1 << UInt64(index)
            item.isPartial = index == 3
            segment.append(item)
        }
        let batch = Self.batch([segment])
        #expect(batch.changes.map(\.index) == [0, 3] && batch.others.map(\.index) == [1, 2, 4])
        #expect(batch.milestones == 0b1001 && batch.hasPartialImages)
        #expect(!Self.batch([segment], last: 3).hasPartialImages)
    }

    // MARK: Halves

    /// Segments of several streams, with runs of items at one offset.
    private static func segments(_ random: inout SeededGenerator) -> [LaneSegment] {
        var ends: [Int64: UInt64] = [:]
        return (0..<Int.random(in: 1...5, using: &random)).map { _ in
            let stream = Int64.random(in: 1...3, using: &random)
            let start = ends[stream] ?? 0
            var offsets: [StreamOffset] = []
            var major = start
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let offset = StreamOffset(major: major, row: UInt32(offsets.last?.major == major ? 1 : 0))
                for _ in 0..<Int.random(in: 1...3, using: &random) { offsets.append(offset) }
                if random.chance(70) || offset.row == 1 { major += 1 }
            }
            ends[stream] = major + 2
            var segment = Self.segment(stream, start, major + 2, [])
            for offset in offsets {
                segment.pendingTally.messages = Int32.random(in: 0...2, using: &random)
                segment.append(EncodedChange(kind: .change, offset: offset))
            }
            segment.pendingTally.messages = Int32.random(in: 0...2, using: &random)
            return segment
        }
    }

    private static func pieces(_ batch: LaneBatch) -> [LaneBatch] {
        guard let (left, right) = batch.halves else { return [batch] }
        return self.pieces(left) + self.pieces(right)
    }

    @Test func `a batch is cut down to single offsets, and none of them is parted`() {
        let generator = SeededGenerator.forTest("batch halves")
        for number in 0..<400 {
            var random = generator.fork(number)
            let whole = Self.batch(Self.segments(&random))
            let pieces = Self.pieces(whole)
            let comment: Comment = "seed \(generator.seed), batch \(number)"
            #expect(pieces.flatMap(\.items) == whole.items, comment)
            func name(_ item: ItemReference) -> String { "\(item.segment) \(whole[item].offset)" }
            let offsets = pieces.map { Set($0.items.map(name)) }
            #expect(offsets.allSatisfy { $0.count <= 1 }, comment)
            #expect(offsets.reduce(0) { $0 + $1.count } == Set(whole.items.map(name)).count, comment)
            #expect(pieces.reduce(0) { $0 + $1.tally.messages } == whole.tally.messages, comment)
        }
    }

    @Test func `each piece advances over what it commits, and over nothing that is left`() {
        let generator = SeededGenerator.forTest("batch advances")
        for number in 0..<400 {
            var random = generator.fork(number)
            let segments = Self.segments(&random)
            let last = segments[segments.count - 1].items.count
            var taken = random.chance(50) ? Int.random(in: 0...last, using: &random) : nil
            // A batch is never made to end inside of an offset.
            while let count = taken, count > 0, count < last,
                segments[segments.count - 1].items[count].isAtOffset(of: segments[segments.count - 1].items[count - 1])
            { taken = count + 1 }
            let whole = Self.batch(segments, last: taken)
            var progress: [Int64: StreamProgress] = [:]
            var left = whole.items[...]
            for piece in Self.pieces(whole) {
                for (key, to) in piece.advances {
                    if let former = progress[key.stream.rawValue] { #expect(former.offset <= to.offset) }
                    progress[key.stream.rawValue] = to
                }
                left = left.dropFirst(piece.items.count)
                func isCovered(_ item: ItemReference) -> Bool {
                    let stream = whole.segments[Int(item.segment)].stream.rawValue
                    return progress[stream]?.covers(whole[item].offset) ?? false
                }
                let comment: Comment = "seed \(generator.seed), batch \(number)"
                #expect(piece.items.allSatisfy(isCovered), comment)
                #expect(!left.contains(where: isCovered), comment)
            }
            #expect(progress == Self.advances(whole), "seed \(generator.seed), batch \(number)")
        }
    }

    // MARK: Reading

    @Test func `order keys compare as their bytes do`() {
        var random = SeededGenerator.forTest("order key comparison")
        for _ in 0..<3000 {
            let common = (0..<Int.random(in: 0...40, using: &random)).map { _ in random.pick([0, 1, 0xFF] as [UInt8]) }
            func key() -> [UInt8] {
                common + (0..<Int.random(in: 0...9, using: &random)).map { _ in random.pick([0, 0x7F, 0xFF]) }
            }
            let (left, right) = (key(), key())
            let expected = left == right ? 0 : left.lexicographicallyPrecedes(right) ? -1 : 1
            #expect(
                LaneBatch.compare(left[...], right[...]).signum() == expected,
                "\(left) \(right) seed \(random.seed)"
            )
        }
    }

    @Test func `a partial image names the columns that it carries, declared or not`() throws {
        for declaresColumns in [true, false] {
            let bench = EncoderBench(.orders(declaresColumns: declaresColumns))
            bench.settings.sendsMinimalImages = true
            let row: TestRow = ["id": 1, "version": 2, "status": "paid", "total": .unavailable]
            _ = bench.encode(TestEvent(.update, after: row))
            let batch = Self.batch(bench.segments)
            let item = try #require(batch.changes.first)
            let columns = batch.carriedColumns(of: item, bench.plan).map { String(decoding: $0, as: UTF8.self) }
            #expect(columns == (declaresColumns ? ["status", "version"] : ["id", "status", "version"]))
            #expect(batch.fields(batch[item].missing, of: item) == [Array("total".utf8)])
        }
    }

    /// The same event from two places is shown as the one that comes first by these.
    @Test func `of equal events the earlier is shown, then by operation, source and position`() {
        var segment = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
        let line: [(time: Int64?, operation: TidemarkCore.Operation, source: Int32)] = [
            (-5, .update, 1), (7, .insert, 1), (7, .snapshot, 1), (7, .update, 1), (7, .update, 0), (nil, .insert, 1),
        ]
        for (time, operation, source) in line {
            var item = EncodedChange(kind: .change, offset: .start)
            (item.eventTime, item.operation, item.source) = (time, operation, source)
            segment.append(item)
        }
        let batch = Self.batch([segment])
        let sources = ["b", "a"]
        for (left, first) in batch.items.enumerated() {
            for (right, second) in batch.items.enumerated() {
                #expect(batch.isShownBefore(first, second, sources: sources) == (left < right), "\(left) \(right)")
                #expect((batch.provenance(first) == batch.provenance(second)) == (left == right))
            }
        }
    }

    @Test func `items are grouped by entity, in the order in which they were met`() {
        var random = SeededGenerator.forTest("entity groups")
        for _ in 0..<50 {
            var segment = LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)
            var expected: [(hash: KeyHash, items: [Int32])] = []
            for index in 0..<Int32.random(in: 0...60, using: &random) {
                // Hashes that share their low bits collide in the table, and are two entities all the same.
                let hash = KeyHash(high: random.next() % 3, low: (random.next() % 4) << 40)
                var item = EncodedChange(kind: .change, offset: StreamOffset(major: UInt64(index)))
                item.keyHash = hash
                segment.append(item)
                if let known = expected.firstIndex(where: { $0.hash == hash }) {
                    expected[known].items.append(index)
                } else {
                    expected.append((hash, [index]))
                }
            }
            let batch = Self.batch([segment])
            let groups = EntityGroups(batch.changes, of: batch)
            #expect(groups.keyHashes == expected.map(\.hash), "seed \(random.seed)")
            #expect(
                groups.indices.map { groups[$0].map(\.reference.index) } == expected.map(\.items),
                "seed \(random.seed)"
            )
        }
    }
}
