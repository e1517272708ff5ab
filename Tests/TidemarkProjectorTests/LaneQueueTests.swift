import Testing
import TidemarkCore
import TidemarkProjector

/// Segments made by hand: one item for each offset.
private func segment(_ stream: Int64 = 1, _ offsets: ClosedRange<Int>, rows: UInt32 = 1) -> LaneSegment {
    var segment = LaneSegment(
        stream: StreamID(rawValue: stream),
        start: StreamProgress(
            offset: StreamOffset(major: UInt64(offsets.lowerBound)),
            ordinal: Int64(offsets.lowerBound)
        ),
        end: StreamProgress(
            offset: StreamOffset(major: UInt64(offsets.upperBound + 1)),
            ordinal: Int64(offsets.upperBound + 1)
        )
    )
    for offset in offsets {
        for row in 0..<rows {
            var item = EncodedChange(kind: .change, offset: StreamOffset(major: UInt64(offset), row: row))
            item.ordinal = UInt32(offset - offsets.lowerBound)
            segment.append(item)
        }
    }
    return segment
}

private func offsets(_ batch: LaneBatch) -> [Int] { batch.items.map { Int(batch[$0].offset.major) } }

@Suite(.timeLimit(.minutes(1)))
struct LaneQueueTests {
    private static func queue(events: Int = 4, waiting: Int = 4) -> LaneQueue {
        LaneQueue(batchEvents: events, batchBytes: 1 << 20, eventsMax: waiting)
    }

    @Test func aBatchIsTakenOnceItIsFullAndItsRestStays() async throws {
        let queue = Self.queue()
        #expect(queue.enqueue(segment(1, 1...3)))
        #expect(queue.enqueue(segment(1, 4...6)))
        let first = try #require(try await queue.next())
        #expect(offsets(first) == [1, 2, 3, 4])
        #expect(first.advances.map(\.to.offset) == [StreamOffset(major: 4, row: 1)])
        #expect(first.finished == 0..<1)
        queue.close()
        let rest = try #require(try await queue.next())
        #expect(offsets(rest) == [5, 6])
        #expect(rest.advances.map(\.to.offset) == [StreamOffset(major: 7)])
        #expect(rest.finished == 0..<1)
        #expect(try await queue.next() == nil)
    }

    @Test func aFlushMakesABatchOfWhateverIsThere() async throws {
        let queue = Self.queue(events: 100, waiting: 100)
        #expect(queue.enqueue(segment(1, 1...2)))
        queue.flush()
        let batch = try #require(try await queue.next())
        #expect(offsets(batch) == [1, 2])
    }

    /// Readers that have more at hand, or wait for a backlog that does not come, hold up no other for long.
    @Test(arguments: [false, true])
    func whatAReaderBroughtIsABatchWhileOthersHaveMore(isBehind: Bool) async throws {
        let queue = Self.queue(events: 100, waiting: 100)
        let activity = ReaderActivity([queue])
        activity.begin()
        activity.begin()
        #expect(queue.enqueue(segment(1, 1...2)))
        let gate = Gate()
        let waiting = Task { try await activity.wait(isBehind: isBehind) { try await gate.wait() } }
        let batch = try #require(try await queue.next())
        #expect(offsets(batch) == [1, 2])
        gate.open()
        try await waiting.value
    }

    @Test func theLastReaderThatIsAboutToWaitMakesABatchAtOnce() async throws {
        let queue = Self.queue(events: 100, waiting: 100)
        let activity = ReaderActivity([queue])
        activity.begin()
        activity.begin()
        activity.end()
        #expect(queue.enqueue(segment(1, 1...2)))
        try await activity.wait(isBehind: false) {
            let batch = try #require(try await queue.next())
            #expect(offsets(batch) == [1, 2])
        }
    }

    /// While the first half is written, the clients of the other one are decoded.
    @Test func halfOfWhatClientsWaitForIsABatchAtOnce() async throws {
        let queue = Self.queue(events: 10_000, waiting: 10_000)
        for request in 0..<4 {
            var part = segment(1, (request * 250)...(request * 250 + 249))
            part.receipt = CarriedReceipt(BlockReceipt(messages: 250))
            #expect(queue.enqueue(part))
        }
        let first = try #require(try await queue.next())
        #expect(offsets(first) == Array(0..<500) && first.finished == 0..<2)
        let second = try #require(try await queue.next())
        #expect(offsets(second) == Array(500..<1000) && second.finished == 0..<2)
    }

    @Test func whoeverWaitsForWhatIsDroppedIsTold() async throws {
        let queue = Self.queue(events: 100, waiting: 100)
        let receipt = BlockReceipt(messages: 2)
        func enqueue() {
            let carried = CarriedReceipt(receipt)
            for offsets in [1...1, 2...2] {
                var part = segment(1, offsets)
                part.receipt = carried
                #expect(queue.enqueue(part))
            }
            carried.expect(parts: 2)
        }
        enqueue()
        #expect(!receipt.isSettled)
        queue.stop()
        guard case .unknown = try await receipt.outcome() else {
            Issue.record("it is dropped")
            return
        }
    }

    @Test func aBatchCarriesProgressInEachOfItsStreams() async throws {
        let queue = Self.queue(events: 100, waiting: 100)
        for part in [segment(1, 1...2), segment(2, 7...9), segment(1, 3...3)] { #expect(queue.enqueue(part)) }
        queue.flush()
        let batch = try #require(try await queue.next())
        let advances = Dictionary(
            uniqueKeysWithValues: batch.advances.map { ($0.key.stream.rawValue, $0.to.offset.major) }
        )
        #expect(advances == [1: 4, 2: 10])
        #expect(batch.finished == 0..<3)
    }

    @Test func itemsOfOneOffsetStayTogether() async throws {
        let queue = Self.queue(events: 2, waiting: 100)
        var both = segment(1, 1...1)
        both.append(EncodedChange(kind: .change, offset: StreamOffset(major: 1)))
        both.append(EncodedChange(kind: .change, offset: StreamOffset(major: 1)))
        both.append(EncodedChange(kind: .change, offset: StreamOffset(major: 2)))
        #expect(queue.enqueue(both))
        let batch = try #require(try await queue.next())
        #expect(offsets(batch) == [1, 1, 1])
    }

    @Test func tallyWithoutItemsIsCommittedWithItsSegment() async throws {
        let queue = Self.queue()
        var empty = LaneSegment(
            stream: StreamID(rawValue: 1),
            start: .start,
            end: StreamProgress(offset: StreamOffset(major: 9))
        )
        empty.pendingTally.messages = 3
        #expect(!empty.isEmpty)
        #expect(queue.enqueue(empty))
        queue.close()
        let batch = try #require(try await queue.next())
        #expect(batch.items.isEmpty && batch.tally.messages == 3)
        #expect(batch.advances.map(\.to.offset.major) == [9])
    }

    @Test func theHalvesOfABatchCarryProgressAsFarAsTheirItems() async throws {
        let queue = Self.queue(events: 100, waiting: 100)
        var first = segment(1, 1...3)
        first.pendingTally.messages = 5
        for part in [first, segment(2, 4...6)] { #expect(queue.enqueue(part)) }
        queue.close()
        let batch = try #require(try await queue.next())
        var (left, right) = try #require(batch.halves)
        #expect(offsets(left) == [1, 2, 3] && offsets(right) == [4, 5, 6])
        #expect(left.advances.map(\.key.stream.rawValue) == [1] && right.advances.map(\.key.stream.rawValue) == [2])
        #expect(left.tally.messages == 5 && right.tally.messages == 0)
        (left, right) = try #require(left.halves)
        #expect(offsets(left) == [1] && offsets(right) == [2, 3])
        #expect(left.advances.map(\.to.offset) == [StreamOffset(major: 1, row: 1)])
        #expect(right.advances.map(\.to.offset) == [StreamOffset(major: 4)])
        #expect(left.tally.messages == 0 && right.tally.messages == 5)
        #expect(left.halves == nil)
    }

    @Test func producersWaitWhileALaneHasEnoughAndGoOnTogether() async throws {
        let queue = Self.queue(events: 2, waiting: 2)
        #expect(queue.enqueue(segment(1, 1...3)))
        #expect(!queue.hasRoom)
        async let one: Void = queue.waitForRoom()
        async let two: Void = queue.waitForRoom()
        _ = try await queue.next()
        try await one
        try await two
    }

    @Test func waitingEndsWithCancellation() async throws {
        let queue = Self.queue(events: 2, waiting: 0)
        let consumer = Task { try await queue.next() }
        consumer.cancel()
        await #expect(throws: CancellationError.self) { try await consumer.value }
        #expect(queue.enqueue(segment(1, 1...1)))
        let producer = Task { try await queue.waitForRoom() }
        producer.cancel()
        await #expect(throws: CancellationError.self) { try await producer.value }
    }

    @Test func aStoppedQueueTakesNothingAndReleasesThoseThatWait() async throws {
        let queue = Self.queue(events: 2, waiting: 0)
        #expect(queue.enqueue(segment(1, 1...1)))
        async let producer: Void = queue.waitForRoom()
        queue.stop()
        try await producer
        #expect(!queue.enqueue(segment(1, 2...2)))
        #expect(try await queue.next() == nil)
    }

    @Test(arguments: 0..<20)
    func twoProducersAndOneConsumerLoseNothing(_ seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        let sizes = (0..<2).map { _ in (0..<40).map { _ in Int.random(in: 1...5, using: &generator) } }
        let queue = Self.queue(events: 7, waiting: 9)
        let seen = try await withThrowingTaskGroup(of: [Int64: [Int]].self) { group in
            for (stream, sizes) in sizes.enumerated() {
                group.addTask {
                    var next = 1
                    for size in sizes {
                        #expect(queue.enqueue(segment(Int64(stream), next...(next + size - 1))))
                        next += size
                        if !queue.hasRoom {
                            queue.flush()
                            try await queue.waitForRoom()
                        }
                    }
                    return [:]
                }
            }
            let consumer = Task {
                var seen: [Int64: [Int]] = [:]
                while let batch = try await queue.next() {
                    for item in batch.items {
                        let stream = batch.segments[Int(item.segment)].stream.rawValue
                        seen[stream, default: []].append(Int(batch[item].offset.major))
                    }
                }
                return seen
            }
            try await group.waitForAll()
            queue.close()
            return try await consumer.value
        }
        for (stream, sizes) in sizes.enumerated() {
            #expect(seen[Int64(stream)] == Array(1...sizes.reduce(0, +)), "seed \(seed)")
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct MemoryBudgetTests {
    @Test func aPermitGivesItsBytesBackWithItsLastReference() async throws {
        let budget = MemoryBudget(limit: 100)
        var permit: MemoryPermit? = try await budget.acquire(40)
        #expect(budget.used == 40)
        permit?.resize(to: 70)
        #expect(budget.used == 70 && !budget.hasRoom(for: 40))
        let other = permit
        permit = nil
        #expect(budget.used == 70)
        withExtendedLifetime(other) {}
    }

    @Test func whoeverWaitsGoesOnWhenBytesComeBack() async throws {
        let budget = MemoryBudget(limit: 100)
        var first: MemoryPermit? = try await budget.acquire(80)
        let (waits, waiting) = AsyncStream.makeStream(of: Void.self)
        let second = Task { try await budget.acquire(50) { waiting.yield() } }
        // Lanes are flushed before the first wait: what they hold is what is waited for.
        for await _ in waits { break }
        #expect(budget.used == 80)
        withExtendedLifetime(first) {}
        first = nil
        let permit = try await second.value
        #expect(budget.used == 50)
        withExtendedLifetime(permit) {}
    }

    @Test func aBlockLargerThanTheBudgetGoesAlone() async throws {
        let budget = MemoryBudget(limit: 100)
        let large = try await budget.acquire(1000)
        #expect(budget.used == 1000 && !budget.hasRoom(for: 1))
        withExtendedLifetime(large) {}
    }

    @Test func aPassThatHasLostItsDatabaseUsesAPartUntilABacklogHasLasted() async throws {
        let budget = MemoryBudget(limit: 100, cautious: 10, patience: 50)
        #expect(budget.hasRoom(for: 100))
        budget.caution()
        let held = try await budget.acquire(10)
        #expect(!budget.hasRoom(for: 1))
        // Nothing is committed yet: what comes back was not written.
        (try await budget.acquire(0)).resize(to: 90)
        #expect(!budget.hasRoom(for: 1), "it is away")
        budget.relax()
        (try await budget.acquire(0)).resize(to: 50)
        #expect(!budget.hasRoom(for: 1), "the last byte of patience")
        (try await budget.acquire(0)).resize(to: 3)
        #expect(budget.hasRoom(for: 48) && !budget.hasRoom(for: 49))
        (try await budget.acquire(0)).resize(to: 10)
        #expect(budget.hasRoom(for: 90) && !budget.hasRoom(for: 91))
        withExtendedLifetime(held) {}
    }

    @Test func aPassThatHasCaughtUpUsesTheWholeBudgetAgain() async throws {
        let budget = MemoryBudget(limit: 100, cautious: 10, patience: 50)
        budget.caution()
        _ = try await budget.acquire(0)
        #expect(!budget.hasRoom(for: 11) || budget.used == 0, "a reader at its end, while the database is away")
        budget.relax()
        let backlog = try await budget.acquire(8)
        _ = try await budget.acquire(0)
        #expect(!budget.hasRoom(for: 3), "another reader has a backlog")
        backlog.resize(to: 2)
        _ = try await budget.acquire(0)
        #expect(budget.hasRoom(for: 98))
    }

    @Test func waitingEndsWithCancellation() async throws {
        let budget = MemoryBudget(limit: 10)
        let held = try await budget.acquire(10)
        let waiting = Task { try await budget.acquire(1) }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { _ = try await waiting.value }
        withExtendedLifetime(held) {}
    }
}
