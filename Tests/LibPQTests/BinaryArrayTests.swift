import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct BinaryArrayTests {
    @Test
    func nullsAndValuesComeOutInOrder() async throws {
        let connection = try await TestServer.connect()
        var texts = BinaryArray(elementOID: OID.text, expectedCount: 5)
        texts.append("a,\"{}'\\")
        texts.appendNull()
        texts.append([])
        let fields: [UInt8] = [0, 0, 0, 2, 104, 105, 0xff, 0xff, 0xff, 0xff]
        fields.withUnsafeBytes { fields in
            let first = texts.append(firstLengthPrefixed: fields)
            let second = texts.append(firstLengthPrefixed: UnsafeRawBufferPointer(rebasing: fields[6...]))
            #expect((first, second) == (6, 4))
        }
        var numbers = BinaryArray(elementOID: OID.int8)
        for number in [1, .max, .min, 0, -1] as [Int64] { numbers.append(number) }
        let result = try await connection.query(
            "SELECT * FROM unnest($1, $2) AS x(t, n)",
            [texts.parameter(arrayOID: OID.textArray), numbers.parameter(arrayOID: OID.int8Array)]
        )
        #expect(texts.count == 5)
        #expect(try (0..<5).map { try result.text($0, 0) } == ["a,\"{}'\\", nil, "", "hi", nil])
        #expect(try (0..<5).map { try result.int64($0, 1) } == [1, .max, .min, 0, -1])
    }

    @Test
    func anArrayWithoutElementsHasNoDimension() async throws {
        let connection = try await TestServer.connect()
        var none = BinaryArray(elementOID: OID.int8)
        let empty = none.parameter(arrayOID: OID.int8Array)
        let result = try await connection.query(
            "SELECT $1 = '{}'::bigint[], array_ndims($1) IS NULL, cardinality($1)",
            [empty]
        )
        #expect(try result.bool(0, 0) == true && result.bool(0, 1) == true)
        #expect(try result.int64(0, 2) == 0)
    }

    @Test
    func everyElementTypeIsAccepted() async throws {
        let connection = try await TestServer.connect()
        let cases: [(UInt32, String, [UInt8], String)] = [
            (OID.bool, "boolean", [1], "true"), (OID.int2, "smallint", [0, 7], "7"),
            (OID.int4, "integer", [0, 0, 0, 7], "7"), (OID.bytea, "bytea", [0xde, 0xad], "\\xdead"),
            (OID.float4, "real", [0x3f, 0xc0, 0, 0], "1.5"),
            (OID.float8, "double precision", [0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1.5"),
            (OID.varchar, "varchar", [104, 105], "hi"), (OID.date, "date", [0, 0, 0, 1], "2000-01-02"),
            (OID.time, "time", [0, 0, 0, 0, 0, 0x0f, 0x42, 0x40], "00:00:01"),
            (OID.timestamp, "timestamp", [0, 0, 0, 0, 0, 0x0f, 0x42, 0x40], "2000-01-01 00:00:01"),
            (OID.numeric, "numeric", [0, 1, 0, 0, 0, 0, 0, 0, 0, 7], "7"),
            (OID.uuid, "uuid", [UInt8](repeating: 0x11, count: 16), "11111111-1111-1111-1111-111111111111"),
            (OID.jsonb, "jsonb", [1] + Array("[1]".utf8), "[1]"), (OID.json, "json", Array("[1]".utf8), "[1]"),
            (OID.timestamptz, "timestamptz", [0, 0, 0, 0, 0, 0, 0, 0], "2000-01-01 00:00:00+00"),
        ]
        try await connection.execute("SET timezone = 'UTC'")
        for (oid, type, bytes, text) in cases {
            var array = BinaryArray(elementOID: oid)
            array.append(bytes[...])
            array.appendNull()
            let arrayOID = try #require(OID.array(of: oid))
            let result = try await connection.query(
                "SELECT $1[1]::text, $1[2] IS NULL, pg_typeof($1)::text",
                [array.parameter(arrayOID: arrayOID)]
            )
            #expect(try result.text(0, 0) == text, "\(type)")
            #expect(try result.bool(0, 1) == true)
            #expect(try result.text(0, 2)?.hasSuffix("[]") == true)
        }
    }

    @Test
    func aParameterKeepsItsElementsWhenTheBuilderGoesOn() async throws {
        let connection = try await TestServer.connect()
        var array = BinaryArray(elementOID: OID.int4)
        array.append(1 as Int32)
        let first = array.parameter(arrayOID: OID.int4Array)
        array.append(2 as Int32)
        array.appendNull()
        let second = array.parameter(arrayOID: OID.int4Array)
        let result = try await connection.query("SELECT $1::text, $2::text", [first, second])
        #expect(try result.text(0, 0) == "{1}")
        #expect(try result.text(0, 1) == "{1,2,NULL}")
    }
}
