import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// Dead letters worked by hand: the cause is mended, and the rows are as if they had never been bad.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct DeadLetterTests {
    static func configuration(
        amount: String = "numeric(6,2)",
        sequence: String = "version",
        source: String = "format: auto",
        others: String = ""
    ) -> String {
        """
        sources:
          - { name: logs, type: files, paths: ["*.ndjson"], \(source) }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: \(sequence)
            state: status
            columns:
              id: bigint
              status: text
              version: integer
              amount: { type: "\(amount)", from: total }
            lifecycle:
              initial: created
              transitions: { created: [paid], paid: [shipped], shipped: [delivered] }
            milestones:
              shipped: { state: shipped, notify: [warehouse] }
        \(others)
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/", secret: "whsec_dGlkZW1hcmsgdGVzdA==" }

        """
    }

    static func order(_ id: Int, _ version: Int, _ status: String, total: String = "1.5") -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"status":"\#(status)","version":\#(version),"#
            + #""total":\#(total)},"ts":"2026-03-01T09:30:15Z"}"#
    }

    /// What the read model and the outbox are in a database where nothing of the log was bad.
    private func expected(_ log: URL, _ yaml: String, in place: Workplace) async throws -> ReadModelDigest {
        try place.write("mended.yaml", yaml)
        return try await TestDatabase.with {
            let connection = try await TestDatabase.current.connect()
            let result = try await TidemarkProcess.run(
                ["replay", "--config", "mended.yaml", "--json", "--no-deliver", log.path],
                environment: ["DATABASE_URL": TestDatabase.current.url],
                directory: place.folder
            )
            try #require(result.status == 0, "\(result.error)")
            #expect(try result.json()["dead_letters"] as? Int == 0)
            let digest = try await ReadModelDigest(table: "orders", key: "id", on: connection)
            await connection.close()
            return digest
        }
    }

    private func letters(_ connection: Connection) async throws -> [[String]] {
        try await connection.rows(
            "select coalesce(projection, '-'), reason, \"row\", count from tidemark.dead_letters order by id"
        )
    }

    // MARK: Retry

    @Test
    func aRetryAfterTheTypeWasMendedEndsAsIfTheRowsHadNeverBeenBad() async throws {
        let bad = Self.order(2, 2, "shipped", total: "77777.5")
        let lines = [
            Self.order(1, 1, "created"), Self.order(1, 3, "shipped", total: "123456.75"),
            Self.order(1, 4, "paid"), bad, Self.order(2, 1, "created"), bad,
        ]
        try await withWorkplace(Self.configuration()) { place, connection in
            let log = try place.write("a.ndjson", lines: lines)
            let summary = try await place.replay(log)
            #expect(summary["dead_letters"] as? Int == 3)
            #expect(
                try await self.letters(connection) == [
                    ["orders", "value_invalid", "0", "1"], ["orders", "value_invalid", "0", "2"],
                ]
            )
            // Nothing is mended: they stay where they are, and count one more.
            let vain = try await place.run("deadletters", "retry", "--all", "--json")
            #expect(vain.status == 65, "\(vain.error)")
            #expect(try vain.json()["resolved"] as? Int == 0)
            #expect(try await self.letters(connection).map { $0[3] } == ["2", "3"])

            let mended = Self.configuration(amount: "numeric(12,2)")
            try place.write("tidemark.yaml", mended)
            let retried = try await place.run("deadletters", "retry", "--reason", "value_invalid", "--json")
            #expect(retried.status == 0, "\(retried.error)")
            let outcome = try retried.json()
            #expect(outcome["resolved"] as? Int == 2)
            #expect(outcome["applied"] as? Int == 1 && outcome["late"] as? Int == 1)
            #expect(outcome["milestones"] as? [String: Int] == ["shipped": 2])
            #expect(try await self.letters(connection).isEmpty)
            let found = try await ReadModelDigest(table: "orders", key: "id", on: connection)
            #expect(try await found == self.expected(log, mended, in: place))
            // What they reached is in the outbox, as always.
            #expect(try await connection.value("select count(*) from tidemark.deliveries where status = 'due'") == "2")
            // The log again: nothing in it is news, and nothing in it is bad.
            let again = try await place.replay(log)
            #expect(again["duplicate"] as? Int == 6 && again["dead_letters"] as? Int == 0, "\(again)")
        }
    }

    @Test
    func aRetryRunsItsOwnRowForItsOwnProjectionOnly() async throws {
        let others = """
              - { name: totals, from: [shop.orders], key: id, sequence: version, columns: { id: bigint, total: text } }
            """
        let message =
            #"{"id":1,"database":"shop","table":"orders","isDdl":false,"type":"INSERT","es":1000,"ts":1000,"old":null,"data":["#
            + ["1", "77777.5", "2", "88888.5", "3", "x"].chunked(by: 2).map { pair in
                #"{"id":"\#(pair[0])","status":"paid","version":"1","total":"\#(pair[1])"}"#
            }.joined(separator: ",") + "]}"
        try await withWorkplace(Self.configuration(others: others)) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: [message]))
            #expect(
                try await self.letters(connection) == [
                    ["orders", "value_invalid", "0", "1"], ["orders", "value_invalid", "1", "1"],
                    ["orders", "value_invalid", "2", "1"],
                ]
            )
            try place.write("tidemark.yaml", Self.configuration(amount: "numeric(12,2)", others: others))
            let ids = try await connection.rows("select id from tidemark.dead_letters order by id").map { $0[0] }
            let one = try await place.run("deadletters", "retry", ids[1], "--json")
            #expect(one.status == 0, "\(one.error)")
            #expect(try one.json()["applied"] as? Int == 1)
            #expect(try await connection.rows("select id, amount from orders") == [["2", "88888.50"]])
            #expect(
                try await self.letters(connection) == [
                    ["orders", "value_invalid", "0", "1"], ["orders", "value_invalid", "2", "1"],
                ]
            )
            let rest = try await place.run("deadletters", "retry", "--projection", "orders", "--json")
            #expect(rest.status == 65, "\(rest.error)")
            #expect(try rest.json()["resolved"] as? Int == 1)
            #expect(try await connection.rows("select id from orders order by id") == [["1"], ["2"]])
            #expect(try await self.letters(connection) == [["orders", "value_invalid", "2", "2"]])
            // Not there any more.
            let gone = try await place.run("deadletters", "retry", ids[1])
            #expect(gone.status == 1, "\(gone.error)")
        }
    }

    @Test
    func aMessageThatBelongedToNoOneIsRetriedForAllProjections() async throws {
        let others = "  - { name: copies, from: [shop.orders], key: id, sequence: version, columns: { id: bigint } }"
        let lines = [
            Self.order(1, 1, "paid"), Self.order(2, 1, "paid", total: "77777.5"), "{", #"{"table":"shop.orders"}"#,
        ]
        try await withWorkplace(Self.configuration(source: "format: canal", others: others)) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: lines))
            #expect(try await self.letters(connection).map { $0[0] } == ["-", "-", "-", "-"])
            try place.write("tidemark.yaml", Self.configuration(others: others))
            let result = try await place.run("deadletters", "retry", "--all", "--json")
            #expect(result.status == 65, "\(result.error)")
            let outcome = try result.json()
            #expect(outcome["resolved"] as? Int == 2 && outcome["applied"] as? Int == 3, "\(outcome)")
            #expect((outcome["refused"] as? [Any])?.count == 2)
            #expect(try await connection.rows("select id from copies order by id") == [["1"], ["2"]])
            #expect(try await connection.rows("select id from orders") == [["1"]])
            // What one projection refuses is a dead letter of its own now, and read where the message was.
            #expect(
                try await self.letters(connection) == [
                    ["-", "malformed_json", "0", "2"], ["-", "unknown_format", "0", "2"],
                    ["orders", "value_invalid", "0", "1"],
                ]
            )
            #expect(
                try await connection.value("select position from tidemark.dead_letters where projection = 'orders'")
                    .hasSuffix("a.ndjson:2")
            )
        }
    }

    @Test
    func aRetryStandsAtThePlaceOfItsFirstReading() async throws {
        let lines = [
            Self.order(1, 1, "created"), Self.order(1, 2, "paid", total: "77777.5"), Self.order(1, 3, "shipped"),
        ]
        try await withWorkplace(Self.configuration(sequence: "$received")) { place, connection in
            let log = try place.write("a.ndjson", lines: lines)
            _ = try await place.replay(log)
            let mended = Self.configuration(amount: "numeric(12,2)", sequence: "$received")
            try place.write("tidemark.yaml", mended)
            try await place.succeed("deadletters", "retry", "--all")
            #expect(try await connection.value("select status from orders") == "shipped")
            #expect(
                try await connection.rows("select state, late from orders_timeline order by order_key").map { $0[0] }
                    == ["created", "paid", "shipped"]
            )
            // The same place and content: the same event.
            let again = try await place.replay(log)
            #expect(again["duplicate"] as? Int == 3, "\(again)")
        }
    }

    @Test
    func aMessageThatWasCutCannotBeRetriedAndSaysSo() async throws {
        let large = Self.order(1, 1, "paid", total: #""\#(String(repeating: "9", count: 1_100_000))""#)
        try await withWorkplace(Self.configuration() + "limits: { message_bytes: 64KiB }\n") { place, connection in
            let fits = Self.order(2, 1, "paid").replacing(
                #""total""#,
                with: #""note":"\#(String(repeating: "n", count: 70_000))","total""#
            )
            _ = try await place.replay(try place.write("a.ndjson", lines: [large, fits]))
            #expect(try await self.letters(connection).map { $0[1] } == ["too_large", "too_large"])
            // A larger limit is what one of them asked for.
            try place.write("tidemark.yaml", Self.configuration())
            let result = try await place.run("deadletters", "retry", "--reason", "too_large")
            #expect(result.status == 65, "\(result.error)")
            let said = result.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            #expect(
                said.contains("only the beginning of its message is kept; read its file again (tidemark replay FILE…)")
                    && said.contains("1 not tried"),
                "\(result.output)"
            )
            #expect(try await connection.rows("select id from orders") == [["2"]])
            #expect(try await self.letters(connection) == [["-", "too_large", "0", "1"]])
            let shown = try await place.succeed("deadletters", "show", "1")
            #expect(shown.output.contains("cannot be retried"))
            expectReadable(shown.output)
        }
    }

    @Test
    func aRetryLeavesAProjectionAloneThatAnotherProcessWrites() async throws {
        let lines = [Self.order(1, 1, "paid", total: "77777.5")]
        try await withWorkplace(Self.configuration()) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: lines))
            let holder = try await place.database.connect("tidemark replay (pid 4711 on elsewhere)")
            try await PassStore.lock("orders", on: holder)
            let result = try await place.run("deadletters", "retry", "--all")
            #expect(result.status == 1 && result.error.contains("pid 4711"), "\(result.error)")
            #expect(try await self.letters(connection) == [["orders", "value_invalid", "0", "1"]])
            await holder.close()
        }
    }

    /// The amounts of most orders do not fit at first. The type is mended in the middle, and the letters are retried in
    /// any order and number, some before the type is mended and some while newer events are there.
    @Test
    func inWhateverOrderLettersAreRetriedTheRowsAreThoseOfAGoodLog() async throws {
        var generator = SeededGenerator.forTest("retries")
        let seed = generator.next()
        try await withWorkplace(Shop.projection) { place, connection in
            let whole = place.folder.appendingPathComponent("whole.ndjson")
            _ = try GeneratedLog(orders: 80, seed: seed).write(to: whole.path)
            var lines: [String] = []
            let source = try LineSource(whole)
            while let line = try source.next() { lines.append(String(decoding: line, as: UTF8.self)) }
            lines.shuffle(using: &generator)
            let cut = lines.count / 2
            let first = try place.write("first.ndjson", lines: Array(lines[..<cut]))
            let second = try place.write("second.ndjson", lines: Array(lines[cut...]))
            let narrow = Shop.projection.replacing("numeric(12,2)", with: "numeric(4,2)")
            try place.write("tidemark.yaml", narrow)
            #expect(try await (place.replay(first)["dead_letters"] as? Int ?? 0) > 100)
            #expect(try await place.run("deadletters", "retry", "--all").status == 65)
            try place.write("tidemark.yaml", Shop.projection)
            var ids = try await connection.rows("select id from tidemark.dead_letters").map { $0[0] }
            ids.shuffle(using: &generator)
            let early = Array(ids.prefix(ids.count / 3))
            #expect(try await place.run(["deadletters", "retry"] + early).status == 0)
            _ = try await place.replay(second)
            try await place.succeed("deadletters", "retry", "--all")
            #expect(try await self.letters(connection).isEmpty)
            let found = try await ReadModelDigest(table: "orders", key: "id", on: connection)
            #expect(try await found == self.expected(whole, Shop.projection, in: place))
        }
    }

    @Test
    func aLetterGoesAwayInTheTransactionThatWritesItsRowOrNotAtAll() async throws {
        let lines = [Self.order(1, 1, "shipped", total: "77777.5"), Self.order(2, 1, "paid", total: "88888.5")]
        try await withWorkplace(Self.configuration()) { place, connection in
            _ = try await place.replay(try place.write("a.ndjson", lines: lines))
            try place.write("tidemark.yaml", Self.configuration(amount: "numeric(12,2)"))
            try await connection.execute(
                """
                create function public.refuse() returns trigger language plpgsql as
                $$ begin raise exception 'the letter stays'; end $$;
                create trigger refuse before delete on tidemark_internal.dead_letters
                for each row when (old.id = 2) execute function public.refuse()
                """
            )
            let refused = try await place.run("deadletters", "retry", "--all")
            #expect(refused.status == 1 && refused.error.contains("the letter stays"), "\(refused.error)")
            #expect(try await self.letters(connection).count == 2)
            for relation in ["orders", "orders_timeline", "orders_milestones", "tidemark.deliveries"] {
                #expect(try await connection.number("select count(*) from \(relation)") == 0, "\(relation)")
            }
            try await connection.execute("drop trigger refuse on tidemark_internal.dead_letters")
            try await place.succeed("deadletters", "retry", "--all")
            #expect(try await self.letters(connection).isEmpty)
            #expect(try await connection.number("select count(*) from orders") == 2)
        }
    }

    @Test(arguments: [false, true])
    func aRowThatTheDatabaseRefusesKeepsItsMessageWhereItCanBeReadAgain(_ isPiped: Bool) async throws {
        let lines = [Self.order(1, 1, "paid"), Self.order(2, 1, "paid"), Self.order(2, 2, "shipped")]
        try await withWorkplace(Self.configuration()) { place, connection in
            _ = try await place.replay(try place.write("empty.ndjson", lines: [Self.order(9, 1, "paid")]))
            try await connection.execute(
                """
                create function public.refuse() returns trigger language plpgsql as
                $$ begin raise exception 'no such row' using errcode = '22003'; end $$;
                create trigger refuse before insert or update on tidemark_internal.orders_entities
                for each row when (new.id = 2) execute function public.refuse()
                """
            )
            let log = try place.write("a.ndjson", lines: lines)
            let result = try await place.run(
                ["replay", "--json", "--no-deliver", isPiped ? "-" : log.path],
                input: Data(lines.map { $0 + "\n" }.joined().utf8)
            )
            #expect(try result.json()["dead_letters"] as? Int == 2, "\(result.error)")
            #expect(try await connection.rows("select id from orders order by id") == [["1"], ["9"]])
            let raw = try await connection.rows(
                "select convert_from(raw, 'UTF8') from tidemark.dead_letters order by position"
            )
            #expect((raw.map { $0[0] } == Array(lines[1...])) != isPiped, "\(raw)")
            let vain = try await place.run("deadletters", "retry", "--all")
            #expect(vain.status == 65 && vain.output.contains(isPiped ? "only the image" : "refused"), "\(vain.output)")
            try await connection.execute("drop trigger refuse on tidemark_internal.orders_entities")
            let retried = try await place.run("deadletters", "retry", "--all")
            #expect(retried.status == (isPiped ? 65 : 0), "\(retried.error)")
            #expect(try await connection.number("select count(*) from orders where id = 2") == (isPiped ? 0 : 1))
        }
    }
}

extension Array {
    fileprivate func chunked(by count: Int) -> [[Element]] {
        stride(from: 0, to: self.count, by: count).map { Array(self[$0..<Swift.min($0 + count, self.count)]) }
    }
}
