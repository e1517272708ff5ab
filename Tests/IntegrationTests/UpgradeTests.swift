import Foundation
import LibPQ
import Testing
import TidemarkTesting

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "fixtures/upgrade")

/// `fixtures/upgrade/schema-008.sql` is what `pg_dump` wrote of a database of schema version 8, in which a replay of
/// `log.ndjson` had stopped at the first dead letter.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct UpgradeTests {
    private func withOldDatabase(_ body: (Workplace, URL, Connection) async throws -> Void) async throws {
        let yaml = try String(contentsOf: fixtures.appending(path: "tidemark.yaml"), encoding: .utf8)
        try await withWorkplace(yaml) { place, connection in
            let log = place.folder.appendingPathComponent("log.ndjson")
            try FileManager.default.copyItem(at: fixtures.appending(path: "log.ndjson"), to: log)
            let dump = try String(contentsOf: fixtures.appending(path: "schema-008.sql"), encoding: .utf8)
            let loader = try await place.database.connect()
            try await loader.execute(dump.replacing("@LOG@", with: log.path))
            await loader.close()
            try await body(place, log, connection)
        }
    }

    private static func rows(_ connection: Connection) async throws -> [[[String]]] {
        var all: [[[String]]] = []
        for query in [
            "select * from orders order by 1", "select id, state, _sequence from arrivals order by 1",
            "select id, sequence, op, state from orders_timeline order by id, order_key",
            "select id, milestone, state, sequence from orders_milestones order by 1, 2",
            """
            select coalesce(projection, ''), sum(messages), sum(control), sum(filtered), sum(dead_letters), sum(applied),
                sum(late), sum(duplicate), sum(entities)
            from tidemark.counters group by 1 order by 1
            """,
            "select coalesce(projection, ''), reason, count from tidemark.dead_letters order by 1, 2",
        ] { all.append(try await connection.rows(query)) }
        return all
    }

    @Test(arguments: [2, 3])
    func anUnfinishedReplayIsResumedAsIfNothingHadHappened(_ lanes: Int) async throws {
        try await self.withOldDatabase { place, log, connection in
            let resumed = try await place.succeed("replay", "--json", "--no-deliver", "--lanes", "\(lanes)", log.path)
                .json()
            #expect(resumed["resumed"] as? Bool == true)
            let rows = try await Self.rows(connection)
            #expect(
                try await connection.rows("select distinct finished, \"offset\", line from tidemark.checkpoints")
                    == [["t", "3701", "39"]]
            )
            try await place.succeed("drop", "orders", "--yes")
            try await place.succeed("drop", "arrivals", "--yes")
            try await connection.execute(
                "truncate tidemark_internal.passes, tidemark_internal.dead_letters cascade"
            )
            let fresh = try await place.succeed("replay", "--json", "--no-deliver", log.path).json()
            for member in ["messages", "events", "applied", "late", "duplicate", "dead_letters", "entities", "bytes"] {
                #expect(resumed[member] as? Int == fresh[member] as? Int, "\(member)")
            }
            #expect(rows == (try await Self.rows(connection)))
        }
    }

    @Test func theOldViewsKeepTheirColumns() async throws {
        try await self.withOldDatabase { place, _, connection in
            let old = """
                select table_name, column_name, data_type from information_schema.columns
                where table_schema = 'tidemark' and table_name in ('checkpoints', 'counters', 'dead_letters', 'deliveries')
                order by table_name, ordinal_position
                """
            let before = try await connection.rows(old)
            let stand = """
                select replay, file, lane, "offset", "row", line, finished from tidemark.checkpoints order by lane
                """
            let checkpoints = try await connection.rows(stand)
            let role = "reader_\(UInt32.random(in: .min ... .max))"
            let views = ["checkpoints", "counters", "dead_letters", "deliveries"]
            try await connection.execute(
                "create role \(role); "
                    + views.map { "grant select on tidemark.\($0) to \(role)" }.joined(separator: "; ")
            )
            try await place.succeed("migrate")
            #expect(try await connection.rows(old) == before)
            #expect(try await connection.rows(stand) == checkpoints)
            try await expectReadOnlyViews(connection)
            for view in views {
                let isGranted = "select has_table_privilege('\(role)', 'tidemark.\(view)', 'select')"
                #expect(try await connection.value(isGranted) == "t", "\(view)")
            }
            try await connection.execute("drop owned by \(role); drop role \(role)")
        }
    }

    @Test func aNewerSchemaIsRefusedWithTheWayOut() async throws {
        try await self.withOldDatabase { place, log, connection in
            try await place.succeed("migrate")
            try await connection.execute(
                "insert into tidemark_internal.migrations (version, name) values (1000, 'later')"
            )
            let result = try await place.run("replay", "--no-deliver", log.path)
            #expect(result.status == 78)
            #expect(result.error.contains("the database is at schema version 1000"))
            #expect(result.error.contains("use a newer tidemark"))
        }
    }
}
