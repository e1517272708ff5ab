import Testing
import TidemarkCore

/// Why an event is a dead letter: the reason that machines read, and the sentence that people read.
@Suite struct ChangeEncoderRejectionTests {
    private typealias Case = (event: TestEvent, reason: Rejection.Reason, detail: String)

    private static func row(
        id: TestCell = 1,
        version: TestCell = 1,
        status: TestCell = "paid",
        total: TestCell = "1"
    ) -> TestRow {
        ["id": id, "version": version, "status": status, "total": total]
    }

    private static let noKey = "key column \"id\" is missing, null or unavailable"
    private static let wholeRow = "a full row image, or $position"
    private static let replicaIdentity =
        "REPLICA IDENTITY FULL (say replica_identity: full), a full row image, or $position"

    private static let cases: [Case] = [
        (TestEvent(.insert), .keyMissing, "the insert has no row image to take the key from"),
        (TestEvent(.update, before: row()), .keyMissing, "the update has no row image to take the key from"),
        (TestEvent(.delete), .keyMissing, "the delete has no row image to take the key from"),
        (TestEvent(.insert, after: ["version": 1]), .keyMissing, noKey),
        (TestEvent(.insert, after: row(id: .null)), .keyMissing, noKey),
        (TestEvent(.delete, before: row(id: .unavailable)), .keyMissing, noKey),
        (
            TestEvent(.insert, after: row(id: .json("[1]"))), .keyMissing,
            "key column \"id\" holds an object or a list; a key is a text, a number or a time"
        ),
        (
            TestEvent(.insert, after: row(id: "abc")), .valueInvalid,
            "column \"id\" (bigint) holds \"abc\"; expected a whole number"
        ),
        (
            TestEvent(.insert, after: row(id: .number("9223372036854775808"))), .valueInvalid,
            "column \"id\" (bigint) holds 9223372036854775808; expected a whole number from -9223372036854775808 to "
                + "9223372036854775807"
        ),
        (
            TestEvent(.insert, after: ["id": 1]), .sequenceMissing,
            "sequence part \"version\": the insert does not carry the column; the way out is \(wholeRow)"
        ),
        (
            TestEvent(.delete, before: ["id": 1]), .sequenceMissing,
            "sequence part \"version\": the delete does not carry the column; the way out is \(replicaIdentity)"
        ),
        (
            TestEvent(.update, after: row(version: .null)), .sequenceMissing,
            "sequence part \"version\": the column is null; the way out is \(wholeRow)"
        ),
        (
            TestEvent(.update, after: row(version: .unavailable)), .sequenceMissing,
            "sequence part \"version\": the column is unavailable; the way out is \(wholeRow)"
        ),
        (
            TestEvent(.update, after: row(version: "v2")), .sequenceMissing,
            "sequence part \"version\": column \"version\" (bigint) holds \"v2\"; expected a number; the way out "
                + "is a value of the declared type, another type, or $position"
        ),
        (
            TestEvent(.update, after: row(total: "1.234")), .valueInvalid,
            "column \"total\" (numeric(12,2)) holds \"1.234\"; expected at most 10 digits before the decimal point and "
                + "2 after it"
        ),
        (
            TestEvent(.update, after: row(total: TestCell("1e131071", .number))), .valueInvalid,
            "column \"total\" (numeric(12,2)) holds 1e131071; expected a number of at most 131072 digits before the "
                + "decimal point and 16383 after it, whose exponent adds at most 512 zeros and 128 for each byte of its text"
        ),
        (
            TestEvent(.update, after: row(total: TestCell("\u{1}\u{2}", .bytes))), .valueInvalid,
            "column \"total\" (numeric(12,2)) holds the bytes \"\u{1}\u{2}\"; expected a number; these are bytes, and "
                + "nothing in Avro's JSON form tells how many digits of a decimal in bytes are behind the point: "
                + "`encoding: decimal_base64` takes the scale of the column's numeric(p,s)"
        ),
        (
            TestEvent(.update, after: row(status: "a\0b")), .valueInvalid,
            "column \"status\" (text) holds \"a\0b\"; expected a text without the character U+0000"
        ),
        (
            TestEvent(.update, after: row(total: TestCell(String(repeating: "x", count: 201), .string))), .valueInvalid,
            "column \"total\" (numeric(12,2)) holds \"\(String(repeating: "x", count: 200))…\"; expected a number"
        ),
    ]

    @Test(arguments: cases.indices)
    func `an event that cannot be applied says why, and leaves nothing behind`(_ index: Int) {
        let (event, reason, detail) = Self.cases[index]
        let bench = EncoderBench(.orders())
        let (outcome, encoded) = bench.encode(event)
        #expect(outcome == .rejected(Rejection(reason, detail)))
        #expect(encoded.isEmpty && bench.segments[0].bytes.isEmpty)
        // The encoder's buffers are used again: what it left in them must not reach the next event.
        let next = bench.encode(TestEvent(.insert, after: Self.row(id: 3))).encoded.first
        #expect(next?.key == "3" && next?.sequence == "1")
    }

    @Test func `a key is indexed up to 1024 bytes, a sequence up to 1024`() throws {
        var definition = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("note", type: .text)]
        )
        definition.columns = [.init(name: "id", type: .text)]
        let bench = EncoderBench(definition)
        func event(id: Int, note: Int) -> TestEvent {
            func text(_ count: Int) -> TestCell { TestCell(String(repeating: "x", count: count), .string) }
            return TestEvent(.insert, after: ["id": text(id), "note": text(note)])
        }
        #expect(bench.encode(event(id: 1024, note: 1023)).outcome == .encoded)
        #expect(
            bench.rejection(event(id: 1025, note: 1))
                == Rejection(.valueInvalid, "the key is 1025 bytes long; at most 1024 are indexed")
        )
        let rejection = try #require(bench.rejection(event(id: 1, note: 1024)))
        #expect(rejection.reason == .sequenceMissing)
        #expect(
            rejection.detail
                == "sequence part note: its value is 1025 bytes long; at most 1024 are indexed; the way out is a number, a "
                + "timestamp or $position"
        )
    }

    @Test func `a version that is counted is a whole number of up to 37 digits`() {
        var definition = ProjectionDefinition.orders(sequence: [.column("n", type: .numeric(precision: nil, scale: 0))])
        definition.contiguous = .fromFirst
        let bench = EncoderBench(definition)
        func event(_ version: String) -> TestEvent { TestEvent(.insert, after: ["id": 1, "n": .number(version)]) }
        let digits = String(repeating: "9", count: 37)
        #expect(bench.encode(event(digits)).outcome == .encoded)
        #expect(bench.encode(event("1.0")).outcome == .encoded)
        for text in [digits + "9", "1.5"] {
            #expect(
                bench.rejection(event(text))?.detail
                    == "sequence part \"n\": \(text) is no whole number of up to 37 digits, as `contiguous` counts them; "
                    + "the way out is another column, or a projection that is not contiguous"
            )
        }
    }

    // MARK: Positions and times of messages

    @Test func `without a position the message's format says what would give it one`() {
        let bench = EncoderBench(.orders(sequence: [.position]))
        for gap in PositionGap.allCases {
            let event = TestEvent(.update, after: Self.row()).with { $0.change.positionGap = gap }
            #expect(
                bench.rejection(event)
                    == Rejection(
                        .sequenceMissing,
                        "sequence part $position: a message of source \"test\" \(gap.why); the way out is \(gap.wayOut)"
                    )
            )
        }
        #expect(bench.encode(TestEvent(.snapshot, after: Self.row())).outcome == .encoded, "it needs none")
    }

    @Test func `positions of two kinds have no order`() {
        let bench = EncoderBench(.orders(sequence: [.position]), positionKind: .binlog)
        let lsn = TestEvent(.update, after: Self.row(), position: Position(kind: .lsn, 7, count: 1))
        #expect(
            bench.rejection(lsn)
                == Rejection(
                    .sequenceMissing,
                    "sequence part $position: a message of source \"test\" carries a lsn position, the projection is "
                        + "ordered by binlog; the way out is one projection for each kind of source, or the other `type` "
                        + "with $position"
                )
        )
        let binlog = Position(kind: .binlog, 1, 4, 0, count: 3)
        #expect(bench.encode(TestEvent(.update, after: Self.row(), position: binlog)).outcome == .encoded)
    }

    @Test func `a message without a clock has no event time to be ordered by`() {
        let bench = EncoderBench(.orders(sequence: [.eventTime]))
        let event = TestEvent(.update, after: Self.row())
        let expected =
            "sequence part $event_time: the message carries no timestamp; the way out is a column, or $position"
        #expect(bench.rejection(event)?.detail == expected)
        #expect(bench.rejection(event.with { $0.change.eventTime = .max })?.detail == expected)
        #expect(bench.encode(event.with { $0.change.eventTime = 0 }).outcome == .encoded)
    }

    @Test func `a key of the database needs a message that names it`() throws {
        let bench = EncoderBench(.orders(key: [ProjectionDefinition.databaseColumn, "id"]))
        let event = TestEvent(.insert, after: Self.row(id: 5))
        let named = event.with { $0.change.database = $0.add("shard_1") }
        #expect(try #require(bench.encode(named).encoded.first).key == "shard_1|5")
        let rejection = try #require(bench.rejection(event))
        #expect(rejection.reason == .keyMissing)
        #expect(rejection.detail.hasPrefix("key part $database: the message names no database; the way out is "))
    }

    // MARK: Replica identity

    private static func identities(_ identity: ReplicaIdentity) throws -> ReplicaIdentities {
        ReplicaIdentities(rules: [.init(pattern: try TablePattern("shop.orders"), identity: identity)])
    }

    @Test func `a delete under an index of other columns does not name a row by its key`() throws {
        let bench = EncoderBench(.orders())
        bench.settings.replicaIdentities = try Self.identities(.columns(["code", "region"]))
        let delete = TestEvent(.delete, before: Self.row()).with { $0.change.beforeTrust = .columns }
        #expect(
            bench.rejection(delete)
                == Rejection(
                    .keyMissing,
                    "key column \"id\": a delete of shop.orders carries code, region (replica_identity), and defaults in "
                        + "other columns; the way out is a key of those columns, or REPLICA IDENTITY DEFAULT or FULL at "
                        + "the source"
                )
        )
        bench.settings.replicaIdentities = try Self.identities(.columns(["id", "version"]))
        #expect(bench.encode(delete).outcome == .encoded)
        bench.settings.replicaIdentities = try Self.identities(.columns(["id"]))
        #expect(
            bench.rejection(delete)?.detail
                == "sequence part \"version\": the delete carries only the columns of its replica_identity; other columns "
                + "may be type defaults; the way out is \(Self.replicaIdentity)"
        )
    }

    @Test func `a delete under the default identity has no version`() {
        let bench = EncoderBench(.orders())
        let delete = TestEvent(.delete, before: Self.row(version: 0)).with { $0.change.beforeTrust = .key }
        #expect(
            bench.rejection(delete)?.detail
                == "sequence part \"version\": the delete carries only the key; other columns may be type defaults; the "
                + "way out is \(Self.replicaIdentity)"
        )
        let byPosition = EncoderBench(.orders(sequence: [.position]))
        let placed = delete.with { $0.change.position = Position(kind: .lsn, 9, count: 1) }
        #expect(byPosition.encode(placed).outcome == .encoded)
    }

    @Test func `a delete that claims the whole row and holds defaults alone is noted`() throws {
        let bench = EncoderBench(.orders())
        let rows: [(row: TestRow, isDoubtful: Bool)] = [
            (Self.row(version: 0, status: "", total: "0.00"), true), (Self.row(status: .null, total: .null), true),
            (Self.row(version: 2, status: .null, total: .null), false), (Self.row(total: "0.00"), false),
        ]
        for (row, isDoubtful) in rows {
            let delete = TestEvent(.delete, before: row).with { $0.change.beforeTrust = .full }
            let change = try #require(bench.encode(delete).encoded.first)
            #expect(change.item.remarks == (isDoubtful ? .doubtfulDelete : []), "\(row)")
            let plain = TestEvent(.delete, before: row)
            #expect(
                try #require(bench.encode(plain).encoded.first).item.remarks.isEmpty,
                "nothing claims the whole row"
            )
        }
    }
}
