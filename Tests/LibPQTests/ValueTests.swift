import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct ValueTests {
    @Test
    func everyScalarComesBackAsItWentInBinary() async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query(
            "SELECT $1, $2, $3, $4, $5, $6, $7::text, $8, $9",
            [
                .int64(.min), .int32(.min), .bool(true), .double(-0.1), .bytes([0, 1, 255, 0]),
                .binary(oid: OID.int2, [0x80, 0x00]), .text("søster \"x\" 'y' \\ 🚢"), .null, .bytes([]),
            ]
        )
        #expect(result.rowCount == 1 && result.columnCount == 9)
        #expect(try result.int64(0, 0) == .min)
        #expect(try result.int32(0, 1) == .min)
        #expect(try result.bool(0, 2) == true)
        #expect(try result.double(0, 3) == -0.1)
        #expect(try result.bytes(0, 4) == [0, 1, 255, 0])
        #expect(try result.int16(0, 5) == .min)
        #expect(try result.text(0, 6) == "søster \"x\" 'y' \\ 🚢")
        #expect(result.isNull(0, 7))
        #expect(try result.text(0, 7) == nil)
        #expect(try result.bytes(0, 8) == [])
        #expect(!result.isNull(0, 8))
        #expect(result.columnFormat(0) == .binary)
    }

    @Test(arguments: [Int64.min, -1, 0, 1, 9_007_199_254_740_993, .max])
    func wholeNumbersKeepEveryDigit(_ number: Int64) async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query("SELECT $1, $1::text", [.int64(number)])
        #expect(try result.int64(0, 0) == number)
        #expect(try result.text(0, 1) == String(number))
    }

    @Test
    func typesThatOnlyTheServerMakesAreRead() async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query(
            """
            SELECT 'b5f3c0de-0000-4000-8000-00000000ABCD'::uuid, '2026-03-01T09:30:15.000001Z'::timestamptz,
                '{"a": 1}'::jsonb, '{"b":2}'::json, 'infinity'::timestamptz, '-infinity'::timestamp, 1.5::float4,
                7::smallint, 'abc'::varchar(5), 4000000000::oid, '1969-12-31 23:59:59.999999'::timestamp, 'x'::name
            """
        )
        #expect(try result.uuid(0, 0) == "b5f3c0de-0000-4000-8000-00000000abcd")
        #expect(try result.timestamp(0, 1) == 1_772_357_415_000_001)
        #expect(try result.text(0, 2) == #"{"a": 1}"#)
        #expect(try result.text(0, 3) == #"{"b":2}"#)
        #expect(try result.timestamp(0, 4) == .max)
        #expect(try result.timestamp(0, 5) == .min)
        #expect(try result.double(0, 6) == 1.5)
        #expect(try result.int64(0, 7) == 7)
        #expect(try result.text(0, 8) == "abc")
        #expect(try result.int64(0, 9) == 4_000_000_000)
        #expect(try result.timestamp(0, 10) == -1)
        #expect(try result.text(0, 11) == "x")
    }

    @Test
    func textParametersTakeTheTypeOfTheirContext() async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query(
            "SELECT $1::numeric(12,2)::text, $2::uuid, $3::jsonb, $4::timestamptz",
            [
                .text("12.345"), .text("b5f3c0de-0000-4000-8000-00000000abcd"), .text("[1]"),
                .text("1970-01-01 00:00:01+00"),
            ]
        )
        #expect(try result.text(0, 0) == "12.35")
        #expect(try result.uuid(0, 1) == "b5f3c0de-0000-4000-8000-00000000abcd")
        #expect(try result.text(0, 2) == "[1]")
        #expect(try result.timestamp(0, 3) == 1_000_000)
    }

    @Test
    func textFormatGivesAnyTypeAsTheServerWritesIt() async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query("SELECT 1.50::numeric, 42, true", resultFormat: .text)
        #expect(try result.text(0, 0) == "1.50")
        #expect(try result.text(0, 1) == "42")
        #expect(try result.text(0, 2) == "t")
        _ = try await postgresError { _ = try result.int64(0, 1) }
    }

    @Test
    func aTextWithNULIsRefusedBeforeItIsSentAndBytesWithNULAreNot() async throws {
        let connection = try await TestServer.connect()
        let error = try await postgresError { _ = try await connection.query("SELECT $1::text", [.text("a\0b")]) }
        #expect(error.code == .invalidParameter && error.sqlState == "22021" && error.isDataException)
        let statement = try await postgresError { try await connection.execute("SELECT 1\0; DROP TABLE x") }
        #expect(statement.code == .invalidParameter)
        #expect(try await connection.query("SELECT $1", [.bytes([0, 0])]).bytes(0, 0) == [0, 0])
        // Sent as binary, it is the server that refuses.
        let binary = try await postgresError {
            _ = try await connection.query("SELECT $1", [.binary(oid: OID.text, [97, 0, 98])])
        }
        #expect(binary.code == .serverError && binary.sqlState == "22021")
    }

    @Test
    func aValueOfAnotherTypeIsAnErrorAndNoNumber() async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query("SELECT 1.5::numeric AS amount, 1::int8 AS number")
        let error = try await postgresError { _ = try result.int64(0, 0) }
        #expect(error.code == .protocolViolation && error.message.contains("amount"))
        _ = try await postgresError { _ = try result.text(0, 1) }
        _ = try await postgresError { _ = try result.int32(0, 1) }
        #expect(result.columnOID(1) == OID.int8)
    }

    @Test
    func manyParametersSmallAndLargeKeepTheirOrder() async throws {
        let connection = try await TestServer.connect()
        // More large ones than are passed without a copy.
        let values = (0..<200).map { [UInt8](repeating: UInt8($0), count: $0.isMultiple(of: 2) ? 5000 + $0 : $0) }
        let list = (1...200).map { "$\($0)" }.joined(separator: ",")
        let result = try await connection.query("SELECT \(list)", values.map { .bytes($0) })
        for (index, value) in values.enumerated() { #expect(try result.bytes(0, index) == value) }
        let tooMany = try await postgresError {
            _ = try await connection.query("SELECT 1", [Parameter](repeating: .null, count: 65_536))
        }
        #expect(tooMany.code == .invalidParameter)
    }

    @Test
    func preparedStatementsRunByName() async throws {
        let connection = try await TestServer.connect()
        try await connection.prepare("add", "SELECT $1 + $2", types: [OID.int8, OID.int8])
        let result = try await connection.query(.prepared("add", [.int64(40), .int64(2)]))
        #expect(try result.int64(0, 0) == 42)
    }

    @Test
    func affectedRowsAreCounted() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1), (2), (3)")
        #expect(try await connection.query("UPDATE t SET a = a + 1 WHERE a > $1", [.int32(1)]).affectedRows == 2)
        #expect(try await connection.query("CREATE TEMP TABLE u (a int)").affectedRows == 0)
        #expect(try await connection.query("").rowCount == 0)
    }
}
