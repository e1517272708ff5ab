import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// `forget` erases a key's content from every table, and keeps the record of its events.
@Suite(.freshDatabase, .timeLimit(.minutes(1)))
struct ForgetStoreTests {
    private static let secret = "secret of 1"

    private static func bench(columns: Bool = true) async throws -> StoreBench {
        var definition = ProjectionDefinition.orders
        if columns {
            definition.columns?.append(.init(name: "note", type: .text))
        } else {
            definition.columns = nil
        }
        let bench = try await StoreBench([definition])
        let lane = try bench.lane()
        func change(_ id: Int, _ version: Int, _ status: String) -> Change {
            var change = Change.order(id, version, status)
            change.fields.append(("note", id == 1 ? Self.secret : "of \(id)", .string))
            return change
        }
        // The last one lacks the note: the row's columns come from two events.
        var partial = change(1, 5, "delivered")
        partial.fields[3] = ("note", "", .unavailable)
        let changes = [change(1, 1, "paid"), change(1, 2, "shipped"), change(2, 1, "shipped"), partial, .deadLetter()]
        for (index, change) in changes.enumerated() {
            try await lane.commit(try bench.batch(Block(bench.streams[0], from: UInt64(index), [change])))
        }
        await lane.close()
        return bench
    }

    /// The tables of the database that hold a text somewhere.
    private static func tables(holding text: String, _ connection: Connection) async throws -> [String] {
        let tables = try await connection.rows(
            """
            select format('%I.%I', schemaname, tablename) from pg_tables
            where schemaname in ('tidemark_internal', 'public') order by 1
            """
        )
        var found: [String] = []
        for table in tables.map({ $0[0] }) {
            let sql = "select count(*) from \(table) as t where position(\(SQLText.literal(text)) in t::text) > 0"
            if try await connection.number(sql) > 0 { found.append(table) }
        }
        return found
    }

    private static func json(of connection: Connection) async throws -> String {
        try await connection.value("select key from tidemark_internal.deliveries order by seq limit 1")
    }

    @Test(arguments: [true, false])
    func nothingOfWhatTheKeySaidIsLeft(_ declaresColumns: Bool) async throws {
        let bench = try await Self.bench(columns: declaresColumns)
        let connection = bench.connection
        let holding = [
            "tidemark_internal.deliveries", "tidemark_internal.orders_entities", "tidemark_internal.orders_events",
        ]
        #expect(try await Self.tables(holding: Self.secret, connection) == holding)
        let erased = try await ForgetStore.erase(
            ["1"],
            json: try await Self.json(of: connection),
            of: "orders",
            letters: [],
            on: connection
        )
        #expect([erased.rows, erased.events, erased.deliveries, erased.deadLetters] == [1, 3, 1, 0])
        #expect(try await Self.tables(holding: Self.secret, connection).isEmpty)
        #expect(try await Self.tables(holding: "of 2", connection) == holding)

        // The record of its events, their order, and its delivery stay.
        let events = try await connection.rows(
            "select id, sequence, op, image from orders_timeline order by id, order_key"
        )
        #expect(
            events.map { $0.prefix(3) }
                == [["1", "1", "update"], ["1", "2", "update"], ["1", "5", "update"], ["2", "1", "update"]]
        )
        #expect(events.prefix(3).allSatisfy { $0[3] == "∅" })
        let row = try await connection.rows(
            "select _sequence, _deleted, _state, _column_keys from tidemark_internal.orders_entities order by id"
        )
        #expect(row == [["5", "f", "∅", "∅"], ["1", "f", "shipped", "∅"]])
        let bodies = try await connection.rows(
            """
            select body::jsonb -> 'data' ->> 'key', body::jsonb #>> '{data,milestone}',
                jsonb_typeof(body::jsonb #> '{data,row}')
            from tidemark_internal.deliveries order by seq
            """
        )
        #expect(bodies.map { $0[1] } == ["shipped", "shipped"])
        #expect(bodies.map { $0[2] } == ["null", "object"])
    }

    @Test func whatWasForgottenIsNotTakenFromEventsThatAreReadAgain() async throws {
        let bench = try await Self.bench()
        let json = try await Self.json(of: bench.connection)
        _ = try await ForgetStore.erase(["1"], json: json, of: "orders", letters: [], on: bench.connection)
        let lane = try bench.lane(progress: [
            bench.streams[0]: StreamProgress(offset: StreamOffset(major: 5), ordinal: 6)
        ])
        // One that was seen, and one between those that were: a row whose columns are known to come from two events
        // would take the note from it.
        var (again, between) = (Change.order(1, 2, "shipped"), Change.order(1, 4, "shipped"))
        again.fields.append(("note", Self.secret, .string))
        between.fields.append(("note", "read late", .string))
        try await lane.commit(try bench.batch(Block(bench.streams[0], from: 5, [again, between])))
        await lane.close()
        let row = try await bench.connection.rows("select status, note, version from orders where id = 1")
        #expect(row == [["∅", "∅", "∅"]])
        // Nothing is delivered again.
        #expect(try await bench.connection.number("select count(*) from tidemark_internal.deliveries") == 2)
    }

    @Test func lettersThatAreNamedGoInTheSameTransaction() async throws {
        let bench = try await Self.bench()
        let connection = bench.connection
        let letter = try #require(try await DeadLetterStore.origins(DeadLetterFilter(), on: connection).first).last
        let json = try await Self.json(of: connection)
        // Another key's letter stays.
        let none = try await ForgetStore.erase(["9"], json: #"["9"]"#, of: "orders", letters: [], on: connection)
        #expect([none.rows, none.events, none.deliveries, none.deadLetters] == [0, 0, 0, 0])
        try await connection.execute(
            """
            create function public.refuse() returns trigger language plpgsql
            as $$ begin raise exception 'refused'; end $$;
            create trigger refuse before delete on tidemark_internal.dead_letters
            for each row execute function public.refuse();
            """
        )
        await #expect(throws: PostgresError.self) {
            _ = try await ForgetStore.erase(["1"], json: json, of: "orders", letters: [letter], on: connection)
        }
        #expect(try await connection.rows("select note from orders where id = 1") == [[Self.secret]])
        try await connection.execute("drop trigger refuse on tidemark_internal.dead_letters")
        let erased = try await ForgetStore.erase(["1"], json: json, of: "orders", letters: [letter], on: connection)
        #expect(erased.deadLetters == 1)
        #expect(try await DeadLetterStore.count(DeadLetterFilter(), on: connection) == 0)
    }
}
