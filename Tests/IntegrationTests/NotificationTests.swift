import Foundation
import LibPQ
import NIOHTTP1
import Synchronization
import Testing
import TidemarkReceiver
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// From events to what notifiers are told: filters, bodies, muting, holding, and what operators do about it.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct NotificationTests {
    private static func configuration(
        columns: String =
            "columns: { id: bigint, status: text, version: bigint, country: text, amount: \"numeric(12,2)\" }",
        milestone: String = "notify: [all, germany, small]",
        notifiers: String
    ) -> String {
        """
        projections:
          - name: orders
            from: shop.orders
            key: id
            sequence: version
            state: status
            \(columns)
            lifecycle: { initial: created, transitions: { created: [paid, cancelled], paid: [shipped] } }
            milestones: { paid: { \(milestone) } }
        notifiers:
        \(notifiers.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))

        """
    }

    private static func webhook(_ url: String = "https://wms.example/", _ more: String = "") -> String {
        "{ type: webhook, url: \"\(url)\", secret: whsec_c2VjcmV0, allow_private: true\(more) }"
    }

    private static func order(
        _ id: Int,
        _ version: Int,
        _ status: String,
        country: String? = "DE",
        amount: String = "12.50",
        ts: String = "2026-03-01T09:30:15Z"
    ) -> String {
        let country = country.map { "\"\($0)\"" } ?? "null"
        return
            #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"status":"\#(status)","version":\#(version),"#
            + #""country":\#(country),"amount":\#(amount)},"ts":"\#(ts)"}"#
    }

    private func run(_ yaml: String, _ lines: [String], muted: Bool = false) async throws -> Connection {
        let connection = try await TestDatabase.current.connect()
        _ = try await Migrator.migrate(connection)
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            try Data(lines.joined(separator: "\n").utf8).write(to: log)
            _ = try await replay(yaml, [log], on: connection, TestDatabase.current) { $0.isMuted = muted }
        }
        return connection
    }

    // MARK: Names

    /// Columns may have the names that our own statements use.
    @Test func columnsMayBeNamedAsTheyLike() async throws {
        let key = ["batch", "stored", "is_fresh"]
        let others = [
            "visible", "shown", "target", "entity", "content", "fresh", "reached", "event", "is_known", "milestone_",
        ]
        let columns = (key + others).map { "\($0): text" } + ["status: text", "version: bigint"]
        let yaml = """
            projections:
              - name: orders
                from: shop.orders
                key: [\(key.joined(separator: ", "))]
                sequence: version
                state: status
                columns: { \(columns.joined(separator: ", ")) }
                lifecycle: { initial: paid, transitions: { paid: [shipped, cancelled] } }
                milestones: { shipped: { notify: all, unless: [cancelled] } }
            notifiers:
              all: \(Self.webhook())

            """
        let values = (key + others).map { "\"\($0)\":\"\($0)-1\"" }.joined(separator: ",")
        // In both orders, so that rows and milestones are inserted, advanced and looked at again.
        let lines = [(2, "shipped"), (1, "shipped"), (3, "shipped")].map { version, status in
            #"{"table":"shop.orders","op":"update","after":{\#(values),"status":"\#(status)","version":\#(version)}}"#
        }
        for batch in [lines, lines.reversed()] {
            let connection = try await self.run(yaml, batch)
            let found = try await connection.query(
                "select body::jsonb -> 'data' -> 'row' ->> 'visible', count(*) over () from tidemark_internal.deliveries"
            )
            #expect(try found.text(0, 0) == "visible-1" && found.int64(0, 1) == 1)
        }
    }

    // MARK: Filters and bodies

    @Test(arguments: [true, false])
    func aNotifierIsToldOfTheRowsItAskedFor(_ hasColumns: Bool) async throws {
        let notifiers = """
            all: \(Self.webhook())
            germany: \(Self.webhook("https://de.example/", ", when: { country: [DE, null] }"))
            small: \(Self.webhook("https://s.example/", ", when: { country: [DE, AT], amount: 7.5 }, body: thin"))
            """
        let columns = "columns: { id: bigint, status: text, version: bigint, country: text, amount: \"numeric(12,2)\" }"
        let connection = try await self.run(
            Self.configuration(columns: hasColumns ? columns : "timeline: true", notifiers: notifiers),
            [
                Self.order(1, 1, "paid"), Self.order(2, 1, "paid", country: "AT", amount: "7.50"),
                Self.order(3, 1, "paid", country: "FR"), Self.order(4, 1, "paid", country: nil),
                // What counts is the row, not the event that reached the milestone.
                Self.order(5, 2, "paid", country: "FR"), Self.order(5, 1, "created", country: "DE"),
            ]
        )
        func keys(_ notifier: String) async throws -> [String] {
            try await connection.rows(
                "select key ->> 0 from tidemark.deliveries where notifier = '\(notifier)' order by 1"
            ).map { $0[0] }
        }
        #expect(try await keys("all") == ["1", "2", "3", "4", "5"])
        #expect(try await keys("germany") == ["1", "4"])
        #expect(try await keys("small") == ["2"])
        let thin = try await connection.value(
            "select body::jsonb -> 'data' from tidemark_internal.deliveries where notifier = 'small'"
        )
        let key = try await connection.value("select key from tidemark.deliveries where notifier = 'small'")
        #expect(thin == "{\"key\": \(key), \"milestone\": \"paid\", \"projection\": \"orders\"}")
        let full = try await connection.value(
            "select string_agg(name, ' ' order by name) from tidemark_internal.deliveries, "
                + "jsonb_object_keys(body::jsonb -> 'data') as name where notifier = 'germany' and key ->> 0 = '1'"
        )
        #expect(full == "key milestone projection row sequence state")
        await connection.close()
    }

    // MARK: Muting and holding

    @Test func muteReachesWithoutDelivering() async throws {
        let yaml = Self.configuration(milestone: "notify: all", notifiers: "all: \(Self.webhook())")
        let connection = try await self.run(yaml, [Self.order(1, 1, "paid")], muted: true)
        #expect(try await connection.value("select muted from orders_milestones") == "t")
        #expect(
            try await connection.rows("select status, next_attempt_at from tidemark.deliveries") == [["muted", "∅"]]
        )
        await connection.close()
    }

    @Test func muteBeforeComparesTheLeastTimeOfTheEventsThatReachIt() async throws {
        let yaml = Self.configuration(
            milestone: "notify: all, mute_before: 2026-03-02T00:00:00Z",
            notifiers: "all: \(Self.webhook())"
        )
        let connection = try await self.run(
            yaml,
            [
                Self.order(1, 1, "paid", ts: "2026-03-01T23:59:59Z"),
                Self.order(2, 1, "paid", ts: "2026-03-02T00:00:00Z"),
                Self.order(3, 2, "shipped", ts: "2026-03-03T00:00:00Z"),
                Self.order(3, 1, "paid", ts: "2026-03-01T00:00:00Z"),
            ]
        )
        let rows = try await connection.rows("select key ->> 0, status from tidemark.deliveries order by 1")
        #expect(rows == [["1", "muted"], ["2", "due"], ["3", "muted"]])
        await connection.close()
    }

    @Test func unlessHoldsWhileTheStateLastsAndReleasesAfterwards() async throws {
        let yaml = Self.configuration(
            milestone: "notify: all, unless: cancelled",
            notifiers: "all: \(Self.webhook())"
        )
        var connection = try await self.run(yaml, [Self.order(1, 1, "paid"), Self.order(1, 2, "cancelled")])
        let status = "select status from tidemark.deliveries"
        #expect(try await connection.value(status) == "held")
        await connection.close()
        connection = try await self.run(yaml, [Self.order(1, 3, "paid")])
        #expect(try await connection.value(status) == "due")
        #expect(try await connection.number("select count(*) from tidemark.deliveries") == 1)
        await connection.close()
    }

    // MARK: By hand

    @Test func anEndpointThatIsGoneIsDisabledForEverybodyUntilSomebodyEnablesIt() async throws {
        let isThere = Flag()
        try await WebhookReceiver.with { _, _ in
            isThere.isSet ? .reply(.noContent) : .reply(.gone, body: "moved away")
        } _: { receiver in
            let yaml = Self.configuration(milestone: "notify: all", notifiers: "all: \(Self.webhook(receiver.url))")
            let connection = try await self.run(yaml, [Self.order(1, 1, "paid"), Self.order(2, 1, "paid")])
            try await withFolder { folder in
                let file = folder.appendingPathComponent("tidemark.yaml")
                try Data(yaml.utf8).write(to: file)
                func tidemark(_ arguments: String...) async throws -> TidemarkProcess.Result {
                    try await TidemarkProcess.run(
                        arguments,
                        environment: ["DATABASE_URL": TestDatabase.current.url],
                        directory: folder
                    )
                }
                func deliver(until condition: String) async throws {
                    let process = try TidemarkProcess(
                        ["deliver", "--config", file.path],
                        environment: ["DATABASE_URL": TestDatabase.current.url]
                    )
                    while try await connection.value("select \(condition)") != "t" {
                        try #require(!process.isOver)
                        try await Task.sleep(for: .milliseconds(20))
                    }
                    process.send(SIGTERM)
                    let result = try await process.result()
                    #expect(result.status == 143)
                    // Its log is no terminal, so each line of it is an object.
                    for line in result.error.split(separator: "\n") {
                        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String]
                        #expect(object?["time"] != nil && object?["message"] != nil, "\(line)")
                    }
                    #expect(result.error.contains(#""level":"info","message":"delivering","notifiers":"all"}"#))
                }
                try await deliver(until: "exists (select from tidemark.disabled_notifiers)")
                let status = try await tidemark("status")
                #expect(status.output.contains("disabled notifiers") && status.output.contains("status 410"))
                let sent = await receiver.requests.count
                // Not by another process either.
                let list = try await tidemark("notifiers", "list")
                #expect(list.output.hasPrefix("all: disabled since "))
                isThere.set()
                #expect(try await tidemark("notifiers", "enable", "all").output == "all is enabled\n")
                try await deliver(until: "count(*) filter (where status = 'delivered') = 2 from tidemark.deliveries")
                #expect(await receiver.requests.count == sent + 2)
                let id = try await connection.value(
                    "select id from tidemark.deliveries order by attempts desc limit 1"
                )
                for command in ["retry", "cancel", "show"] {
                    let unknown = try await tidemark("deliveries", command, "7d444840-9dc0-51d1-b245-5ffdce74fad2")
                    #expect(
                        unknown.status == 1 && unknown.error.contains("there is no delivery 7d444840"),
                        "\(unknown)"
                    )
                }
                let shown = try await tidemark("deliveries", "show", id)
                #expect(shown.output.contains("ms: gone, 127.0.0.1:\(receiver.port): status 410"))
                #expect(shown.output.contains("moved away") && shown.output.contains("#2 "))
                let json = try await tidemark("deliveries", "show", id, "--json")
                #expect(json.output.contains("\"outcome\":\"gone\",\"status\":410"))
            }
            await connection.close()
        }
    }

    @Test func deliveriesAreRetriedAndCancelledByHand() async throws {
        let yaml = Self.configuration(milestone: "notify: all", notifiers: "all: \(Self.webhook())")
        let connection = try await self.run(yaml, [Self.order(1, 1, "paid"), Self.order(2, 1, "paid")], muted: true)
        let database = ["DATABASE_URL": TestDatabase.current.url]
        func tidemark(_ arguments: String...) async throws -> TidemarkProcess.Result {
            try await TidemarkProcess.run(["deliveries"] + arguments, environment: database)
        }
        #expect(try await tidemark("retry").status == 64)
        #expect(try await tidemark("retry", "7").status == 64)
        #expect(try await tidemark("retry", "--status", "muted", "--key", "2").output == "1 delivery is due\n")
        let statuses = "select string_agg(status, ' ' order by key) from tidemark.deliveries"
        #expect(try await connection.value(statuses) == "muted due")
        #expect(try await tidemark("cancel", "--projection", "orders").output == "1 delivery cancelled\n")
        #expect(try await connection.value(statuses) == "muted dead")
        #expect(try await tidemark("list", "--status", "dead").output.contains("dead (cancelled), 0 attempts"))
        let id = try await connection.value("select id from tidemark.deliveries where status = 'dead'")
        #expect(try await tidemark("cancel", id).status == 1)
        #expect(try await tidemark("prune", "--older-than-days", "0").output == "removed 0\n")
        #expect(try await tidemark("show", UUIDText.random()).status == 1)
        await connection.close()
    }
}

private final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { self.value.withLock { $0 } }
    func set() { self.value.withLock { $0 = true } }
}
