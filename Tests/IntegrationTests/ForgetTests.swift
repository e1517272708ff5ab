import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// A key is forgotten: what it said is nowhere any more, and does not come back with the events that said it.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct ForgetTests {
    private static func configuration(timeline: Bool = true) -> String {
        """
        projections:
          - name: orders
            from: [shop.orders]
            key: [shop, id]
            sequence: version
            state: status
            timeline: \(timeline)
            columns: { shop: text, id: bigint, status: text, version: integer, name: text, amount: "numeric(6,2)" }
            lifecycle:
              initial: created
              transitions: { created: [paid], paid: [shipped] }
            milestones:
              paid: { state: paid, notify: [warehouse] }
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/", secret: "whsec_dGlkZW1hcmsgdGVzdA==" }

        """
    }

    /// - Parameter columns: JSON members beside key and version.
    private static func order(_ id: Int, _ version: Int, _ columns: String, op: String = "update") -> String {
        let image = #""after":{"shop":"a'b","id":\#(id),"version":\#(version),\#(columns)}"#
        return #"{"table":"shop.orders","op":"\#(op)",\#(image)}"#
    }

    private static let secret = "Ada Lovelace"

    /// A partial image on top of whole ones, so that a column comes from further down; and dead letters.
    private static let lines = [
        order(1, 1, #""status":"created","name":"\#(secret) 1","amount":1"#),
        order(1, 2, #""status":"paid","name":"\#(secret) 2","amount":2"#), order(1, 4, #""status":"shipped""#),
        order(1, 5, #""status":"paid","name":"\#(secret) 5","amount":"x""#),
        order(2, 1, #""status":"paid","name":"Grace Hopper","amount":7"#),
        order(2, 2, #""status":"paid","name":"Grace Hopper","amount":"y""#),
        #"{"id":1,"database":"shop","table":"orders","isDdl":false,"type":"INSERT","es":1,"ts":1,"old":null,"data":["#
            + #"{"shop":"a'b","id":"3","status":"paid","version":"1","name":"n","amount":"z"},"#
            + #"{"shop":"a'b","id":"1","status":"paid","version":"3","name":"\#(secret) 3","amount":"3"}]}"#,
        "{ no message: \(secret)",
    ]

    /// Where in the database a text stands.
    private func places(of text: String, _ connection: Connection) async throws -> [String] {
        var places: [String] = []
        let tables = try await connection.rows(
            """
            select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname = 'tidemark_internal' and c.relkind = 'r' order by 1
            """
        )
        for table in tables.map({ $0[0] }) {
            let count = try await connection.number(
                """
                select count(*) from \(table) as t
                where t::text like '%\(text)%' or t::text like '%' || encode('\(text)', 'hex') || '%'
                """
            )
            if count > 0 { places.append("\(table) \(count)") }
        }
        return places
    }

    @Test(arguments: [true, false])
    func whatAKeySaidIsNowhereAndTheSameEventsDoNotBringItBack(_ timeline: Bool) async throws {
        try await withWorkplace(Self.configuration(timeline: timeline)) { place, connection in
            let log = try place.write("a.ndjson", lines: Self.lines)
            _ = try await place.replay(log)
            #expect(try await !self.places(of: Self.secret, connection).isEmpty)
            let before = try await connection.rows(
                "select _order_key, _sequence from tidemark_internal.orders_entities"
            )

            let result = try await place.run("forget", "orders", "a'b", "1", "--json")
            #expect(result.status == 0, "\(result.error)")
            let outcome = try result.json()
            #expect(outcome["rows"] as? Int == 1 && outcome["events"] as? Int == (timeline ? 4 : 0))
            #expect(outcome["deliveries"] as? Int == 1)
            #expect(outcome["dead_letters"] as? Int == 2 && outcome["unreadable_dead_letters"] as? Int == 1)
            // The line that is no message is named in the outcome, and dropped by hand.
            #expect(try await self.places(of: Self.secret, connection) == ["tidemark_internal.dead_letter_messages 1"])
            try await place.succeed("deadletters", "drop", "--reason", "malformed_json", "--yes")

            let row = "select status, name, amount, version, _sequence from orders where id = 1"
            #expect(try await connection.rows(row) == [["∅", "∅", "∅", "∅", "4"]])
            #expect(
                try await connection.rows("select _order_key, _sequence from tidemark_internal.orders_entities")
                    == before
            )
            #expect(try await connection.value("select name from orders where id = 2") == "Grace Hopper")
            #expect(
                try await connection.rows("select reason, \"row\" from tidemark.dead_letters")
                    == [["value_invalid", "0"]]
            )

            // The whole log again, in its order and in others: no row and no event gets its content back, and only
            // what was bad is set aside anew, to be forgotten again.
            for seed in 0..<3 {
                let again = try await place.run("disorder", "--shuffle", "--seed", "\(seed)", log.path)
                let file = try place.write("again\(seed).ndjson", again.output)
                let summary = try await place.replay(file)
                if timeline { #expect(summary["applied"] as? Int == 0 && summary["late"] as? Int == 0, "\(summary)") }
                #expect(try await connection.rows(row) == [["∅", "∅", "∅", "∅", "4"]])
                #expect(
                    try await self.places(of: Self.secret, connection) == ["tidemark_internal.dead_letter_messages 3"]
                )
                try await place.succeed("forget", "orders", "a'b", "1")
                try await place.succeed("deadletters", "drop", "--reason", "malformed_json", "--yes")
                #expect(try await self.places(of: Self.secret, connection).isEmpty)
            }
            #expect(
                try await connection.value("select count(*) from tidemark.deliveries where key = '[\"a''b\", 1]'")
                    == "1"
            )

            // News is news.
            let news = Self.order(1, 9, #""status":"shipped","name":"new""#)
            _ = try await place.replay(try place.write("news.ndjson", lines: [news]))
            #expect(try await connection.rows(row) == [["shipped", "new", "∅", "9", "9"]])
            if timeline {
                #expect(try await connection.value("select count(*) from orders_timeline where id = 1") == "5")
                #expect(
                    try await connection.rows("select name, _sequence from orders_history where id = 1 order by 2")
                        == [["∅", "1"], ["∅", "2"], ["∅", "3"], ["∅", "4"], ["new", "9"]]
                )
            }
        }
    }

    /// A milestone stays that of the event which reached it, whose state is gone.
    @Test func whatAForgottenKeyReachedStaysAsItWasWhenNewsComes() async throws {
        try await withWorkplace(Self.configuration()) { place, connection in
            func read(_ version: Int) async throws {
                let log = try place.write(
                    "\(version).ndjson",
                    lines: [Self.order(1, version, #""status":"paid","name":"n""#)]
                )
                _ = try await place.replay(log)
            }
            try await read(1)
            try await place.succeed("forget", "orders", "a'b", "1")
            try await read(2)
            let milestones = "select milestone, sequence, reached_at from orders_milestones"
            let before = try await connection.rows(milestones)
            #expect(before.map { $0[1] } == ["1"])
            let verified = try await place.run("verify", "orders")
            #expect(verified.status == 0, "\(verified.output)")
            try await place.succeed("rebuild", "orders", "--no-deliver")
            #expect(try await connection.rows(milestones) == before)
        }
    }

    /// What was ended in the middle of copying a timeline has left a copy of its content.
    @Test func aCopyOfTheTimelineThatWasLeftIsForgottenToo() async throws {
        try await withWorkplace(Self.configuration()) { place, connection in
            let log = try place.write(
                "a.ndjson",
                lines: [1, 2].map { Self.order($0, 1, #""status":"paid","name":"\#(Self.secret) \#($0)""#) }
            )
            _ = try await place.replay(log)
            let copies = ["compact", "typed"].map { "tidemark_internal.\"orders_events.\($0)\"" }
            for copy in copies {
                try await connection.execute("create table \(copy) as table tidemark_internal.orders_events")
            }
            try await place.succeed("forget", "orders", "a'b", "1")
            #expect(try await self.places(of: Self.secret + " 1", connection).isEmpty)
            for copy in copies { #expect(try await connection.number("select count(*) from \(copy)") == 1) }
        }
    }

    @Test func `what a receiver repeated of a key goes too`() async throws {
        let yaml = """
            projections:
              - { name: orders, from: shop.orders, key: id, sequence: version, state: status, milestones: { shipped: { notify: [label] } } }
            notifiers:
              label: { type: command, command: [/bin/cat] }

            """
        try await withWorkplace(yaml) { place, connection in
            let lines = [1, 2].map {
                #"{"table":"shop.orders","op":"insert","after":{"id":\#($0),"version":1,"status":"shipped","name":"\#(Self.secret) \#($0)"}}"#
            }
            try await place.succeed("replay", place.write("a.ndjson", lines: lines).path)
            let excerpts = "select count(*) from tidemark.attempts where excerpt like '%\(Self.secret)%'"
            try #require(await connection.value(excerpts) == "2")
            try await place.succeed("forget", "orders", "1")
            #expect(try await connection.value(excerpts) == "1")
            #expect(try await connection.value("select count(*) from tidemark.attempts") == "2")
            #expect(try await self.places(of: "\(Self.secret) 1", connection).isEmpty)
        }
    }

    @Test func `a dead letter is known by its broker's key`() async throws {
        let yaml = """
            limits: { max_dead_letters: 100% }
            projections:
              - { name: orders, from: shop.orders, key: id, sequence: version }

            """
        func record(_ offset: Int, _ topic: String, key: String?, _ payload: String) throws -> String {
            let record: [String: Any] = [
                "topic": topic, "partition": 0, "offset": offset, "key": key ?? NSNull(), "payload": payload,
                "headers": ["name", Self.secret],
            ]
            return String(decoding: try JSONSerialization.data(withJSONObject: record), as: UTF8.self)
        }
        let (row, noMessage) = (#"{"table":"shop.orders","op":"update","after":"#, #"{"op":"wrong"}"#)
        let lines = [
            try record(0, "dbz.shop.orders", key: #"{"id":7}"#, row + #"{"id":7,"version":1}}"#),
            // Its row lacks the key, or it is no message: the broker's key tells.
            try record(1, "dbz.shop.orders", key: #"{"id":7}"#, row + #"{"version":9}}"#),
            try record(2, "dbz.shop.orders", key: "7", noMessage),
            try record(3, "dbz.shop.orders", key: #"{"id":7}"#, noMessage),
            // Of other keys and tables.
            try record(4, "dbz.shop.orders", key: #"{"id":8}"#, row + #"{"version":9}}"#),
            try record(5, "dbz.shop.customers", key: #"{"id":7}"#, noMessage),
            // Without a key.
            try record(6, "dbz.shop.orders", key: nil, noMessage),
            try record(7, "dbz.shop.orders", key: nil, row + #"{"version":9}}"#),
        ]
        try await withWorkplace(yaml) { place, connection in
            _ = try await place.replay(try place.write("a.dump", lines: lines))
            try #require(await connection.value("select count(*) from tidemark.dead_letters") == "7")
            let outcome = try await place.succeed("forget", "orders", "7", "--json").json()
            #expect(outcome["dead_letters"] as? Int == 3, "\(outcome)")
            #expect(outcome["unreadable_dead_letters"] as? Int == 2, "\(outcome)")
            #expect(
                try await connection.rows(
                    "select convert_from(raw, 'UTF8')::jsonb ->> 'offset' from tidemark.dead_letters order by 1"
                ) == [["4"], ["5"], ["6"], ["7"]]
            )
        }
    }

    @Test
    func onlyAKeyThatIsThereCanBeForgottenAndNotWhileItIsWritten() async throws {
        try await withWorkplace(Self.configuration()) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: Self.lines))
            for (arguments, word) in [
                (["orders", "a'b", "77"], "no event"), (["orders", "1"], "2 parts"), (["orders", "a", "x"], "bigint"),
                (["others", "1"], "not configured"),
            ] {
                let result = try await place.run(["forget"] + arguments)
                #expect(result.status == 1 && result.error.contains(word), "\(result.error)")
            }
            let holder = try await place.database.connect("tidemark replay (pid 4711 on elsewhere)")
            try await PassStore.lock("orders", on: holder)
            let result = try await place.run("forget", "orders", "a'b", "1")
            #expect(result.status == 1 && result.error.contains("pid 4711"), "\(result.error)")
            #expect(try await connection.value("select status from orders where id = 1") == "shipped")
            await holder.close()
        }
    }
}
