import Testing
import TidemarkCore

@Suite struct StreamOffsetTests {
    private static let offsets = [
        StreamOffset.start, StreamOffset(major: 0, row: 1), StreamOffset(major: 0, minor: 1),
        StreamOffset(major: 1), StreamOffset(major: 255), StreamOffset(major: 256, minor: .max, row: .max),
        StreamOffset(major: 257), StreamOffset(major: .max, minor: .max, row: .max),
    ]

    @Test func storedBytesCompareAsOffsetsDo() {
        for left in Self.offsets {
            for right in Self.offsets {
                #expect((left < right) == left.bytes.lexicographicallyPrecedes(right.bytes))
            }
        }
    }

    @Test func storedBytesGiveTheOffsetBack() {
        for offset in Self.offsets {
            #expect(offset.bytes.count == StreamOffset.byteCount)
            #expect(StreamOffset(bytes: offset.bytes) == offset)
        }
        #expect(StreamOffset(bytes: [UInt8](repeating: 0, count: 19)) == nil)
        #expect(StreamOffset(bytes: [UInt8](repeating: 0, count: 21)) == nil)
    }

    @Test func progressCoversWhatIsBeforeIt() {
        var progress = StreamProgress(offset: StreamOffset(major: 10, row: 2))
        #expect(progress.covers(StreamOffset(major: 9, minor: 7, row: 7)))
        #expect(progress.covers(StreamOffset(major: 10, row: 1)))
        #expect(!progress.covers(StreamOffset(major: 10, row: 2)))
        #expect(!progress.covers(StreamOffset(major: 11)))
        // A stream may grow behind the end that it had.
        progress.isAtEnd = true
        #expect(!progress.covers(StreamOffset(major: 10, row: 2)))
        #expect(!progress.covers(StreamOffset(major: 11)))
        let further = StreamProgress(offset: StreamOffset(major: 12))
        #expect(StreamProgress.greater(progress, further) == further)
        #expect(StreamProgress.greater(further, progress) == further)
    }
}

/// Lanes of a pass that is resumed, under the number of lanes that it has now and under those that it had.
@Suite struct CommittedProgressTests {
    private static func progress(_ major: UInt64) -> StreamProgress {
        StreamProgress(offset: StreamOffset(major: major))
    }

    private static let keys = (0..<200).map { Array("order-\($0)".utf8) }

    @Test func aLaneIsAtTheLevelOrBeyondIt() {
        let committed = CommittedProgress(
            level: Self.progress(10),
            lanes: 3,
            rows: [3: [0: Self.progress(4), 2: Self.progress(25)]]
        )
        #expect(committed.lanes == [Self.progress(10), Self.progress(10), Self.progress(25)])
        #expect(committed.older.isEmpty)
        #expect(committed.covers(lane: 1, StreamOffset(major: 9)))
        #expect(!committed.covers(lane: 1, StreamOffset(major: 10)))
        #expect(committed.covers(lane: 2, StreamOffset(major: 24)))
    }

    @Test(arguments: [LaneRule.murmur2, .wordHash])
    func whatALaneHadCommittedUnderAnotherNumberOfLanesIsCovered(_ rule: LaneRule) {
        let committed = CommittedProgress(
            level: Self.progress(10),
            lanes: 2,
            rows: [4: [1: Self.progress(50)], 3: [0: Self.progress(7)]],
            rule: rule
        )
        #expect(committed.older.count == 1, "rows that the level has passed say nothing")
        for key in Self.keys {
            let wasInLane1 = rule.lane(ofKey: key.span, among: 4) == 1
            let (before, at) = (
                committed.earlierCovers(key: key.span, StreamOffset(major: 49)),
                committed.earlierCovers(key: key.span, StreamOffset(major: 50))
            )
            #expect(before == wasInLane1 && !at)
        }
    }

    @Test func aMessageWasCountedByItsOwnLaneOrTheLeastLaneOfItsEvents() {
        let rows = [4: [2: Self.progress(50)]]
        let committed = CommittedProgress(level: .start, lanes: 2, rows: rows)
        let offset = StreamOffset(major: 20)
        let home = LaneRule.current.lane(ofMessageAt: offset, ordinal: 3, among: 4)
        #expect(committed.earlierCovers(messageAt: offset, ordinal: 3, keys: []) == (home == 2))
        for key in Self.keys.prefix(50) {
            let lane = LaneRule.current.lane(ofKey: key.span, among: 4)
            #expect(committed.earlierCovers(messageAt: offset, ordinal: 3, keys: [key]) == (lane == 2))
        }
    }
}
