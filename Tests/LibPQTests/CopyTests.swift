import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct CopyTests {
    @Test
    func rowsArriveWhereverTheChunksAreCut() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a int, b text)")
        let chunks = ["1\tone\n2\tt", "", "wo\n3", "\t\\N\n"].map { Array($0.utf8) }
        #expect(try await connection.copyIn("COPY t FROM STDIN", chunks: chunks) == 3)
        let result = try await connection.query("SELECT a, b FROM t ORDER BY a")
        #expect(try (0..<3).map { try result.text($0, 1) } == ["one", "two", nil])
        #expect(try await connection.copyIn("COPY t FROM STDIN", chunks: []) == 0)
    }

    @Test
    func aLargeCopyIsCutIntoMessages() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a text)")
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 99) + [UInt8(ascii: "\n")]
        var data: [UInt8] = []
        for _ in 0..<100_000 { data += line }
        #expect(try await connection.copyIn("COPY t FROM STDIN", chunks: [data]) == 100_000)
        #expect(try await connection.query("SELECT sum(length(a)) FROM t").int64(0, 0) == 9_900_000)
    }

    @Test
    func aFailingCopyThrowsTheServersErrorAndCopiesNothing() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a int)")
        // Long after the error: the server goes on reading what it no longer wants.
        let rest = [UInt8](repeating: UInt8(ascii: "\n"), count: 8 << 20)
        let error = try await postgresError {
            try await connection.copyIn("COPY t FROM STDIN", chunks: [Array("1\nsecret-value\n".utf8), rest])
        }
        #expect(error.sqlState == "22P02" && error.isDataException)
        #expect(!error.description.contains("secret-value"))
        #expect(error.debugDescription.contains("secret-value"))
        #expect(try await connection.query("SELECT count(*) FROM t").int64(0, 0) == 0)
    }

    @Test
    func aStatementThatIsNoCopyIsRefused() async throws {
        let connection = try await TestServer.connect()
        let select = try await postgresError { try await connection.copyIn("SELECT 1", chunks: [[1]]) }
        #expect(select.code == .protocolViolation)
        let missing = try await postgresError { try await connection.copyIn("COPY nowhere FROM STDIN", chunks: [[1]]) }
        #expect(missing.sqlState == "42P01")
        #expect(await !connection.isBroken)
    }

    @Test
    func aCopyWithoutDataIsEndedAndTheConnectionGoesOn() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a int)")
        let error = try await postgresError { try await connection.execute("COPY t FROM STDIN") }
        #expect(error.sqlState == "57014")
        #expect(try await connection.query("SELECT 1").int32(0, 0) == 1)
    }
}
