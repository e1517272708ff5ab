import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// The functions of a moment: the rows as they were by event time, and as they were known.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct MomentTests {
    /// All columns but the time, which is that of the earliest copy of an event, whenever that came; by key.
    private static func rows(_ relation: String, on connection: Connection) async throws -> [String: String] {
        let found = try await connection.rows(
            "select id::text, (to_jsonb(t) - '_event_time')::text from \(relation) as t"
        )
        return Dictionary(uniqueKeysWithValues: found.map { ($0[0], $0[1]) })
    }

    /// Entities whose events came from several tables. That they did is kept without a time, and a truncate of each of
    /// them deletes.
    private static func several(_ model: FinerModel, on connection: Connection) async throws -> Set<String> {
        guard model.truncatesDelete else { return [] }
        let found = try await connection.rows(
            "select id::text from tidemark_internal.\(model.name)_entities where cardinality(_tables) > 1"
        )
        return Set(found.map { $0[0] })
    }

    private static func now(_ connection: Connection) async throws -> String {
        try await connection.value("select clock_timestamp()::text") ?? ""
    }

    /// Partial images, deletes, truncates, columns of any kind, in any order: after each part of a log the rows are
    /// noted, and asked for again at the end.
    @Test func whatWasKnownAtAMomentIsWhatTheRowsWereThen() async throws {
        var generator = SeededGenerator.forTest("known at")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let history = FinerHistoryGenerator.histories(60, generator)
        let arrival = (history + history.filter { _ in generator.chance(30) }).shuffled(using: &generator)
        let models = FinerPropertyTests.models.filter(FinerPropertyTests.keepsTimeline)
        var moments: [(moment: String, rows: [[String: String]])] = []
        let size = arrival.count / 6 + 1
        for start in stride(from: 0, to: arrival.count, by: size) {
            let part = Array(arrival[start..<min(start + size, arrival.count)])
            try await withFolder { folder in
                try await FinerPropertyTests.run(part, 1, in: folder, on: connection, database, &generator)
            }
            let moment = try await Self.now(connection)
            var rows: [[String: String]] = []
            for model in models { rows.append(try await Self.rows(model.name, on: connection)) }
            moments.append((moment, rows))
        }
        for (index, model) in models.enumerated() {
            let several = try await Self.several(model, on: connection)
            for (number, (moment, rows)) in moments.enumerated() {
                let known = try await Self.rows("\(model.name)_known_at('\(moment)')", on: connection)
                let expected = rows[index]
                for id in Set(known.keys).union(expected.keys).subtracting(several) where known[id] != expected[id] {
                    Issue.record(
                        """
                        seed \(generator.seed), moment \(number), \(model.name): known is \(known[id] ?? "nothing"), was \
                        \(expected[id] ?? "nothing")
                        """
                    )
                }
            }
        }
        for model in models {
            let first = try await connection.number("select count(*) from \(model.name)_known_at('-infinity')")
            #expect(first == 0)
            // Behind the last event: without a time of its own or below it, an event has no place in time.
            let last = try await Self.rows("\(model.name)_as_of('infinity')", on: connection)
            let live = try await Self.rows(
                "(select r.* from \(model.name) as r join \(model.name)_history as h on h.id = r.id and h.valid_to is null "
                    + "where h.valid_from is not null)",
                on: connection
            )
            #expect(last == live, "seed \(generator.seed), \(model.name)")
        }
        await connection.close()
    }

    private static func yaml(_ columns: String = "", more: String = "") -> String {
        """
        sources:
          - { name: logs, type: files, paths: ["*.ndjson"], format: tidemark }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint, status: text, note: "varchar(20)"\(columns) }
            \(more)

        """
    }

    private static func event(_ id: Int, _ version: Int, _ day: Int, _ rest: String) -> String {
        #"{"table":"shop.orders","op":"update","ts":"2026-01-0\#(day)T00:00:00Z","after":{"id":\#(id),"#
            + #""version":\#(version),\#(rest)}}"#
    }

    @Test func theRowsOfAMomentAreThoseOfTheEventsBeforeIt() async throws {
        try await withWorkplace(Self.yaml()) { place, connection in
            let lines = [
                Self.event(1, 3, 5, #""status":"shipped""#), Self.event(1, 1, 1, #""status":"created","note":"a""#),
                // Its producer's clock was behind: it is valid from when the one before it was.
                Self.event(1, 2, 1, #""status":"paid","note":null"#), Self.event(2, 1, 3, #""status":"created""#),
                #"{"table":"shop.orders","op":"delete","ts":"2026-01-04T00:00:00Z","before":{"id":2,"version":2}}"#,
            ]
            try await place.succeed("replay", "--no-deliver", try place.write("a.ndjson", lines: lines).path)
            func rows(_ moment: String) async throws -> [[String]] {
                try await connection.rows(
                    "select id::text, status, coalesce(note, '-'), _sequence, _incomplete::text "
                        + "from orders_as_of('\(moment)') order by id"
                )
            }
            #expect(try await rows("2025-12-31") == [])
            #expect(try await rows("2026-01-02") == [["1", "paid", "-", "2", "{}"]])
            #expect(
                try await rows("2026-01-03") == [["1", "paid", "-", "2", "{}"], ["2", "created", "-", "1", "{note}"]]
            )
            #expect(try await rows("2026-01-04") == [["1", "paid", "-", "2", "{}"]])
            let last = try await rows("2026-01-05")
            #expect(last == [["1", "shipped", "-", "3", "{}"]])
            let all = try await connection.rows("select * from orders_known_at(now())")
            #expect(try await connection.rows("select * from orders") == all)

            // A key is looked up by index.
            try await connection.execute("set enable_seqscan = off; set enable_bitmapscan = off")
            for function in ["orders_as_of", "orders_known_at"] {
                let plan = try await connection.rows(
                    "explain (costs off) select * from \(function)(now()) where id = 1"
                )
                let text = plan.map { $0[0] }.joined(separator: "\n")
                #expect(!text.contains("Seq Scan") && !text.contains("Function Scan on \(function)"), "\(text)")
                #expect(text.contains("Index Cond: (") && text.contains("id = 1"), "\(text)")
            }
        }
    }

    @Test func theyFollowTheProjection() async throws {
        try await withWorkplace(Self.yaml()) { place, connection in
            let log = try place.write("a.ndjson", lines: [Self.event(1, 1, 1, #""status":"created","more":7"#)])
            try await place.succeed("replay", "--no-deliver", log.path)
            func columns(_ function: String) async throws -> String? {
                try await connection.value("select pg_get_function_result('\(function)(timestamptz)'::regprocedure)")
            }
            let both = ["orders_as_of", "orders_known_at"]
            for function in both { #expect(try await columns(function)?.contains("more") == false) }
            try place.write("tidemark.yaml", Self.yaml(", more: bigint"))
            try await place.succeed("migrate")
            for function in both { #expect(try await columns(function)?.contains("more bigint") == true) }
            try place.write("tidemark.yaml", Self.yaml(", more: text"))
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            for function in both {
                #expect(try await columns(function)?.contains("more text") == true)
                let rows = try await connection.rows("select * from \(function)(now())")
                #expect(rows == (try await connection.rows("select * from orders")), "\(rows)")
            }
            // A database of a version that had none.
            try await connection.execute(
                """
                drop function orders_as_of(timestamptz); drop function orders_known_at(timestamptz);
                delete from tidemark_internal.relations where kind = 'function';
                """
            )
            try await place.succeed("migrate")
            for function in both { #expect(try await columns(function)?.contains("more text") == true) }
            try place.write("tidemark.yaml", Self.yaml(", more: text", more: "timeline: false"))
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            for function in both {
                let found = try await connection.value("select to_regprocedure('\(function)(timestamptz)') is null")
                #expect(found == "t")
            }
            try place.write("tidemark.yaml", Self.yaml(", more: text"))
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            try await place.succeed("drop", "orders", "--yes")
            let left = try await connection.number("select count(*) from pg_proc where proname like 'orders%'")
            #expect(left == 0)
        }
    }

    @Test func whatAnOperatorHasGivenThemStays() async throws {
        try await withWorkplace(Self.yaml()) { place, connection in
            try await place.succeed("migrate")
            let role = "\"caller \(UInt32.random(in: .min ... .max))\""
            try await connection.execute(
                """
                create role \(role);
                revoke execute on function orders_as_of(timestamptz) from public;
                grant execute on function orders_as_of(timestamptz) to \(role) with grant option;
                -- No function of Tidemark's, and so left alone.
                create table orders_known_at (mine integer);
                comment on table orders_known_at is 'mine';
                """
            )
            func rights() async throws -> [String] {
                try await connection.rows(
                    """
                    select a::text from pg_proc, unnest(proacl) as a
                    where oid = 'orders_as_of(timestamptz)'::regprocedure order by 1
                    """
                ).map { $0[0] }
            }
            let given = try await rights()
            try place.write("tidemark.yaml", Self.yaml(", more: bigint"))
            try await place.succeed("migrate")
            #expect(try await rights() == given && given.count == 2)
            try await connection.execute("create view made_of_it as select * from orders_as_of(now())")
            try place.write("tidemark.yaml", Self.yaml(", more: bigint, another: text"))
            let refused = try await place.run("migrate")
            #expect(
                refused.status != 0 && refused.error.contains("its functions get other columns"),
                "\(refused.error)"
            )
            let mine = try await connection.value("select obj_description('orders_known_at'::regclass)")
            #expect(mine == "mine")
            try await connection.execute("drop owned by \(role) cascade; drop role \(role)")
        }
    }

    @Test func aFunctionOfThatNameIsLeftAsItIs() async throws {
        try await withWorkplace(Self.yaml()) { place, connection in
            try await connection.execute(
                "create function orders_as_of(timestamptz) returns integer language sql as 'select 1'"
            )
            let result = try await place.run("migrate")
            #expect(result.status == 78, "\(result.error)")
            #expect(result.error.contains("public.orders_as_of is a function that exists"), "\(result.error)")
            #expect(try await connection.value("select orders_as_of(now())::text") == "1")
        }
    }
}
