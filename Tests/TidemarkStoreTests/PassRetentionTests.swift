import LibPQ
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// The removal of passes that ended long ago.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct PassRetentionTests {
    /// A pass over one stream, with a level, progress and counters.
    private static func pass(_ name: String, on connection: Connection) async throws -> Int64 {
        let stream = try await StoreBench.stream(name, on: connection)
        let pass = try await PassStore.begin(
            streams: [StreamEntry(id: stream, isResumable: true)],
            projections: [name],
            lanes: 2,
            on: connection
        )
        try await connection.execute(
            """
            insert into tidemark_internal.progress (pass_id, lanes, lane, stream_id, "offset", message_ordinal)
            values (\(pass.id), 2, 1, \(stream.rawValue), tidemark_internal.stream_offset(5, 0, 0), 1);
            insert into tidemark_internal.milestone_counters (pass_id, lane, projection, milestone, reached)
            values (\(pass.id), 1, '\(name)', 'shipped', 1);
            """
        )
        return pass.id
    }

    private static func finish(_ pass: Int64, ago: String, on connection: Connection) async throws {
        try await connection.execute(
            "update tidemark_internal.passes set finished_at = now() - interval '\(ago)' where id = \(pass)"
        )
    }

    /// The passes that a table has something of.
    private static func passes(in table: String, on connection: Connection) async throws -> [Int64] {
        let column = table == "passes" ? "id" : "pass_id"
        return try await connection.rows(
            "select distinct \(column) from tidemark_internal.\(table) where \(column) is not null order by 1"
        ).compactMap { Int64($0[0]) }
    }

    @Test func aPassThatFinishedThirtyDaysAgoGoesWithAllThatIsItsOwn() async throws {
        let connection = try await StoreBench.migrated()
        let old = try await Self.pass("old", on: connection)
        let recent = try await Self.pass("recent", on: connection)
        let unfinished = try await Self.pass("unfinished", on: connection)
        try await Self.finish(old, ago: "30 days 1 minute", on: connection)
        try await Self.finish(recent, ago: "29 days 23 hours", on: connection)
        try await connection.execute("update tidemark_internal.passes set started_at = now() - interval '90 days'")
        #expect(try await PassRetention.removeExpired(on: connection) == 1)
        for table in ["passes", "leases", "progress", "counters", "milestone_counters"] {
            #expect(try await Self.passes(in: table, on: connection) == [recent, unfinished], "\(table)")
        }
        #expect(try await PassRetention.removeExpired(on: connection) == 0)
        // The stream keeps its number: it may be read again.
        #expect(try await connection.number("select count(*) from tidemark.streams") == 3)
        let known = try await connection.number("select id from tidemark.streams where name = 'old'")
        #expect(try await StoreBench.stream("old", on: connection).rawValue == Int64(known))
    }

    @Test func aPassThatATruncateNamesStaysWithItsLevels() async throws {
        let connection = try await StoreBench.migrated()
        let named = try await Self.pass("named", on: connection)
        let other = try await Self.pass("other", on: connection)
        for pass in [named, other] { try await Self.finish(pass, ago: "31 days", on: connection) }
        try await connection.execute(
            """
            insert into tidemark_internal.truncates
                (projection, source_table, position, position_key, order_key, pass_id, stream_id, "offset")
            select 'named', 'shop.orders', '1', '\\x01', '\\x01', pass_id, stream_id, "offset"
            from tidemark_internal.progress where pass_id = \(named)
            """
        )
        #expect(try await PassRetention.removeExpired(on: connection) == 1)
        for table in ["passes", "leases", "progress"] {
            #expect(try await Self.passes(in: table, on: connection) == [named], "\(table)")
        }
        // A truncate of no pass counts everywhere, and holds none back.
        try await connection.execute("update tidemark_internal.truncates set pass_id = null")
        #expect(try await PassRetention.removeExpired(on: connection) == 1)
        #expect(try await connection.number("select count(*) from tidemark_internal.truncates") == 1)
    }

    /// Rows, timeline and dead letters outlive the pass that wrote them.
    @Test func whatAPassHasWrittenStays() async throws {
        let bench = try await StoreBench()
        let lane = try bench.lane()
        try await lane.commit(try bench.batch(Block(bench.streams[0], from: 0, [.order(1, 1), .deadLetter()])))
        await lane.close()
        try await Self.finish(bench.pass.id, ago: "31 days", on: bench.connection)
        #expect(try await PassRetention.removeExpired(on: bench.connection) == 1)
        #expect(try await bench.connection.rows("select id, version from orders") == [["1", "1"]])
        #expect(try await bench.connection.number("select count(*) from orders_timeline") == 1)
        let letters = try await DeadLetterStore.page(DeadLetterFilter(), after: 0, limit: 10, on: bench.connection)
        #expect(letters.map(\.streamName) == ["log 0"])
        #expect(letters.map { $0.reading?.offset.major } == [1])
        // A later pass counts the entity that the removed one touched, and none that it touched itself.
        let next = try await PassStore.begin(
            streams: [StreamEntry(id: bench.streams[0], isResumable: true)],
            projections: ["orders"],
            lanes: 1,
            on: bench.connection
        )
        #expect(!next.isResumed && next.id > bench.pass.id)
    }

    @Test func atMostAThousandGoAtATimeTheOldestFirst() async throws {
        let connection = try await StoreBench.migrated()
        try await connection.execute(
            """
            insert into tidemark_internal.passes (projections, lanes, finished_at)
            select '{orders}', 1, now() - interval '40 days' from generate_series(1, 1001)
            """
        )
        let newest = try await connection.number("select max(id) from tidemark_internal.passes")
        #expect(try await PassRetention.removeExpired(on: connection) == 1000)
        #expect(try await Self.passes(in: "passes", on: connection) == [Int64(newest)])
        #expect(try await PassRetention.removeExpired(on: connection) == 1)
    }
}
