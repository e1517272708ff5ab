import Testing
import TidemarkCore

/// The level is the end of the longest run of blocks that all lanes have committed, in whatever order they did.
@Suite struct LevelTrackerTests {
    private static func progress(_ major: UInt64) -> StreamProgress {
        StreamProgress(offset: StreamOffset(major: major), ordinal: Int64(major))
    }

    @Test func aBlockCountsOnceAllOfItsLanesHaveCommitted() {
        let tracker = LevelTracker(level: .start)
        let block = tracker.enter(end: Self.progress(10), parts: 2)
        #expect(tracker.level == .start)
        tracker.commit(block)
        #expect(tracker.level == .start)
        tracker.commit(block)
        #expect(tracker.level == Self.progress(10))
    }

    @Test func aSlowLaneHoldsTheLevelBackAndReleasesAllThatIsBehindIt() {
        let tracker = LevelTracker(level: .start)
        let blocks = (1...5).map { tracker.enter(end: Self.progress(UInt64($0)), parts: 1) }
        for block in blocks.dropFirst() { tracker.commit(block) }
        #expect(tracker.level == .start)
        tracker.commit(blocks[0])
        #expect(tracker.level == Self.progress(5))
    }

    @Test func aBlockWithNothingForAnyLaneCountsAtOnceUnlessOneBeforeItIsOpen() {
        let tracker = LevelTracker(level: .start)
        _ = tracker.enter(end: Self.progress(1), parts: 0)
        #expect(tracker.level == Self.progress(1))
        let open = tracker.enter(end: Self.progress(2), parts: 1)
        _ = tracker.enter(end: Self.progress(3), parts: 0)
        #expect(tracker.level == Self.progress(1))
        tracker.commit(open)
        #expect(tracker.level == Self.progress(3))
    }

    @Test(arguments: 0..<50)
    func whateverTheOrderOfCommitsTheLevelIsTheLongestCommittedPrefix(_ seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let parts = (0..<20).map { _ in Int.random(in: 0...3, using: &generator) }
        let tracker = LevelTracker(level: .start)
        let blocks = parts.enumerated().map { index, count in
            tracker.enter(end: Self.progress(UInt64(index + 1)), parts: count)
        }
        var open = parts
        var commits = blocks.indices.flatMap { Array(repeating: $0, count: parts[$0]) }
        commits.shuffle(using: &generator)
        for index in commits {
            tracker.commit(blocks[index])
            open[index] -= 1
            let done = open.prefix { $0 == 0 }.count
            #expect(tracker.level == (done == 0 ? .start : Self.progress(UInt64(done))), "seed \(seed)")
        }
        #expect(tracker.level == Self.progress(20), "seed \(seed)")
    }
}
