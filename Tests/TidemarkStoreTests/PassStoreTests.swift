import LibPQ
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// Which pass a run resumes, and from which offset.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct PassStoreTests {
    private static func begin(
        _ streams: [StreamID],
        piped: [StreamID] = [],
        of projections: [String] = ["orders"],
        lanes: Int = 2,
        on connection: Connection
    ) async throws -> PassState {
        try await PassStore.begin(
            streams: streams.map { StreamEntry(id: $0, isResumable: true) }
                + piped.map { StreamEntry(id: $0, isResumable: false) },
            projections: projections,
            lanes: lanes,
            on: connection
        )
    }

    private static func level(_ major: UInt64, isAtEnd: Bool = false, resume: [UInt8] = []) -> StreamProgress {
        StreamProgress(
            offset: StreamOffset(major: major),
            ordinal: Int64(major) + 1,
            resume: resume,
            isAtEnd: isAtEnd
        )
    }

    /// As a lane writes its row.
    private static func row(
        _ lane: Int,
        of lanes: Int,
        at major: Int,
        in stream: StreamID,
        _ pass: PassState,
        on connection: Connection
    ) async throws {
        try await connection.execute(
            """
            insert into tidemark_internal.progress (pass_id, lanes, lane, stream_id, "offset", message_ordinal)
            values (\(pass.id), \(lanes), \(lane), \(stream.rawValue), tidemark_internal.stream_offset(\(major), 0, 0), 1)
            """
        )
    }

    @Test func anUnfinishedPassOfTheSameProjectionsIsResumedWhereItWas() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        let b = try await StoreBench.stream("b", on: connection)
        let first = try await Self.begin([a, b], on: connection)
        #expect(!first.isResumed)
        #expect(first.committed[a]?.level == .start)
        #expect(first.laneRule == .current)
        let level = Self.level(50, resume: [1, 0, 255])
        try await PassStore.save(levels: [(a, level)], of: first.id, on: connection)
        try await Self.row(1, of: 2, at: 80, in: a, first, on: connection)

        // One stream that is known is enough; another may come with it.
        let c = try await StoreBench.stream("c", on: connection)
        let second = try await Self.begin([c, a], on: connection)
        #expect(second.isResumed)
        #expect(second.id == first.id)
        #expect(second.committed[a]?.level == level)
        #expect(second.committed[a]?.lanes.map(\.offset.major) == [50, 80])
        #expect(second.rows[a]?.mapValues(\.offset.major) == [1: 80])
        #expect(second.committed[c]?.level == .start)
        #expect(second.committed[b]?.level == .start)
        #expect(try await connection.rows("select runs, lanes from tidemark.passes") == [["2", "2"]])
    }

    @Test func aPassOfOtherProjectionsOrStreamsOrOneThatIsFinishedIsNotResumed() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        let b = try await StoreBench.stream("b", on: connection)
        let first = try await Self.begin([a], on: connection)
        let others = [
            try await Self.begin([a], of: ["customers"], on: connection),
            try await Self.begin([b], on: connection),
        ]
        #expect(others.allSatisfy { !$0.isResumed && $0.id != first.id })
        try await PassStore.save(levels: [(a, Self.level(9, isAtEnd: true))], of: first.id, on: connection)
        try await PassStore.end(first.id, elapsedSeconds: 2, isFinished: true, on: connection)
        let again = try await Self.begin([a], on: connection)
        #expect(!again.isResumed)
        #expect(again.committed[a]?.level == .start)
    }

    @Test func endingARunThatIsNotFinishedLeavesThePassToBeResumed() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        let first = try await Self.begin([a], on: connection)
        try await PassStore.end(first.id, elapsedSeconds: 2, isFinished: false, on: connection)
        // Again changes nothing.
        try await PassStore.end(first.id, elapsedSeconds: 2, isFinished: true, on: connection)
        #expect(try await connection.rows("select finished_at, elapsed_seconds from tidemark.passes") == [["∅", "2"]])
        #expect(try await Self.begin([a], on: connection).id == first.id)
    }

    @Test func progressUnderEveryNumberOfLanesCounts() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        let first = try await Self.begin([a], lanes: 2, on: connection)
        try await Self.row(0, of: 2, at: 70, in: a, first, on: connection)
        try await Self.row(1, of: 2, at: 40, in: a, first, on: connection)
        let second = try await Self.begin([a], lanes: 3, on: connection)
        #expect(second.isResumed)
        #expect(second.rows[a] == nil)
        #expect(second.committed[a]?.lanes.map(\.offset.major) == [0, 0, 0])
        #expect(second.committed[a]?.older.map { $0.map(\.offset.major) } == [[70, 40]])
        let committed = try #require(second.committed[a])
        // Of any key, what its lane of two had committed is covered, and nothing more.
        for number in 0..<64 {
            let key = Array("key \(number)".utf8)
            let reached: UInt64 = first.laneRule.lane(ofKey: key.span, among: 2) == 0 ? 70 : 40
            let covers = [reached - 1, reached].map { committed.earlierCovers(key: key.span, StreamOffset(major: $0)) }
            #expect(covers == [true, false])
        }
        // A level that has passed them all leaves nothing of them to ask for.
        try await PassStore.save(levels: [(a, Self.level(90))], of: first.id, on: connection)
        let third = try await Self.begin([a], lanes: 2, on: connection)
        #expect(third.committed[a]?.older.isEmpty == true)
        #expect(third.committed[a]?.lanes.map(\.offset.major) == [90, 90])
        // Every lane of every number has counters.
        #expect(
            try await connection.rows(
                "select lane, count(*) from tidemark_internal.counters group by lane order by lane"
            ) == [["0", "2"], ["1", "2"], ["2", "2"]]
        )
    }

    @Test func levelsNeverGoBack() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        let b = try await StoreBench.stream("b", on: connection)
        let pass = try await Self.begin([a, b], on: connection)
        try await PassStore.save(levels: [(a, Self.level(300)), (b, Self.level(7))], of: pass.id, on: connection)
        // 255 and 256 compare as numbers do, not as texts.
        try await PassStore.save(levels: [(a, Self.level(255)), (b, Self.level(8))], of: pass.id, on: connection)
        let levels = try await connection.rows(
            """
            select tidemark_internal.offset_major("offset"), message_ordinal from tidemark_internal.leases
            order by stream_id
            """
        )
        #expect(levels == [["300", "301"], ["8", "9"]])
        // The end may be reported at an offset that was stored before.
        try await PassStore.save(levels: [(a, Self.level(300, isAtEnd: true))], of: pass.id, on: connection)
        #expect(try await Self.begin([a, b], on: connection).committed[a]?.level.isAtEnd == true)
    }

    @Test func standardInputStartsOverInAPassThatIsResumed() async throws {
        let connection = try await StoreBench.migrated()
        let file = try await StoreBench.stream("a", on: connection)
        let pipe = try await StreamStore.entered(
            StreamDescription(
                name: StreamName(source: "test", name: "standard input"),
                label: "standard input",
                settings: SourceSettings(name: "test"),
                isResumable: false
            ),
            sourceID: 1,
            on: connection
        )
        let first = try await Self.begin([file], piped: [pipe], on: connection)
        for stream in [file, pipe] {
            try await PassStore.save(levels: [(stream, Self.level(50))], of: first.id, on: connection)
            try await Self.row(0, of: 2, at: 60, in: stream, first, on: connection)
            try await connection.execute(
                """
                insert into tidemark_internal.truncates
                    (projection, source_table, position, position_key, order_key, pass_id, stream_id, "offset")
                values ('orders', 'shop.\(stream.rawValue)', '1', '\\x01', '\\x01', \(first.id), \(stream.rawValue),
                    tidemark_internal.stream_offset(55, 0, 0))
                """
            )
        }
        let second = try await Self.begin([file], piped: [pipe], on: connection)
        #expect(second.id == first.id)
        #expect(second.committed[file]?.lanes.map(\.offset.major) == [60, 50])
        #expect(second.committed[pipe]?.lanes.map(\.offset.major) == [0, 0])
        #expect(second.rows[pipe] == nil)
        // A truncate that the pipe brought counts for every lane from the start; that of the file where it was read.
        let truncates = try await connection.rows(
            "select stream_id, pass_id is null from tidemark_internal.truncates order by stream_id"
        )
        #expect(truncates == [["\(file.rawValue)", "f"], ["\(pipe.rawValue)", "t"]])
        // Alone it finds no pass to resume.
        #expect(try await !Self.begin([], piped: [pipe], on: connection).isResumed)
    }

    @Test func aPassOfALaneRuleThatThisProgramDoesNotKnowIsLeftToANewerOne() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        _ = try await Self.begin([a], on: connection)
        try await connection.execute("update tidemark_internal.passes set lane_rule = 1")
        #expect(try await Self.begin([a], on: connection).laneRule == .murmur2)
        try await connection.execute("update tidemark_internal.passes set lane_rule = 99")
        let error = await #expect(throws: StoreError.self) { _ = try await Self.begin([a], on: connection) }
        #expect(error?.kind == .configuration)
        #expect(error?.description.contains("newer tidemark") == true)
        // Nothing of the attempt is left, a transaction among it.
        #expect(try await connection.value("select runs from tidemark.passes") == "2")
    }

    @Test func aSummaryAddsUpLanesAndLevels() async throws {
        let connection = try await StoreBench.migrated()
        let a = try await StoreBench.stream("a", on: connection)
        let b = try await StoreBench.stream("b", on: connection)
        let pass = try await Self.begin([a, b], on: connection)
        try await connection.execute(
            """
            update tidemark_internal.counters set messages = 3, dead_letters = 1 where projection = '';
            update tidemark_internal.counters set applied = lane + 5, late = 2, entities = 1 where projection = 'orders';
            insert into tidemark_internal.milestone_counters (pass_id, lane, projection, milestone, reached)
            values (\(pass.id), 0, 'orders', 'shipped', 2), (\(pass.id), 1, 'orders', 'shipped', 3);
            """
        )
        try await PassStore.save(levels: [(a, Self.level(1000)), (b, Self.level(24))], of: pass.id, on: connection)
        try await PassStore.end(pass.id, elapsedSeconds: 1.5, isFinished: true, on: connection)
        let summary = try await PassStore.summary(of: pass.id, milestones: ["shipped", "paid"], on: connection)
        #expect(
            [summary.messages, summary.deadLetters, summary.applied, summary.late, summary.entities] == [
                6, 2, 11, 4, 2,
            ]
        )
        #expect(summary.milestones == ["shipped": 5, "paid": 0])
        #expect(summary.bytes == 1024)
        #expect(summary.elapsedSeconds == 1.5)
        #expect(!summary.isResumed)
    }
}
