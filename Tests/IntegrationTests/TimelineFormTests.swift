import Foundation
import LibPQ
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// What users see of a timeline whose rows hold numbers, half bytes and columns.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct TimelineFormTests {
    private static let yaml = """
        sources:
          - { name: logs, type: files, paths: ["*.ndjson"] }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint, note: text, city: text }

        """

    private static func line(_ id: Int, position: String, rest: String = #","note":"n","city":"c""#) -> String {
        #"{"database":"shop","table":"orders","type":"update","ts":1772323200,"xid":1,"commit":true,"position":"#
            + #"\#(JSONOutput.string(position)),"data":{"id":\#(id),"version":1\#(rest)}}"#
    }

    private static let positions = [
        "mysql-bin.000001:4", "mysql-bin.000001:44444444", "binlog.999999:0", "a.1:12", "a.1:123", "1:2", ",-./0:", "7",
        "no digits", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", "host/a.1:2", "a:b:1", "a,b1", "äöü.000001:4", "x",
        String(repeating: "p", count: 64) + ".1:5", String(repeating: "p", count: 65) + ".1:5", "line\nbreak.1:5",
        String(repeating: "1", count: 5000) + ":1", "0/1A2B3C4D", "a.1:2 ", "",
    ]

    /// Whatever a message says, packed or whole, in batches of any size: one that is copied, and those that are inserted.
    @Test(arguments: ["20000", "100"])
    func positionsAreShownAsTheMessagesHadThem(_ batchEvents: String) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            var positions = Self.positions
            // More beginnings than are numbered: a thousand, and some by lanes that count at the same time.
            positions += (0..<1_200).map { "begins\($0)so.000001:\($0)" }
            let lines = positions.enumerated().map { Self.line($0.offset, position: $0.element) }
            let log = try place.write("log.ndjson", lines: lines)
            try await place.succeed("replay", "--no-deliver", "--batch-events", batchEvents, log.path)
            let query = "select coalesce(position, ''), source from orders_timeline order by id"
            #expect(try await connection.rows(query) == positions.map { [$0, "logs"] })
            let numbered = try await connection.number("select count(*) from tidemark_internal.origins")
            #expect((1000...1100).contains(numbered), "\(numbered)")
            // SQL, with which `migrate` packs what earlier versions wrote, and Swift are of one mind.
            let others = try await connection.number(
                """
                select count(*)
                from orders_timeline as shown
                join tidemark_internal.orders_events as event using (id)
                join tidemark_internal.origins as origin on origin.id = event._origin
                where shown.position is not null and event._position is null
                    and (
                        origin.prefix is distinct from tidemark_internal.position_prefix(shown.position)
                        or event.position is distinct from tidemark_internal.pack_position(
                            substr(shown.position, length(origin.prefix) + 1)
                        )
                    )
                """
            )
            #expect(others == 0)
            try await place.succeed("replay", "--no-deliver", "--batch-events", "7", log.path)
            #expect(try await connection.rows(query) == positions.map { [$0, "logs"] })
        }
    }

    /// Views see to what they need: origins, and the events that complete a partial one.
    @Test func whoMayOnlyReadTheViewsReadsAllOfThem() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write(
                "log.ndjson",
                lines: [
                    Self.line(1, position: "b.1:1"),
                    Self.line(1, position: "b.1:2", rest: #","note":"m""#).replacing(
                        "\"version\":1",
                        with: "\"version\":2"
                    ),
                ]
            )
            try await place.succeed("replay", "--no-deliver", log.path)
            let role = "\"reader \(UInt32.random(in: .min ... .max))\""
            try await connection.execute(
                "create role \(role); grant select on orders_timeline, orders_history to \(role); set role \(role)"
            )
            #expect(
                try await connection.rows("select position, source, image::text from orders_timeline order by sequence")
                    == [
                        ["b.1:1", "logs", #"{"id": 1, "city": "c", "note": "n", "version": 1}"#],
                        ["b.1:2", "logs", #"{"id": 1, "note": "m", "version": 2}"#],
                    ]
            )
            #expect(
                try await connection.rows("select note, city from orders_history order by _sequence")
                    == [["n", "c"], ["m", "c"]]
            )
            try await connection.execute("reset role; drop owned by \(role); drop role \(role)")
        }
    }

    /// The column that tells the sequence gets another type, is configured no more, and is forgotten.
    @Test func sequencesStayWhenTheirColumnGoes() async throws {
        func yaml(_ columns: String) -> String {
            Self.yaml.replacing("version: bigint, note: text, city: text", with: columns)
        }
        try await withWorkplace(yaml("note: text, version: integer")) { place, connection in
            func read(_ version: Int) async throws {
                let line = Self.line(1, position: "b.1:\(version)").replacing("n\":1", with: "n\":\(version)")
                let log = try place.write("\(version).ndjson", lines: [line])
                try await place.succeed("replay", "--no-deliver", log.path)
            }
            func sequences() async throws -> [[String]] {
                try await connection.rows(
                    "select sequence, image ->> 'version' from orders_timeline order by order_key"
                )
            }
            try await read(1)
            #expect(try await connection.number("select count(sequence) from tidemark_internal.orders_events") == 0)
            for (step, columns) in [
                "note: text, version: bigint", "note: text, version: \"numeric(30,0)\"", "note: text",
            ].enumerated() {
                try place.write("tidemark.yaml", yaml(columns))
                try await place.succeed("migrate")
                let shown = try await sequences()
                #expect(shown.map { $0[0] } == (0...step).map { "\($0 + 1)" }, "\(columns)")
                try await read(step + 2)
            }
            try place.write("tidemark.yaml", yaml("note: text, version: \"numeric(30,0)\""))
            try await place.succeed("migrate")
            try await place.succeed("forget", "orders", "1")
            #expect(try await sequences().map { $0[0] } == ["1", "2", "3", "4"])
            try await place.succeed("verify", "orders")
        }
    }

    /// The function that completes partial events belongs to the timeline's owner, also after another role has migrated.
    @Test func whatCompletesEventsBelongsToTheOwnerOfTheTimeline() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            try await place.succeed("migrate")
            let role = "\"owner \(UInt32.random(in: .min ... .max))\""
            try await connection.execute(
                """
                create role \(role);
                grant create on schema tidemark_internal, public to \(role);
                alter table tidemark_internal.orders_events owner to \(role)
                """
            )
            for columns in ["more: text", "more: text, version: \"numeric(20,0)\""] {
                let yaml = Self.yaml.replacing("note: text", with: "note: text, more: text")
                try place.write(
                    "tidemark.yaml",
                    columns.contains("numeric")
                        ? yaml.replacing("version: bigint", with: "version: \"numeric(20,0)\"") : yaml
                )
                try await place.succeed("migrate")
                #expect(
                    try await connection.value(
                        "select quote_ident(pg_get_userbyid(proowner)) from pg_proc where proname = 'orders_gathered'"
                    ) == role
                )
            }
            try await place.succeed("drop", "orders", "--yes")
            #expect(try await connection.number("select count(*) from pg_proc where proname = 'orders_gathered'") == 0)
            try await connection.execute("drop owned by \(role); drop role \(role)")
        }
    }

    /// What two events differ in is in their order keys, when the column is configured no more.
    @Test func aConflictStaysWhenItsColumnGoes() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write(
                "log.ndjson",
                lines: ["n", "m"].map { Self.line(1, position: "b.1:1", rest: #","note":"\#($0)","city":"c""#) }
            )
            try await place.succeed("replay", "--no-deliver", log.path)
            let conflicts = "select count(*) from tidemark.anomalies where kind = 'conflict'"
            #expect(try await connection.number(conflicts) == 1)
            try place.write("tidemark.yaml", Self.yaml.replacing("note: text, ", with: ""))
            try await place.succeed("migrate")
            #expect(try await connection.number(conflicts) == 1)
        }
    }

    /// One batch of everything, which is copied, and many small ones, which are inserted, store the same.
    @Test func batchesOfAnySizeStoreTheSame() async throws {
        var generator = SeededGenerator.forTest("batch sizes")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let history = FinerHistoryGenerator.histories(150, generator)
        var digests: [[ReadModelDigest]] = []
        for batch in [20_000, 50] {
            try await withFolder { folder in
                try await FinerPropertyTests.run(
                    history,
                    0,
                    in: folder,
                    on: connection,
                    database,
                    &generator,
                    batchEvents: batch
                )
            }
            digests.append(try await FinerPropertyTests.digests(connection))
            try await FinerPropertyTests.clear(connection)
        }
        FinerPropertyTests.expect(digests[1], digests[0], "seed \(generator.seed)")
        await connection.close()
    }
}
