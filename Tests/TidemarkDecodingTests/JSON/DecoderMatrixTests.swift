import Testing
import TidemarkCore

/// The lines of the decoder matrix, each with a log of its own under `fixtures/decoders`.
struct DecoderMatrixTests {
    private static let mysql = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

    /// Columns as `name: type`, and what a source or a configuration says of their encoding.
    private func check(
        _ name: String,
        _ sources: [SourceSettings] = [settings()],
        columns: [(String, String)],
        unsigned: Set<String> = [],
        encodings: [String: ValueEncoding] = [:],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let columns = try columns.map { column, type in
            ProjectionDefinition.Column(
                name: column,
                type: try #require(ColumnType(type)),
                encoding: encodings[column] ?? .none,
                isUnsigned: unsigned.contains(column)
            )
        }
        try DecoderFixture(name: name, sources: sources, columns: columns).check(sourceLocation: sourceLocation)
    }

    @Test("1. Tombstones, wrapped, bare and flattened messages, and snapshots by word and by boolean")
    func readsShapes() throws {
        try self.check("01-shapes", columns: [("id", "bigint"), ("status", "text")])
    }

    @Test("2. Integers beyond 2^53 and 2^63 in all formats, and negative ones that stand for unsigned")
    func readsWideIntegers() throws {
        try self.check(
            "02-wide-integers",
            columns: [
                ("id", "numeric(20,0)"), ("u", "numeric(20,0)"), ("n", "numeric"), ("precise", "numeric(20,0)"),
                ("big", "bigint"),
            ],
            unsigned: ["u"],
            encodings: ["precise": .decimalBase64]
        )
    }

    @Test("3. Decimals in base64, with a scale of their own, as text and as numbers")
    func readsDecimals() throws {
        try self.check(
            "03-decimals",
            columns: [
                ("id", "bigint"), ("d", "numeric(12,2)"), ("s0", "numeric(20,0)"), ("n", "numeric"),
                ("raw", "numeric(12,2)"),
            ],
            encodings: ["raw": .decimalBase64]
        )
    }

    @Test("4. A change of the key deletes the old key and creates the new one, at one position")
    func readsKeyChanges() throws {
        try self.check(
            "04-key-change",
            [settings(), settings(gtidOrder: [Self.mysql])],
            columns: [("id", "bigint"), ("status", "text")]
        )
    }

    @Test("5. Images that are missing, of the key alone, or with values that were not logged in every encoding")
    func readsPartialImages() throws {
        try self.check(
            "05-images",
            [settings(), settings(full: true)],
            columns: [
                ("id", "bigint"), ("status", "text"), ("doc", "text"), ("raw", "bytea"), ("hexed", "bytea"),
                ("tags", "jsonb"), ("blobs", "jsonb"), ("nums", "jsonb"), ("map", "jsonb"), ("json", "jsonb"),
                ("uuids", "jsonb"), ("note", "text"),
            ],
            encodings: ["hexed": .hex]
        )
    }

    @Test("6. Binlog files and offsets compare as numbers, servers by their declared epoch or order")
    func ordersBinlogPositions() throws {
        let order = [Self.mysql, "4e11fa47-71ca-11e1-9e33-c80aa9429562", "\(Self.mysql):blue", "0"]
        try self.check(
            "06-binlog",
            [settings(), settings(epoch: 1), settings(gtidOrder: order)],
            columns: [("id", "bigint"), ("v", "text")]
        )
    }

    @Test("7. Of Maxwell's rows at one position the one with the commit is last, and bootstrapped rows only fill")
    func ordersMaxwellRows() throws {
        try self.check(
            "07-maxwell",
            [settings(.maxwell), settings(gtidOrder: [Self.mysql])],
            columns: [("id", "bigint"), ("v", "text")]
        )
    }

    @Test("8. Canal's messages of many rows, split, sent again, and with `old` that tells nothing")
    func ordersCanalRows() throws {
        try self.check(
            "08-canal",
            [settings(gtidOrder: [Self.mysql]), settings(.canal)],
            columns: [("id", "bigint"), ("v", "integer"), ("note", "text")]
        )
    }

    @Test("9. What is beside rows is control, and a truncate has its position")
    func readsControl() throws {
        try self.check("09-control", [settings(), settings(gtidOrder: [Self.mysql])], columns: [])
    }

    @Test("10. Snapshot rows fill: they are below every change at their coordinate, and without one below all")
    func ordersSnapshotRows() throws {
        try self.check(
            "10-snapshots",
            [settings(), settings(gtidOrder: [Self.mysql])],
            columns: [("id", "bigint"), ("v", "text")]
        )
    }

    @Test("11. What is no message of a format is set aside with a reason")
    func refusesHostileMessages() throws {
        try self.check("11-hostile", columns: [("id", "bigint"), ("v", "jsonb")])
    }

    @Test("11. A row of 10 MB is a row like any other")
    func readsHugeRow() throws {
        let value = String(repeating: "é\\n", count: 2_500_000)
        let (event, message) = try event(#"{"table":"t","op":"insert","after":{"id":1,"doc":"\#(value)","v":2}}"#)
        let row = try #require(event.after)
        #expect(message.fields[row.lowerBound + 1].value.count == 7_500_000)
        #expect(message.text(message.fields[row.lowerBound + 2].value) == "2")
    }

    @Test("Dates, times, bits, bytes and JSON in the encodings of each format, and zero dates that no type can hold")
    func readsValues() throws {
        var shanghai = settings()
        shanghai.zone = .fixed(seconds: 8 * 3600)
        try self.check(
            "12-values",
            [settings(), shanghai],
            columns: [
                ("id", "bigint"), ("day", "date"), ("ms", "timestamp"), ("us", "timestamp"), ("ns", "timestamp"),
                ("tod", "time"), ("tz", "timestamptz"), ("bits", "numeric(20,0)"), ("raw", "bytea"),
                ("bool", "boolean"), ("json", "jsonb"), ("text", "text"), ("blob", "bytea"),
            ],
            encodings: [
                "blob": .latin1, "day": .epochDays, "ms": .epochMilliseconds, "us": .epochMicroseconds,
                "ns": .epochNanoseconds, "tod": .epochMicroseconds,
            ]
        )
    }
}
