import Foundation
import LibPQ
import Testing
import TidemarkReceiver
import TidemarkTesting

/// `tidemark rebuild` as operators use it.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct RebuildTests {
    private typealias Orders = RebuildPlace.Orders

    private static let log = (1...30).flatMap { id in
        [
            RebuildPlace.order(id, 1, "created", #","note":"n\#(id)","amount":"\#(id).50""#),
            RebuildPlace.order(
                id,
                2,
                id.isMultiple(of: 3) ? "cancelled" : "paid",
                #","note":"m\#(id)","amount":"\#(id).75""#
            ),
        ]
    }

    @Test
    func aNewColumnIsFilledFromFiles() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write("a.ndjson", Self.log)
            try place.configure(Orders().yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            var wider = Orders()
            wider.columns += ", note: text"
            try place.configure(wider.yaml)
            // The next start adds it; what has been read stays as it was.
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await place.value("select count(note) from orders") == "0")
            let result = try await place.succeed("rebuild", "orders", log.path, "--no-deliver", "--json")
            #expect(try await place.value("select count(*) from orders where note = 'm' || id") == "30")
            #expect(try await place.value("select count(*) from orders_timeline") == "60")
            let json = try result.json()
            let rows = try #require(json["rows"] as? [String: Any])
            #expect(rows["changed"] as? Int == 30)
            #expect((rows["columns"] as? [String: Int]) == ["_incomplete": 30, "note": 30])
            #expect(json["swapped"] as? Bool == true)
            #expect((json["differences"] as? [[String: Any]])?.first?["new"] as? String == "m1")
            #expect(try await place.leftovers().isEmpty)
            // The log is the same log: nothing of it is new.
            let again = try await place.succeed("replay", "--no-deliver", "--json", log.path).json()
            #expect(again["duplicate"] as? Int == 60)
        }
    }

    @Test(arguments: ["sequence", "key", "state", "lifecycle"])
    func anotherMeaningAsksForARebuildAndWorksBehindIt(_ what: String) async throws {
        try await RebuildPlace.with { place in
            let log = try place.write("a.ndjson", Self.log)
            try place.configure(Orders().yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            let before = try await place.rows("select * from orders order by id")
            var changed = Orders()
            switch what {
            case "sequence": changed.sequence = "$position"
            case "key": changed.key = "[status, id]"
            case "state": changed.state = "{ from: status, map: { paid: settled } }"
            default: changed.transitions = "created: [paid, cancelled], paid: [packed], packed: [shipped]"
            }
            try place.configure(changed.yaml)
            let refused = try await place.run("replay", "--no-deliver", log.path)
            #expect(refused.status == 78)
            #expect(refused.error.contains(what), "\(refused.error)")
            #expect(refused.error.contains("tidemark rebuild orders"), "\(refused.error)")
            #expect(try await place.rows("select * from orders order by id") == before)
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            let again = try await place.succeed("replay", "--no-deliver", "--json", log.path).json()
            #expect(again["duplicate"] as? Int == 60)
            // Messages that say nothing of the former key leave both orders behind a change of it.
            #expect(try await place.value("select count(*) from orders") == (what == "key" ? "60" : "30"))
            #expect(try await place.leftovers().isEmpty)
        }
    }

    @Test
    func aDryRunShowsAndLeavesEverythingAsItWas() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write("a.ndjson", Self.log)
            try place.configure(Orders().yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            let more = try place.write(
                "b.ndjson",
                Self.log + [RebuildPlace.order(1, 3, "shipped"), RebuildPlace.order(99, 1, "created")]
            )
            let before = try await place.withConnection {
                try await ReadModelDigest(table: "orders", key: "id", on: $0)
            }
            let result = try await place.succeed("rebuild", "orders", more.path, "--dry-run")
            #expect(result.output.contains("rows: 30 now, 31 new; 0 go, 1 come, 1 change"), "\(result.output)")
            #expect(result.output.contains("+ [99]"), "\(result.output)")
            #expect(result.output.contains("~ [1] status: paid → shipped"), "\(result.output)")
            #expect(result.output.contains("milestone shipped reached by 1 more: [1]"), "\(result.output)")
            #expect(result.output.contains("dry run"), "\(result.output)")
            let after = try await place.withConnection { try await ReadModelDigest(table: "orders", key: "id", on: $0) }
            #expect(after == before)
            #expect(try await place.leftovers().isEmpty)
        }
    }

    @Test
    func milestonesStayReachedAndNewOnesAreDeliveredOnce() async throws {
        try await WebhookReceiver.with { receiver in
            try await RebuildPlace.with { place in
                var orders = Orders()
                orders.url = receiver.url
                let log = try place.write(
                    "a.ndjson",
                    [RebuildPlace.order(1, 1, "created"), RebuildPlace.order(1, 2, "shipped")]
                )
                try place.configure(orders.yaml)
                try await place.succeed("replay", log.path)
                let reached =
                    "select id, reached_at, muted from orders_milestones where milestone = 'shipped' and id = 1"
                let first = try await place.rows(reached)
                // Order 1 was never shipped by this log, and order 2 was.
                let other = try place.write(
                    "b.ndjson",
                    [RebuildPlace.order(1, 1, "created"), RebuildPlace.order(2, 2, "delivered")]
                )
                try await place.succeed("rebuild", "orders", other.path)
                #expect(try await place.rows(reached) == first)
                #expect(
                    try await place.rows("select key, milestone, status from tidemark.deliveries order by key")
                        == [["[1]", "shipped", "delivered"], ["[2]", "shipped", "delivered"]]
                )
                try await place.succeed("rebuild", "orders", log.path)
                try await place.succeed("rebuild", "orders", other.path)
                #expect(try await place.value("select count(*) from orders_milestones") == "2")
                let told = await receiver.requests
                #expect(told.count == 2)
                // Counted by the receiver for each identifier.
                #expect(told.allSatisfy { $0.attempt == 1 })
            }
        }
    }

    @Test
    func aMutedRebuildReachesWithoutDelivering() async throws {
        try await RebuildPlace.with { place in
            try place.configure(Orders().yaml)
            let log = try place.write("a.ndjson", [RebuildPlace.order(1, 1, "created")])
            try await place.succeed("replay", "--no-deliver", log.path)
            let other = try place.write("b.ndjson", [RebuildPlace.order(1, 2, "shipped")])
            try await place.succeed("rebuild", "orders", other.path, "--mute")
            #expect(try await place.rows("select id, muted from orders_milestones") == [["1", "t"]])
            #expect(try await place.rows("select status from tidemark.deliveries") == [["muted"]])
        }
    }

    @Test
    func aSecondWriterIsToldWhoTheFirstIs() async throws {
        try await RebuildPlace.with { place in
            try place.configure(Orders().yaml)
            let log = try place.write("a.ndjson", Self.log)
            try await place.succeed("replay", "--no-deliver", log.path)
            try await place.withConnection { connection in
                try await connection.execute("select pg_advisory_lock(1953063021, hashtext('orders'))")
                for arguments in [["rebuild", "orders"], ["rebuild", "orders", "--abort"]] {
                    let result = try await place.start(arguments).result()
                    #expect(result.status == 1)
                    #expect(result.error.contains("tests (observer)"), "\(result.error)")
                }
            }
        }
    }

    @Test
    func whatCannotBeRebuiltIsRefused() async throws {
        try await RebuildPlace.with { place in
            try place.configure(Orders().yaml)
            let log = try place.write("a.ndjson", Self.log)
            let early = try await place.run("rebuild", "orders", log.path)
            #expect(early.status == 1)
            #expect(early.error.contains("no projection \"orders\""), "\(early.error)")
            try await place.succeed("replay", "--no-deliver", log.path)
            let unknown = try await place.run("rebuild", "customers")
            #expect(unknown.status == 78)
            let none = try await place.run("rebuild", "orders", "--abort")
            #expect(none.status == 1)
            #expect(try await place.run("rebuild", "orders", "nowhere.ndjson").status == 66)
            #expect(try await place.run("rebuild", "orders", "-").status == 64)
        }
    }

    @Test
    func aBadRowStopsAStrictRebuildAndTheVersionWaits() async throws {
        try await RebuildPlace.with { place in
            try place.configure(Orders().yaml)
            let log = try place.write("a.ndjson", Self.log)
            try await place.succeed("replay", "--no-deliver", log.path)
            let bad = try place.write(
                "b.ndjson",
                Self.log + [RebuildPlace.order(5, 3, "paid").replacing(#""version":3"#, with: #""version":"x""#)]
            )
            let stopped = try await place.run("rebuild", "orders", bad.path, "--strict", "--no-deliver")
            #expect(stopped.status == 65)
            let status = try await place.succeed("status")
            #expect(status.output.contains("rebuild"), "\(status.output)")
            #expect(try await place.value("select count(*) from orders_timeline") == "60")
            #expect(try await place.leftovers().isEmpty == false)
            // Another input cannot go on with it; the same can.
            try await place.succeed("rebuild", "orders", bad.path, "--no-deliver")
            #expect(
                try await place.rows("select projection, reason, count from tidemark.dead_letters")
                    == [["orders", "sequence_missing", "1"]]
            )
            #expect(try await place.leftovers().isEmpty)
            _ = try await place.run("rebuild", "orders", bad.path, "--strict", "--no-deliver")
            try await place.succeed("rebuild", "orders", "--abort")
            #expect(try await place.leftovers().isEmpty)
            _ = try await place.run("rebuild", "orders", bad.path, "--strict", "--no-deliver")
            try await place.succeed("drop", "orders", "--yes")
            #expect(try await place.leftovers().isEmpty)
        }
    }

    @Test
    func grantsAndOthersViewsAreKept() async throws {
        try await RebuildPlace.with { place in
            let role = "tidemark_reader_\(UInt32.random(in: 0...UInt32.max))"
            let log = try place.write("a.ndjson", Self.log)
            try place.configure(Orders().yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            try await place.withConnection { connection in
                try await connection.execute("create role \(role); grant select on orders, orders_timeline to \(role)")
                try await connection.execute("create view paid as select id from orders where status = 'paid'")
                let granted = """
                    select table_name from information_schema.role_table_grants where grantee = '\(role)' order by 1
                    """
                // A column at the end: the views stay the same ones.
                var wider = Orders()
                wider.columns += ", note: text"
                wider.sequence = "$position"
                try place.configure(wider.yaml)
                let refused = try await place.run("rebuild", "orders", log.path, "--no-deliver")
                // `orders` has its own columns behind the configured ones, so a new one makes it another view.
                #expect(refused.status == 1)
                #expect(refused.error.contains("paid depends on view public.orders"), "\(refused.error)")
                try await connection.execute("drop view paid")
                let resumed = try await place.succeed("rebuild", "orders", log.path, "--no-deliver", "--json").json()
                #expect(resumed["resumed"] as? Bool == true)
                #expect(try await connection.rows(granted) == [["orders"], ["orders_timeline"]])
                try await connection.execute("create view paid as select id from orders where status = 'paid'")
                wider.sequence = "version"
                try place.configure(wider.yaml)
                try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
                #expect(try await connection.value("select count(*) from paid") == "20")
                #expect(try await connection.rows(granted) == [["orders"], ["orders_timeline"]])
                try await connection.execute("drop view paid; drop owned by \(role); drop role \(role)")
            }
        }
    }

    @Test
    func anOpenDeliveryIsHeldOrReleasedByTheNewState() async throws {
        try await RebuildPlace.with { place in
            var orders = Orders()
            orders.milestones = "shipped: { state: shipped, notify: [warehouse], unless: [cancelled] }"
            try place.configure(orders.yaml)
            let shipped = [RebuildPlace.order(1, 1, "created"), RebuildPlace.order(1, 2, "shipped")]
            let short = try place.write("a.ndjson", shipped)
            let long = try place.write("b.ndjson", shipped + [RebuildPlace.order(1, 3, "cancelled")])
            try await place.succeed("replay", "--no-deliver", long.path)
            for (log, status) in [(short, "due"), (long, "held"), (short, "due")] {
                try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
                #expect(try await place.rows("select status from tidemark.deliveries") == [[status]])
            }
        }
    }

    @Test
    func anotherTableMovesTheViews() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write("a.ndjson", Self.log)
            try place.configure(Orders().yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            var orders = Orders()
            orders.more = "    table: archive.purchases\n    contiguous: true"
            try place.configure(orders.yaml)
            #expect(try await place.run("replay", "--no-deliver", log.path).status == 78)
            try await place.withConnection { connection in
                try await connection.execute("create schema archive; create table archive.purchases_gaps (mine text)")
                let refused = try await place.run("rebuild", "orders", "--no-deliver")
                #expect(refused.status == 78)
                #expect(try await connection.value("select count(*) from orders") == "30")
                try await connection.execute("drop table archive.purchases_gaps")
                try await place.succeed("rebuild", "orders", "--no-deliver")
                #expect(try await connection.value("select count(*) from archive.purchases_history") == "60")
                #expect(try await connection.value("select count(*) from archive.purchases_gaps") == "0")
                #expect(try await connection.value("select to_regclass('public.orders')") == "∅")
            }
            try await place.succeed("drop", "orders", "--yes")
            #expect(try await place.value("select count(*) from tidemark.relations") == "0")
        }
    }
}
