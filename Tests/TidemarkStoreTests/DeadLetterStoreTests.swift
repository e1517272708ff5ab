import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// Filters and pages of dead letters.
@Suite(.freshDatabase, .timeLimit(.minutes(1)))
struct DeadLetterStoreTests {
    /// Microseconds of a moment on one day, by its hour.
    private static func hour(_ hour: Int) -> Int64 { 1_700_006_400_000_000 + Int64(hour) * 3_600_000_000 }

    /// Letters 1 to 6: projections, reasons and sources by turns, first seen in the hour of their number and last seen
    /// half an hour later.
    private static func fill(_ connection: Connection) async throws {
        try await connection.execute(
            """
            insert into tidemark_internal.dead_letter_messages (digest, raw)
            select sha256(convert_to('raw ' || n, 'UTF8')), convert_to('raw ' || n, 'UTF8')
            from generate_series(1, 6) as n;
            insert into tidemark_internal.dead_letters
                (projection, source, position, reason, detail, digest, "row", count, first_seen, last_seen)
            select case when n % 3 = 0 then '' else 'p' || n % 3 end, 's' || n % 2, 'log:' || n,
                case when n < 4 then 'malformed_json' else 'value_invalid' end, 'detail ' || n,
                sha256(convert_to('raw ' || n, 'UTF8')), 0, n,
                to_timestamp(\(Self.hour(0)) / 1000000.0) + make_interval(hours => n),
                to_timestamp(\(Self.hour(0)) / 1000000.0) + make_interval(hours => n, mins => 30)
            from generate_series(1, 6) as n order by n
            """
        )
    }

    private static func ids(
        _ connection: Connection,
        _ change: (inout DeadLetterFilter) -> Void
    ) async throws -> [Int64] {
        var filter = DeadLetterFilter()
        change(&filter)
        let page = try await DeadLetterStore.page(filter, after: 0, limit: 100, on: connection).map(\.id)
        // A filter selects the same letters in every query.
        let listed = try await DeadLetterStore.list(filter, limit: 100, on: connection).rows.map { Int64($0[0] ?? "") }
        #expect(listed == page.reversed())
        #expect(try await DeadLetterStore.count(filter, on: connection) == page.count)
        let origins = try await DeadLetterStore.origins(filter, on: connection)
        #expect(origins.map(\.last).max() == page.last)
        return page
    }

    @Test func aFilterNamesTheLettersThatHoldForAllOfIt() async throws {
        let connection = try await StoreBench.migrated()
        try await Self.fill(connection)
        #expect(try await Self.ids(connection) { _ in } == [1, 2, 3, 4, 5, 6])
        #expect(try await Self.ids(connection) { $0.ids = [5, 2, 99] } == [2, 5])
        #expect(try await Self.ids(connection) { $0.ids = [] } == [])
        #expect(try await Self.ids(connection) { $0.projection = "p1" } == [1, 4])
        #expect(try await Self.ids(connection) { $0.projection = "" } == [3, 6])
        #expect(try await Self.ids(connection) { $0.reason = "value_invalid" } == [4, 5, 6])
        #expect(try await Self.ids(connection) { $0.source = "s0" } == [2, 4, 6])
        #expect(
            try await Self.ids(connection) { filter in
                (filter.source, filter.reason, filter.ids) = ("s1", "malformed_json", [1, 5])
            } == [1]
        )
        // A letter counts for the whole time from its first to its last reading, both moments included.
        #expect(try await Self.ids(connection) { $0.since = Self.hour(4) + 1_800_000_000 } == [4, 5, 6])
        #expect(try await Self.ids(connection) { $0.since = Self.hour(4) + 1_800_000_001 } == [5, 6])
        #expect(try await Self.ids(connection) { $0.until = Self.hour(2) } == [1, 2])
        #expect(try await Self.ids(connection) { $0.until = Self.hour(2) - 1 } == [1])
        #expect(
            try await Self.ids(connection) { ($0.since, $0.until) = (Self.hour(3), Self.hour(3)) } == [3]
        )
        let filter = DeadLetterFilter(ids: [6, 3, 1])
        #expect(try await DeadLetterStore.projections(filter, on: connection) == ["", "p1"])
        let origins = try await DeadLetterStore.origins(filter, on: connection)
        #expect(origins.map(\.source) == ["s0", "s1"])
        #expect(origins.map(\.last) == [6, 3])
        for origin in origins {
            let page = try await DeadLetterStore.page(filter, of: origin, after: 1, limit: 100, on: connection)
            #expect(page.map(\.id) == [origin.last])
        }
    }

    @Test func pagesHoldEachLetterOnceInTheOrderOfTheirIDs() async throws {
        let connection = try await StoreBench.migrated()
        try await Self.fill(connection)
        var (seen, pages): ([Int64], [Int]) = ([], [])
        while true {
            let page = try await DeadLetterStore.page(
                DeadLetterFilter(),
                after: seen.last ?? 0,
                limit: 4,
                on: connection
            )
            if page.isEmpty { break }
            seen += page.map(\.id)
            pages.append(page.count)
        }
        #expect(seen == [1, 2, 3, 4, 5, 6])
        #expect(pages == [4, 2])
        #expect(
            try await DeadLetterStore.list(DeadLetterFilter(), limit: 2, on: connection).rows.map { $0[0] } == [
                "6", "5",
            ]
        )
    }

    @Test func aPageOfLargeMessagesIsShorterAndNeverEmpty() async throws {
        let connection = try await StoreBench.migrated()
        try await Self.fill(connection)
        // Two letters of 16 KiB each may be in a page of two; a letter of 1 MiB is a page by itself.
        try await connection.execute(
            """
            update tidemark_internal.dead_letter_messages set raw = convert_to(repeat('x', 1048576), 'UTF8')
            where raw in ('raw 1'::bytea, 'raw 3'::bytea)
            """
        )
        var (seen, pages): ([Int64], [Int]) = ([], [])
        while let page = try await Optional(
            DeadLetterStore.page(DeadLetterFilter(), after: seen.last ?? 0, limit: 5, on: connection)
        ), !page.isEmpty {
            seen += page.map(\.id)
            pages.append(page.count)
        }
        #expect(seen == [1, 2, 3, 4, 5, 6])
        #expect(pages == [1, 2, 3])
    }

    @Test func aLetterComesBackWithWhereItWasRead() async throws {
        let bench = try await StoreBench()
        let lane = try bench.lane(closing: { _ in [] })
        // The same message twice is one letter, which keeps the offset of its first reading.
        let block = Block(bench.streams[0], from: 40, [.deadLetter()])
        try await lane.commit(try bench.batch(block))
        try await lane.commit(try bench.batch(block))
        await lane.close()
        let letters = try await DeadLetterStore.page(DeadLetterFilter(), after: 0, limit: 9, on: bench.connection)
        let letter = try #require(letters.first)
        #expect(letters.count == 1 && letter.count == 2)
        #expect(letter.projection == nil && letter.source == "test" && letter.position == "log 1:41")
        #expect(letter.reason == "malformed_json" && letter.detail == "not a change event" && letter.isWhole)
        #expect(letter.reading == .init(stream: bench.streams[0], offset: StreamOffset(major: 40), ordinal: 41))
        #expect(letter.streamName == "log 0")
        #expect(letter.isComplete && letter.raw == Array("broken \(bench.streams[0].rawValue) 40".utf8))
        #expect(letter.firstSeen <= letter.lastSeen)
    }

    @Test func whatWentThroughIsGone() async throws {
        let connection = try await StoreBench.migrated()
        try await Self.fill(connection)
        _ = try await connection.pipeline([DeadLetterStore.resolve([2, 4])])
        #expect(try await Self.ids(connection) { _ in } == [1, 3, 5, 6])
        #expect(try await DeadLetterStore.drop(DeadLetterFilter(ids: []), on: connection) == 0)
        #expect(try await DeadLetterStore.drop(DeadLetterFilter(ids: [1, 4]), on: connection) == 1)
        #expect(try await Self.ids(connection) { _ in } == [3, 5, 6])
    }

    @Test func aRetryIsAPassThatIsNeverResumed() async throws {
        let bench = try await StoreBench()
        let retry = try await PassStore.beginWithoutStreams(projections: ["orders"], on: bench.connection)
        let next = try await PassStore.begin(
            streams: [StreamEntry(id: bench.streams[0], isResumable: true)],
            projections: ["orders"],
            lanes: 1,
            on: bench.connection
        )
        #expect(next.id == bench.pass.id && next.id != retry)
    }
}
