import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// `tidemark rebuild` without files: from what the projection itself keeps.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct RebuildTimelineTests {
    private typealias Orders = RebuildPlace.Orders

    private func digest(_ place: RebuildPlace, includesArrival: Bool = true) async throws -> ReadModelDigest {
        try await place.withConnection {
            try await ReadModelDigest(table: "orders", key: "id", includesArrival: includesArrival, on: $0)
        }
    }

    private static let arrivals = "select id, order_key, received_at, late from orders_timeline order by id, order_key"

    @Test
    func withoutAChangeItEndsInTheSameRowsTimesAndOrderKeys() async throws {
        var generator = SeededGenerator.forTest("rebuild from the timeline")
        try await RebuildPlace.with { place in
            let log = place.folder.appendingPathComponent("a.ndjson")
            _ = try GeneratedLog(
                orders: 400,
                seed: generator.next(),
                arrival: .windowShuffled(500),
                repeatedPercent: 5
            ).write(to: log.path)
            try place.configure(Shop.projection)
            try await place.succeed("replay", "--no-deliver", "--batch-events", "100", log.path)
            let before = try await self.digest(place)
            let arrivals = try await place.rows(Self.arrivals)
            let reached = try await place.rows("select * from orders_milestones order by id, milestone")
            // What the log repeated, and what an earlier rebuild read, is counted once.
            try await place.succeed("replay", "--no-deliver", log.path)
            try await place.succeed("rebuild", "orders", "--no-deliver", "--dry-run")
            let result = try await place.succeed("rebuild", "orders", "--no-deliver", "--json").json()
            for count in ["messages", "events"] { #expect(result[count] as? Int == arrivals.count, "\(count)") }
            #expect(result["entities"] as? Int == 400)
            #expect(result["source"] as? String == "timeline")
            #expect((result["rows"] as? [String: Any])?["changed"] as? Int == 0)
            #expect(try await self.digest(place) == before)
            #expect(try await place.rows(Self.arrivals) == arrivals)
            #expect(try await place.rows("select * from orders_milestones order by id, milestone") == reached)
            let again = try await place.succeed("replay", "--no-deliver", "--json", log.path).json()
            #expect(again["applied"] as? Int == 0)
            #expect(again["late"] as? Int == 0)
        }
    }

    @Test
    func everyKindOfColumnComesBackFromItsImage() async throws {
        try await RebuildPlace.with { place in
            let values = #"""
                ,"note":"a \"quoted\" ü","amount":12.50,"big":18446744073709551615,"at":1772357421000001,"day":"2026-03-01","\#
                clock":"09:30:15.25","flag":1,"ratio":0.1,"doc":{"b":[1,2.0],"a":null},"raw":"AQL/","none":null,"\#
                uid":"0B0E4A5E-59F5-4A4C-9D5E-0D5F5A3C2B1A","local":"2026-03-01 10:00:00"
                """#
            let lines =
                (1...3).map { RebuildPlace.order($0, 1, "created", values) }
                + [RebuildPlace.order(2, 2, "paid", values)]
                + [
                    #""a \"text\" ü""#, #""s""#, #""null""#, #""""#, "-1.50", "true", "false", "[null]",
                    #"{"$json":null}"#,
                ].enumerated().map { RebuildPlace.order(10 + $0.offset, 1, "paid", #","doc":\#($0.element)"#) }
                + [
                    RebuildPlace.order(30, 1, "paid", #","ratio":"NaN","at":"infinity","day":"0044-03-15 BC""#),
                    RebuildPlace.order(31, 1, "paid", #","ratio":"-0","at":"0044-03-15T00:00:00+00:00 BC","note":"""#),
                ]
                + [
                    #"{"database":"shop","table":"orders","type":"delete","ts":9000,"xid":9,"commit":true,"#
                        + #""position":"mysql-bin.000001:9000","data":{"id":3,"status":"created","version":2}}"#
                ]
            let log = try place.write("a.ndjson", lines)
            var orders = Orders()
            orders.columns += """
                , note: text, amount: "numeric(12,2)", big: "numeric(20,0)", at: { type: timestamptz, encoding: epoch_us },
                      day: date, clock: time, flag: boolean, ratio: double precision, doc: jsonb, raw: bytea, none: text,
                      uid: uuid, local: { type: timestamp, from: local }
                """
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await place.value("select count(*) from tidemark.dead_letters") == "0")
            #expect(try await place.value("select count(*) from orders") == "13")
            let before = try await self.digest(place)
            try await place.succeed("rebuild", "orders", "--no-deliver")
            #expect(try await self.digest(place) == before)
        }
    }

    @Test
    func aRowWithoutDeclaredColumnsComesBackToo() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write(
                "a.ndjson",
                (1...20).map { RebuildPlace.order($0, 1 + $0 % 3, "paid", #","n":1.50,"x":null,"y":[true,"é"]"#) }
            )
            let from = ["--from", "shop.orders", "--key", "id", "--sequence", "version", "--state", "status"]
            #expect(try await place.start(["replay", log.path] + from).result().status == 0)
            let before = try await self.digest(place)
            let rebuilt = try await place.start(["rebuild", "orders"] + from).result()
            #expect(rebuilt.status == 0, "\(rebuilt.error)")
            #expect(try await self.digest(place) == before)
        }
    }

    @Test
    func anotherTypeNameStateAndLifecycleGoThrough() async throws {
        try await RebuildPlace.with { place in
            let lines = (1...9).flatMap { id in
                [
                    RebuildPlace.order(id, 1, "1", #","price":"\#(id).5""#),
                    RebuildPlace.order(id, 2, "3", #","price":"\#(id).25""#),
                ]
            }
            let log = try place.write("a.ndjson", lines)
            var orders = Orders()
            orders.columns = "id: text, status: text, version: integer, price: text"
            orders.milestones = "shipped: { state: shipped, notify: [warehouse] }"
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await place.value("select count(*) from orders_milestones") == "0")
            orders.columns = "id: bigint, status: text, version: bigint, cost: { type: \"numeric(8,2)\", from: price }"
            orders.state = "{ from: status, map: { \"1\": created, \"3\": shipped } }"
            try place.configure(orders.yaml)
            #expect(try await place.run("replay", "--no-deliver", log.path).status == 78)
            try await place.succeed("rebuild", "orders", "--no-deliver")
            let expected = try await self.expectation(of: log)
            #expect(try await self.digest(place) == expected)
            #expect(try await place.value("select sum(cost) from orders") == "47.25")
            #expect(try await place.value("select count(*) from tidemark.deliveries where key = '[7]'") == "1")
        }
    }

    /// What a fresh replay of the log makes of it.
    private func expectation(of log: URL, includesArrival: Bool = true) async throws -> ReadModelDigest {
        try await TestDatabase.with {
            var place = RebuildPlace(folder: log.deletingLastPathComponent())
            place.database = .current
            try await place.succeed("replay", "--no-deliver", log.path)
            return try await self.digest(place, includesArrival: includesArrival)
        }
    }

    @Test
    func aSequenceOfKeptColumnsIsBuiltFromTheImages() async throws {
        try await RebuildPlace.with { place in
            // By version the last event is "cancelled", by time it is "shipped".
            let log = try place.write(
                "a.ndjson",
                [
                    RebuildPlace.order(1, 2, "cancelled", #","at":"2026-03-01T01:00:00Z""#),
                    RebuildPlace.order(1, 1, "shipped", #","at":"2026-03-01T02:00:00Z""#),
                ]
            )
            var orders = Orders()
            orders.columns += ", at: timestamptz"
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await place.value("select status from orders") == "cancelled")
            for sequence in ["at", "[at, $event_time]", "[at, $event_time, version]"] {
                orders.sequence = sequence
                try place.configure(orders.yaml)
                try await place.succeed("rebuild", "orders", "--no-deliver")
                #expect(try await place.value("select status from orders") == "shipped")
                let expected = try await self.expectation(of: log, includesArrival: false)
                // What was late in the order of then is said to have been so.
                let actual = try await self.digest(place, includesArrival: false)
                for relation in ["orders", "timeline", "history"] {
                    #expect(actual.relations[relation] == expected.relations[relation], "\(sequence): \(relation)")
                }
            }
            #expect(try await place.value("select count(*) from tidemark.deliveries") == "1")
        }
    }

    @Test
    func whatTheTimelineDoesNotHoldAsksForFiles() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write("a.ndjson", [RebuildPlace.order(1, 1, "created", #","price":1.5,"zone":"x""#)])
            var orders = Orders()
            orders.columns += ", price: \"numeric(8,2)\""
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            let changes: [(inout Orders) -> Void] = [
                { $0.sequence = "$position" }, { $0.sequence = "zone" }, { $0.key = "[id, zone]" },
                { $0.columns = "id: bigint, status: text, version: integer, price: uuid" },
                { $0.state = "zone" },
                {
                    $0.sequence = "$position"
                    $0.more = "    on_truncate: delete"
                },
            ]
            for change in changes {
                var changed = orders
                change(&changed)
                try place.configure(changed.yaml)
                let refused = try await place.run("rebuild", "orders", "--no-deliver")
                #expect(refused.status == 78, "\(changed.yaml)")
                #expect(refused.error.contains("tidemark rebuild orders FILE"), "\(refused.error)")
            }
            #expect(try await place.leftovers().isEmpty)
        }
    }

    @Test
    func aColumnThatNobodyKeptIsIncompleteAndPartialImagesStayPartial() async throws {
        try await RebuildPlace.with { place in
            let partial =
                #"{"table":"shop.orders","op":"update","after":{"id":1,"version":3},"ts":"2026-03-01T00:00:03Z"}"#
            let log = try place.write(
                "a.ndjson",
                [
                    #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"status":"created","note":"n"}}"#,
                    partial,
                    #"{"table":"shop.orders","op":"update","after":{"id":1,"version":2,"status":"paid"}}"#,
                ]
            )
            var orders = Orders()
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            #expect(try await place.rows("select id, version, status from orders") == [["1", "3", "paid"]])
            orders.columns += ", note: { type: text, default: unknown }"
            try place.configure(orders.yaml)
            try await place.succeed("rebuild", "orders", "--no-deliver")
            // What it was is not known: the default stands for what a message did not say, not for what was not kept.
            #expect(
                try await place.rows("select id, version, status, note, _incomplete from orders")
                    == [["1", "3", "paid", "∅", "{note}"]]
            )
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            #expect(try await place.rows("select note, _incomplete from orders") == [["unknown", "{}"]])
        }
    }

    @Test
    func aTimelineThatChangedMeanwhileIsReadFromTheBeginning() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write("a.ndjson", (1...50).map { RebuildPlace.order($0, 1, "created") })
            var orders = Orders()
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            orders.columns = "id: bigint, status: integer, version: integer"
            try place.configure(orders.yaml)
            // None of the states is a number.
            #expect(try await place.run("rebuild", "orders", "--strict").status == 65)
            #expect(try await place.leftovers().isEmpty == false)
            try place.configure(Orders().yaml)
            let more = try place.write(
                "b.ndjson",
                [RebuildPlace.order(1, 2, "paid"), RebuildPlace.order(51, 1, "created")]
            )
            try await place.succeed("replay", "--no-deliver", more.path)
            let result = try await place.succeed("rebuild", "orders", "--no-deliver", "--json")
            #expect(result.error.contains("starting over"), "\(result.error)")
            #expect(try await place.value("select count(*) from orders") == "51")
            #expect(try await place.value("select status from orders where id = 1") == "paid")
            #expect(try await place.value("select count(*) from tidemark.dead_letters") == "0")
        }
    }

    @Test
    func versionsThatTagsDroppedStaySeen() async throws {
        try await RebuildPlace.with { place in
            let log = try place.write(
                "a.ndjson",
                [
                    RebuildPlace.order(1, 1, "created"), RebuildPlace.order(1, 2, "paid"),
                    RebuildPlace.order(1, 5, "shipped"),
                ]
            )
            var orders = Orders()
            orders.more = "    contiguous: true\n    tags: { from: status, accept: \"created || shipped\" }"
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            let gaps = "select id, first, last from orders_gaps"
            #expect(try await place.rows(gaps) == [["1", "3", "4"]])
            try await place.succeed("rebuild", "orders", "--no-deliver")
            #expect(try await place.rows(gaps) == [["1", "3", "4"]])
            #expect(try await place.value("select count(*) from orders_timeline") == "2")
        }
    }

    @Test
    func aKeyOfSeveralColumnsAndTypesIsFoundAgain() async throws {
        try await RebuildPlace.with { place in
            let lines = (1...40).map { number in
                #"{"table":"shop.orders","op":"insert","after":{"shop":"s\#(number % 3)","day":"2026-03-0\#(1 + number % 4)T00:00:00Z","#
                    + #""id":\#(number),"version":1,"status":"shipped"}}"#
            }
            let log = try place.write("a.ndjson", lines)
            var orders = Orders()
            orders.key = "[shop, day, id]"
            orders.columns = "shop: text, day: timestamptz, id: integer, status: text, version: integer"
            try place.configure(orders.yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            let before = try await self.digest(place)
            let deliveries = try await place.rows("select id, key from tidemark.deliveries order by id")
            #expect(deliveries.count == 40)
            orders.columns = "shop: text, day: timestamptz, id: bigint, status: text, version: bigint"
            try place.configure(orders.yaml)
            try await place.succeed("rebuild", "orders", "--no-deliver")
            #expect(try await self.digest(place).relations["orders"] == before.relations["orders"])
            #expect(try await place.rows("select id, key from tidemark.deliveries order by id") == deliveries)
        }
    }

    @Test
    func whatWasForgottenStaysSo() async throws {
        try await RebuildPlace.with { place in
            let lines = [
                RebuildPlace.order(1, 1, "created"), RebuildPlace.order(1, 2, "shipped"),
                RebuildPlace.order(2, 1, "paid"),
            ]
            let log = try place.write("a.ndjson", lines)
            try place.configure(Orders().yaml)
            try await place.succeed("replay", "--no-deliver", log.path)
            try await place.succeed("forget", "orders", "1")
            let before = try await self.digest(place)
            try await place.succeed("rebuild", "orders", "--no-deliver")
            #expect(try await self.digest(place) == before)
            // Read again, the events are known by their order keys.
            let again = try await place.succeed("replay", "--no-deliver", "--json", log.path).json()
            #expect(again["duplicate"] as? Int == 3)
            #expect(try await place.rows("select status from orders where id = 1") == [["∅"]])
        }
    }
}
