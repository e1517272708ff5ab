import LibPQ
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// A batch is written as a whole or not at all.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct LaneStoreTests {
    /// How many rows a batch of one order, one dead letter and one milestone can leave in each relation.
    private static let relations = [
        "tidemark_internal.orders_entities", "tidemark_internal.orders_events", "tidemark_internal.orders_milestones",
        "tidemark_internal.deliveries", "tidemark_internal.dead_letters", "tidemark_internal.progress",
    ]

    private static func rowCounts(_ bench: StoreBench) async throws -> [Int] {
        var counts: [Int] = []
        for relation in Self.relations {
            counts.append(try await bench.connection.number("select count(*) from \(relation)"))
        }
        return counts
    }

    private static func everything(_ bench: StoreBench) throws -> LaneBatch {
        try bench.batch(
            Block(bench.streams[0], from: 0, [.order(1, 1, "shipped"), .deadLetter(), .order(2, 1, "paid")])
        )
    }

    /// Each of these refuses what the batch writes there: the others are written before or after it.
    @Test(arguments: relations + ["tidemark_internal.counters"])
    func aBatchOfWhichOneStatementFailsLeavesNothing(_ relation: String) async throws {
        let bench = try await StoreBench()
        try await bench.connection.execute(
            """
            create function public.refuse() returns trigger language plpgsql
            as $$ begin raise exception 'refused' using errcode = 'P0001'; end $$;
            create trigger refuse before insert or update on \(relation) for each row execute function public.refuse();
            """
        )
        let lane = try bench.lane()
        let error = await #expect(throws: PostgresError.self) { try await lane.commit(try Self.everything(bench)) }
        #expect(error?.message == "refused")
        #expect(try await Self.rowCounts(bench) == [0, 0, 0, 0, 0, 0])
        #expect(try await bench.counts() == ["0", "0", "0", "0", "0", "0"])

        // The lane commits the batch once the trigger is gone.
        try await bench.connection.execute("drop trigger refuse on \(relation)")
        try await lane.commit(try Self.everything(bench))
        #expect(try await Self.rowCounts(bench) == [2, 2, 1, 1, 1, 1])
        #expect(try await bench.counts() == ["3", "2", "0", "0", "1", "2"])
        #expect(try await bench.progress() == ["\(bench.streams[0].rawValue):1/0=3"])
        await lane.close()
    }

    /// Of a source that cannot be read again, with a timeline or without one, and where the server cannot read the values.
    @Test(arguments: [true, false])
    func aRefusedRowWithoutItsMessageIsKeptAsJSON(_ keepsTimeline: Bool) async throws {
        var definition = ProjectionDefinition.orders
        definition.timeline = keepsTimeline
        let bench = try await StoreBench([definition])
        try await bench.connection.execute(
            """
            create function public.refuse() returns trigger language plpgsql
            as $$ begin
                if new.id = 2 then raise exception 'refused' using errcode = '22000'; end if;
                return new;
            end $$;
            create trigger refuse before insert on tidemark_internal.orders_entities for each row execute function public.refuse();
            """
        )
        let lane = try bench.lane()
        try await lane.commit(
            try bench.batch(Block(bench.streams[0], from: 0, [.order(1, 1), .order(2, 1), .order(2, 2, nil)]))
        )
        await lane.close()
        #expect(try await bench.connection.rows("select id from orders") == [["1"]])
        let letters = try await bench.connection.rows(
            "select reason, convert_from(raw, 'UTF8') from tidemark.dead_letters order by position"
        )
        let kept = [#"{"id": 2, "status": "paid", "version": 1}"#, #"{"id": 2}"#]
        #expect(letters == kept.map { ["value_invalid", $0] }, "\(letters)")
    }

    /// Behind the commit: a notification in its transaction would have commits of other lanes wait for it.
    @Test func aBatchThatEntersADeliveryWakesWhoeverListens() async throws {
        let bench = try await StoreBench()
        let listener = try await TestDatabase.current.connect()
        try await listener.execute("listen \(DeliveryStore.channel)")
        let lane = try bench.lane()
        try await lane.commit(try Self.everything(bench))
        let heard = try await listener.notifications(timeout: .seconds(60))
        #expect(heard.map(\.channel) == [DeliveryStore.channel])
        let triggers =
            "select count(*) from pg_trigger where tgrelid = 'tidemark_internal.deliveries'::regclass and tgtype & 4 = 4"
        #expect(try await bench.connection.number(triggers) == 0, "nothing runs at an insert")
        await lane.close()
        await listener.close()
    }

    @Test func aLaneWhoseProgressIsStaleCommitsNothingAndSaysThatAnotherProcessHasMovedIt() async throws {
        let bench = try await StoreBench()
        let stream = bench.streams[0]
        let first = try bench.lane()
        try await first.commit(try bench.batch(Block(stream, from: 0, [.order(1, 1)])))
        let read = [stream: StreamProgress(offset: StreamOffset(major: 1), ordinal: 2)]
        let second = try bench.lane(progress: read)
        try await first.commit(try bench.batch(Block(stream, from: 1, [.order(1, 2), .order(2, 1)])))

        let error = await #expect(throws: StoreError.self) {
            try await second.commit(try bench.batch(Block(stream, from: 1, [.order(3, 1)])))
        }
        #expect(error?.description.contains("another process has moved") == true, "\(error?.description ?? "")")
        #expect(
            try await bench.connection.rows("select id, version from orders order by id") == [["1", "2"], ["2", "1"]]
        )
        #expect(try await bench.progress() == ["\(stream.rawValue):1/0=3"])
        #expect(try await bench.counts() == ["3", "3", "0", "0", "0", "2"])
        await first.close()
        await second.close()
    }

    @Test func aLaneThatTakesAStreamForUnreadCommitsNothingWhereItsRowIsThere() async throws {
        let bench = try await StoreBench()
        let stream = bench.streams[0]
        let first = try bench.lane()
        try await first.commit(try bench.batch(Block(stream, from: 0, [.order(1, 1)])))
        let second = try bench.lane()
        let error = await #expect(throws: StoreError.self) {
            try await second.commit(try bench.batch(Block(stream, from: 0, [.order(2, 1), .order(3, 1)])))
        }
        #expect(error?.description.contains("another process has moved") == true)
        #expect(try await bench.connection.rows("select id from orders") == [["1"]])
        #expect(try await bench.counts() == ["1", "1", "0", "0", "0", "1"])
        await first.close()
        await second.close()
    }

    @Test func aBatchMovesTheProgressOfItsStreamsAndOfNoOther() async throws {
        let bench = try await StoreBench(streams: 4)
        let streams = bench.streams
        let lane = try bench.lane()
        try await lane.commit(
            try bench.batch(Block(streams[0], from: 0, [.order(1, 1)]), Block(streams[1], from: 5, [.order(2, 1)]))
        )
        // One that is known, one that is new, and two blocks of one stream.
        try await lane.commit(
            try bench.batch(
                Block(streams[1], from: 6, [.order(2, 2), .order(1, 2)]),
                Block(streams[2], from: 0, [.order(3, 1)]),
                Block(streams[1], from: 8, [.order(4, 1)])
            )
        )
        #expect(
            try await bench.progress() == [
                "\(streams[0].rawValue):1/0=1", "\(streams[1].rawValue):1/0=9", "\(streams[2].rawValue):1/0=1",
            ]
        )
        #expect(try await bench.counts() == ["6", "6", "0", "0", "0", "4"])
        await lane.close()
    }

    @Test func whereOneOfSeveralStreamsHasMovedNoneMoves() async throws {
        let bench = try await StoreBench(streams: 2)
        let streams = bench.streams
        let lane = try bench.lane()
        try await lane.commit(
            try bench.batch(Block(streams[0], from: 0, [.order(1, 1)]), Block(streams[1], from: 0, [.order(2, 1)]))
        )
        try await bench.connection.execute(
            """
            update tidemark_internal.progress set "offset" = tidemark_internal.stream_offset(9, 0, 0)
            where stream_id = \(streams[1].rawValue)
            """
        )
        await #expect(throws: (any Error).self) {
            try await lane.commit(
                try bench.batch(Block(streams[0], from: 1, [.order(1, 2)]), Block(streams[1], from: 1, [.order(2, 2)]))
            )
        }
        #expect(try await bench.progress() == ["\(streams[0].rawValue):1/0=1", "\(streams[1].rawValue):1/0=9"])
        #expect(try await bench.connection.rows("select distinct version from orders") == [["1"]])
        await lane.close()
    }

    @Test func aBatchWithoutEventsMovesProgressAndCountsItsMessages() async throws {
        let bench = try await StoreBench()
        let lane = try bench.lane()
        try await lane.commit(
            try bench.batch(Block(bench.streams[0], from: 0, [.deadLetter(), .deadLetter(.tooLarge)]))
        )
        #expect(try await bench.counts() == ["2", "0", "0", "0", "2", "0"])
        let letters = try await bench.connection.rows(
            "select reason, position, is_whole_message from tidemark_internal.dead_letters order by id"
        )
        #expect(letters == [["malformed_json", "log 1:1", "t"], ["too_large", "log 1:2", "t"]])
        #expect(try await bench.progress() == ["\(bench.streams[0].rawValue):1/0=2"])
        await lane.close()
    }
}
