import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// What `prune` takes away, what it leaves, and what it counts when a pruned key comes back.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct PruneTests {
    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, status: text, version: integer, note: text }
            lifecycle: { initial: created, transitions: { created: [paid], paid: [shipped] } }
            milestones: { paid: { state: paid } }

        """

    private static func line(_ id: Int, _ version: Int, _ op: String, _ columns: String = "", at time: String) -> String
    {
        let image = "{\"id\":\(id),\"version\":\(version)\(columns)}"
        return
            "{\"table\":\"shop.orders\",\"op\":\"\(op)\",\"\(op == "delete" ? "before" : "after")\":\(image),\"ts\":\"\(time)\"}"
    }

    private static let old = "2020-01-01T00:00:00Z"

    @Test
    func oldTombstonesAndEventsGoAndRowsMilestonesAndProofsStay() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let log = try place.write(
                "log.ndjson",
                lines: [
                    Self.line(1, 1, "insert", #","status":"created","note":"a""#, at: Self.old),
                    Self.line(1, 2, "update", #","status":"paid","note":"b""#, at: Self.old),
                    Self.line(1, 3, "update", #","status":"shipped""#, at: Self.old),
                    Self.line(2, 1, "insert", #","status":"paid","note":"c""#, at: Self.old),
                    Self.line(2, 2, "delete", at: Self.old),
                ]
            )
            _ = try await place.replay(log)
            let rows = "select id, status, version, note, _incomplete from orders order by id"
            let before = try await connection.rows(rows)

            try await place.succeed("prune", "--older-than", "30d", "--dry-run")
            #expect(try await connection.number("select count(*) from orders_timeline") == 5)
            let pruned = try await place.succeed("prune", "--older-than", "30d")
            #expect(pruned.output.contains("1 tombstones, 3 events"))
            #expect(pruned.output.contains("revives its key"))

            #expect(try await connection.rows(rows) == before)
            // The row comes from versions 2 and 3; each milestone from the event that is shown with it.
            #expect(
                try await connection.rows(
                    "select id, version from orders_timeline, jsonb_to_record(image) as i(version text) order by 1, 2"
                )
                    == [["1", "2"], ["1", "3"]]
            )
            #expect(try await connection.number("select count(*) from orders_milestones") == 2)
            #expect(try await place.run("verify", "orders").status == 0)
        }
    }

    @Test
    func aKeyThatALateEventRevivesIsCountedAndFiresNothingAgain() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let first = try place.write(
                "first.ndjson",
                lines: [
                    Self.line(2, 1, "insert", #","status":"paid","note":"c""#, at: Self.old),
                    Self.line(2, 3, "delete", at: Self.old),
                ]
            )
            _ = try await place.replay(first)
            try await place.succeed("prune", "--older-than", "1d")
            let late = try place.write(
                "late.ndjson",
                lines: [Self.line(2, 2, "update", #","status":"paid","note":"d""#, at: Self.old)]
            )
            let summary = try await place.replay(late)
            #expect((summary["milestones"] as? [String: Int]) == ["paid": 0])
            #expect(try await connection.rows("select id, note from orders") == [["2", "d"]])
            let status = try await place.succeed("status", "--json").json()
            let projection = (status["projections"] as? [[String: Any]])?.first
            #expect(projection?["revived"] as? Int == 1)
            // The milestone came from an event that was pruned, below the one that is there now.
            for _ in 0..<2 {
                try await place.succeed("verify", "orders")
                #expect(try await connection.rows("select sequence from orders_milestones") == [["1"]])
                try await place.succeed("rebuild", "orders")
            }
        }
    }

    /// Rows, relations, indexes and rights are as they were, and processes go on writing.
    @Test
    func compactingGivesTheSpaceOfTimelinesBack() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let log = try place.write(
                "log.ndjson",
                lines: (1...3000).flatMap { id in
                    (1...4).map {
                        Self.line(id, $0, "update", #","status":"paid","note":"\#(UUID().uuidString)""#, at: Self.old)
                    }
                }
            )
            _ = try await place.replay(log)
            // Two left after each key's first: its row's event, and the milestone's.
            try await place.succeed("prune", "--older-than", "30d")
            let role = "\"reader \(UInt32.random(in: .min ... .max))\""
            try await connection.execute(
                "alter table tidemark_internal.orders_events set (autovacuum_vacuum_scale_factor = 0.01, fillfactor = 90)"
            )
            try await connection.execute(
                "create role \(role); grant select on tidemark_internal.orders_events, orders_timeline to \(role)"
            )
            let shape = """
                select relname::text, relkind::text, relacl::text, reloptions::text
                from pg_class where relnamespace in ('tidemark_internal'::regnamespace, 'public'::regnamespace)
                order by 1, 2
                """
            let relations = try await connection.rows(shape)
            let digest = try await ReadModelDigest(table: "orders", key: "id", includesArrival: true, on: connection)

            let refused = try await place.run("prune", "--older-than", "30d", "--compact", "--config", "elsewhere.yaml")
            #expect(refused.status == 78)
            try await connection.execute("alter table tidemark_internal.orders_events enable row level security")
            let secured = try await place.run("prune", "--older-than", "30d", "--compact")
            #expect(secured.status == 78 && secured.error.contains("disable row level security"), "\(secured.error)")
            try await connection.execute("alter table tidemark_internal.orders_events disable row level security")
            let report = try await place.succeed("prune", "--older-than", "30d", "--compact", "--json")
            let counts = try #require(
                try JSONSerialization.jsonObject(with: Data(report.output.utf8)) as? [[String: Any]]
            )
            let before = try #require(counts[0]["timeline_bytes_before"] as? Int)
            let after = try #require(counts[0]["timeline_bytes_after"] as? Int)
            #expect(after < before * 3 / 4, "\(before) to \(after) bytes")
            #expect(
                try await connection.number("select pg_total_relation_size('tidemark_internal.orders_events')") == after
            )
            #expect(
                try await ReadModelDigest(table: "orders", key: "id", includesArrival: true, on: connection) == digest
            )
            #expect(try await connection.rows(shape) == relations)
            let text = try await place.succeed("prune", "--older-than", "30d", "--compact")
            #expect(text.output.contains("the timeline takes"))
            expectReadable(text.output)

            let more = try place.write(
                "more.ndjson",
                lines: [Self.line(7, 9, "update", #","status":"paid""#, at: Self.old)]
            )
            _ = try await place.replay(more)
            #expect(try await connection.rows("select version from orders where id = 7") == [["9"]])
            #expect(try await place.run("verify", "orders").status == 0)
            try await connection.execute("drop owned by \(role); drop role \(role)")
        }
    }
}
