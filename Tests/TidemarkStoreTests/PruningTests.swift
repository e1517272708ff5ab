import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// What pruning removes, and what it keeps.
@Suite(.freshDatabase, .timeLimit(.minutes(1)))
struct PruningTests {
    private static let second: Int64 = 1_000_000
    /// Events before it are old.
    private static let cutoff = 1000 * second

    private static func bench(_ blocks: [Change], timeline: Bool = true) async throws -> StoreBench {
        var definition = ProjectionDefinition.orders
        definition.timeline = timeline
        let bench = try await StoreBench([definition])
        let lane = try bench.lane()
        // Each by itself: what one batch coalesces, pruning would not see.
        for (index, change) in blocks.enumerated() {
            try await lane.commit(try bench.batch(Block(bench.streams[0], from: UInt64(index), [change])))
        }
        await lane.close()
        return bench
    }

    private static func timeline(_ bench: StoreBench) async throws -> [String] {
        try await bench.connection.rows("select id || '@' || sequence from orders_timeline order by id, sequence")
            .map { $0[0] }
    }

    private static let history: [Change] = [
        .order(1, 1, "created", at: 100 * second), .order(1, 2, "shipped", at: 200 * second),
        .order(1, 3, "delivered", at: 300 * second), .order(1, 4, "delivered", at: 400 * second),
        .order(2, 1, "created", at: 100 * second), .order(2, 2, nil, at: 999 * second),
        .order(3, 1, "created", at: 100 * second), .order(3, 2, nil, at: cutoff),
        .order(4, 1, "created", at: 100 * second), .order(4, 2, "paid", at: cutoff),
    ]

    @Test func oldEventsGoUnlessARowOrAMilestoneComesFromThem() async throws {
        let bench = try await Self.bench(Self.history)
        let outcome = try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection)
        // Of 1 the milestone comes from the second event and the row from the last. 2 was deleted before the moment,
        // and all of it goes; 3 was deleted at it.
        #expect(try await Self.timeline(bench) == ["1@2", "1@4", "3@2", "4@2"])
        #expect(outcome == .init(tombstones: 1, events: 6, deliveries: 0))
        #expect(
            try await bench.connection.rows("select id, version from orders order by id") == [["1", "4"], ["4", "2"]]
        )
        let entities = try await bench.connection.rows("select id from tidemark_internal.orders_entities order by id")
        #expect(entities == [["1"], ["3"], ["4"]])
        #expect(try await bench.connection.number("select count(*) from orders_milestones") == 1)
        #expect(try await Pruning.prunedBefore("orders", on: bench.connection) == Self.cutoff)
        #expect(
            try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection) == .init()
        )
        // An earlier moment does not take back that later tombstones are gone.
        _ = try await Pruning.prune("orders", before: 1, on: bench.connection)
        #expect(try await Pruning.prunedBefore("orders", on: bench.connection) == Self.cutoff)
    }

    @Test func aDryRunCountsTheSameAndChangesNothing() async throws {
        let bench = try await Self.bench(Self.history)
        let before = try await Self.timeline(bench)
        let dry = try await Pruning.count("orders", before: Self.cutoff, on: bench.connection)
        #expect(dry == .init(tombstones: 1, events: 6, deliveries: 0))
        #expect(try await Self.timeline(bench) == before)
        #expect(try await Pruning.prunedBefore("orders", on: bench.connection) == nil)
        #expect(try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection) == dry)
    }

    @Test func anEventThatAColumnComesFromStays() async throws {
        let later = Change([("id", "1", .number), ("version", "2", .number), ("status", "", .unavailable)])
        var (second, third) = (later, later)
        second.eventTime = 200 * Self.second
        third.eventTime = 300 * Self.second
        third.fields[1].value = "3"
        let bench = try await Self.bench([.order(1, 1, "paid", at: 100 * Self.second), second, third])
        let outcome = try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection)
        // The status is that of the first event still; the second gave the version alone.
        #expect(outcome.events == 1)
        #expect(try await Self.timeline(bench) == ["1@1", "1@3"])
        #expect(try await bench.connection.rows("select version, status from orders") == [["3", "paid"]])
    }

    @Test func withoutATimelineTombstonesGoAlone() async throws {
        let bench = try await Self.bench(Self.history, timeline: false)
        let outcome = try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection)
        #expect(outcome == .init(tombstones: 1, events: 0, deliveries: 0))
    }

    @Test func deliveriesGoOnceTheyWereDeliveredBefore() async throws {
        let bench = try await Self.bench((1...4).map { .order($0, 1, "shipped", at: 100 * Self.second) })
        try await bench.connection.execute(
            """
            update tidemark_internal.deliveries set status = 'delivered', delivered_at = to_timestamp(999)
            where key = '["1"]' or key = '[1]';
            update tidemark_internal.deliveries set status = 'delivered', delivered_at = to_timestamp(1000)
            where key = '["2"]' or key = '[2]';
            update tidemark_internal.deliveries set status = 'dead' where key = '["3"]' or key = '[3]';
            """
        )
        let outcome = try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection)
        #expect(outcome == .init(tombstones: 0, events: 0, deliveries: 1))
        let left = try await bench.connection.rows("select status from tidemark_internal.deliveries order by seq")
        #expect(left == [["delivered"], ["dead"], ["due"]])
        // A delivered milestone stays reached.
        #expect(try await bench.connection.number("select count(*) from orders_milestones") == 4)
    }

    @Test func aKeyThatComesAnewWithAnEventOlderThanWhatWasPrunedIsCounted() async throws {
        let bench = try await Self.bench(Self.history)
        _ = try await Pruning.prune("orders", before: Self.cutoff, on: bench.connection)
        let stream = bench.streams[0]
        let read = [stream: StreamProgress(offset: StreamOffset(major: UInt64(Self.history.count)), ordinal: 11)]
        let lane = try bench.lane(progress: read)
        try await lane.commit(
            try bench.batch(
                Block(
                    stream,
                    from: UInt64(Self.history.count),
                    [
                        .order(2, 1, "created", at: 100 * Self.second), .order(5, 1, "created", at: Self.cutoff),
                        .order(6, 1, nil, at: 100 * Self.second), .order(1, 5, "delivered", at: 100 * Self.second),
                    ]
                )
            )
        )
        await lane.close()
        #expect(try await Inspection.holes(of: "orders", on: bench.connection).revived == 1)
    }

    @Test func aProjectionThatIsNotThereIsSaidToBeSo() async throws {
        let connection = try await StoreBench.migrated()
        let error = await #expect(throws: StoreError.self) {
            _ = try await Pruning.prune("nothing", before: 1, on: connection)
        }
        #expect(error?.description.contains("there is no projection \"nothing\"") == true)
    }
}
