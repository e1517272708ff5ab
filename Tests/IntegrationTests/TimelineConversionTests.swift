import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// Timelines of versions that kept images get columns, and nothing in them changes.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct TimelineConversionTests {
    private static var plans: [ProjectionPlan] {
        get throws {
            try configuration(FinerPropertyTests.configuration).projections.filter(\.timeline).map {
                ProjectionPlan($0)
            }
        }
    }

    /// Gives a projection's timeline the form that earlier versions made, and takes its views away.
    private static func age(_ plan: ProjectionPlan, late: [String] = [], on connection: Connection) async throws {
        let shape = EventShape(ProjectionPlan(plan.definition, late: late))
        let events = plan.names.eventStorage.sql
        let former = "tidemark_internal.\"former \(plan.name)\""
        let keys = plan.keyList.joined(separator: ", ")
        try await connection.execute(
            """
            create table \(former) as
            select \(keys), order_key, \(shape.sequence("event")) as sequence, op, late,
                nullif(_remarks & 3, 0)::smallint as _remarks, \(shape.state("event")) as state, event_time, received_at,
                \(shape.source("event")) as source, \(shape.position("event")) as position,
                (\(shape.image("event")))::text as image, missing
            from \(events) as event;
            drop table \(events) cascade;
            alter table \(former) alter column received_at set default now(), add primary key (\(keys), order_key);
            alter table \(former) rename to \(SQLText.identifier(plan.name + "_events"));
            """
        )
    }

    @Test func aTimelineOfImagesGetsColumnsAndStaysWhatItWas() async throws {
        var generator = SeededGenerator.forTest("conversion")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let history = FinerHistoryGenerator.histories(80, generator)
        try await withFolder { folder in
            try await FinerPropertyTests.run(history, 1, in: folder, on: connection, database, &generator)
        }
        let first = try await connection.value("select id::text from typed order by id limit 1") ?? ""
        _ = try await ForgetStore.erase(
            [first],
            json: "[\(first)]",
            of: "typed",
            letters: [],
            on: connection
        )
        let before = try await FinerPropertyTests.digests(connection)
        let erased = try await connection.rows("select * from typed_timeline where id = \(first) order by order_key")
        for plan in try Self.plans { try await Self.age(plan, on: connection) }
        let notes = try await ProjectionRegistry.prepare(try Self.plans, on: connection)
        #expect(notes.count { $0.contains("has the form of this version now") } == (try Self.plans.count), "\(notes)")
        FinerPropertyTests.expect(try await FinerPropertyTests.digests(connection), before, "seed \(generator.seed)")
        let now = try await connection.rows("select * from typed_timeline where id = \(first) order by order_key")
        #expect(now == erased)
        // What is read again is known, and what was forgotten stays so.
        try await withFolder { folder in
            let repeated = history.shuffled(using: &generator)
            try await FinerPropertyTests.run(repeated, 1, in: folder, on: connection, database, &generator)
        }
        FinerPropertyTests.expect(
            try await FinerPropertyTests.digests(connection),
            before,
            "seed \(generator.seed), read again"
        )
        await connection.close()
    }

    private static func yaml(_ columns: String) -> String {
        """
        sources:
          - { name: logs, type: files, paths: ["*.ndjson"], format: tidemark }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint\(columns) }

        """
    }

    private static func event(_ id: Int, _ version: Int) -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"a":"a\#(version)","b":"b\#(version)"}}"#
    }

    /// Page by page to the end, by the order of the numbers and not of their texts; a second call goes on behind them.
    @Test func aLongTimelineIsCopiedToItsEnd() async throws {
        try await withWorkplace(Self.yaml(", a: text")) { place, connection in
            let log = try place.write("1.ndjson", lines: [Self.event(1, 1)])
            try await place.succeed("replay", "--no-deliver", log.path)
            let plan = try configuration(Self.yaml(", a: text")).projections.map { ProjectionPlan($0) }[0]
            try await Self.age(plan, on: connection)
            let count = 2 * TimelineCopy.pageEvents + 5
            func fill(_ from: Int, _ to: Int) async throws {
                try await connection.execute(
                    """
                    insert into tidemark_internal.orders_events
                    select id, order_key, sequence, op, late, _remarks, state, event_time, received_at, source, position,
                        jsonb_set(image::jsonb, '{id}', to_jsonb(id))::text, missing
                    from (
                        select number as id, order_key, sequence, op, late, _remarks, state, event_time, received_at,
                            source, position, image, missing
                        from tidemark_internal.orders_events as event, generate_series(\(from), \(to)) as number
                        where event.id = 1
                    ) as made
                    """
                )
            }
            try await fill(2, count)
            let conversion = try #require(try await TimelineConversion("orders", on: connection))
            let copied = "select count(*) from tidemark_internal.\"orders_events.typed\""
            try await conversion.copyEvents(on: connection)
            #expect(try await connection.number(copied) == count)
            try await fill(count + 1, count + 3)
            try await conversion.copyEvents(on: connection)
            #expect(try await connection.number(copied) == count + 3)
            try await place.succeed("migrate")
            #expect(
                try await connection.number(
                    "select count(*) from orders_timeline where image = jsonb_build_object('id', id, 'version', 1, 'a', 'a1')"
                ) == count + 3
            )
        }
    }

    /// The state was kept beside the columns before its column was configured.
    @Test func statesFromBeforeTheirColumnStay() async throws {
        let state = "    state: a\n"
        try await withWorkplace(Self.yaml("") + state) { place, connection in
            func read(_ version: Int) async throws {
                let log = try place.write("\(version).ndjson", lines: [Self.event(1, version)])
                try await place.succeed("replay", "--no-deliver", log.path)
            }
            try await read(1)
            try place.write("tidemark.yaml", Self.yaml(", a: text") + state)
            try await place.succeed("migrate")
            try await read(2)
            let shown = "select state from orders_timeline order by order_key"
            #expect(try await connection.rows(shown) == [["a1"], ["a2"]])
            let plan = try configuration(Self.yaml(", a: text") + state).projections.map {
                ProjectionPlan($0, late: ["a"])
            }[0]
            try await Self.age(plan, late: ["a"], on: connection)
            try await place.succeed("migrate")
            #expect(try await connection.rows(shown) == [["a1"], ["a2"]])
        }
    }

    /// Columns that came and went: `a` is configured, not, and again; `b` is configured late.
    @Test(arguments: [false, true])
    func columnsThatComeAndGoKeepWhatTheEventsSaid(_ isAged: Bool) async throws {
        try await withWorkplace(Self.yaml(", a: text")) { place, connection in
            func read(_ name: String, _ events: [(Int, Int)]) async throws {
                let log = try place.write("\(name).ndjson", lines: events.map { Self.event($0.0, $0.1) })
                try await place.succeed("replay", "--no-deliver", log.path)
            }
            func configure(_ columns: String) async throws {
                try place.write("tidemark.yaml", Self.yaml(columns))
                try await place.succeed("migrate")
            }
            try await read("1", [(1, 1), (2, 1)])
            try await configure(", b: text")
            try await read("2", [(1, 2), (3, 1)])
            if isAged {
                let plan = try configuration(Self.yaml(", b: text")).projections.map {
                    ProjectionPlan($0, late: ["b"])
                }[0]
                // As an earlier version kept them: with `a` where an event was read with it.
                let images = try await connection.rows(
                    """
                    select id::text, order_key::text,
                        ((to_jsonb(e) -> '+a' = 'true')::integer * 1)::text, to_jsonb(e) ->> '.a', to_jsonb(e) ->> '.b'
                    from tidemark_internal.orders_events as e
                    """
                )
                try await Self.age(plan, late: ["b"], on: connection)
                try await connection.execute("alter table tidemark_internal.orders_events drop column if exists \".a\"")
                try await connection.execute("alter table tidemark_internal.orders_events drop column if exists \"+a\"")
                for row in images where row[2] == "1" {
                    try await connection.execute(
                        """
                        update tidemark_internal.orders_events
                        set image = (image::jsonb || jsonb_build_object('a', '\(row[3])'))::text
                        where id = \(row[0]) and order_key = '\(row[1])'
                        """
                    )
                }
            }
            try await configure(", a: text, b: text")
            try await read("3", [(2, 2)])
            let rows = try await connection.rows(
                "select id::text, coalesce(a, '-'), coalesce(b, '-'), _incomplete::text from orders order by id"
            )
            #expect(
                rows == [["1", "a1", "b2", "{}"], ["2", "a2", "b2", "{}"], ["3", "-", "b1", "{a}"]],
                "\(rows)"
            )
            try await place.succeed("verify", "orders")
            let history = try await connection.rows(
                "select id::text, _sequence, coalesce(a, '-'), coalesce(b, '-'), _incomplete::text from orders_history order by 1, 2"
            )
            #expect(
                history == [
                    ["1", "1", "a1", "-", "{b}"], ["1", "2", "a1", "b2", "{}"], ["2", "1", "a1", "-", "{b}"],
                    ["2", "2", "a2", "b2", "{}"], ["3", "1", "-", "b1", "{a}"],
                ],
                "\(history)"
            )
        }
    }
}
