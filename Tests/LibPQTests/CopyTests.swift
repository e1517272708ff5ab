import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct CopyTests {
    @Test
    func aCopyWithoutDataIsEndedAndTheConnectionGoesOn() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a int)")
        let error = try await postgresError { try await connection.execute("COPY t FROM STDIN") }
        #expect(error.sqlState == "57014")
        #expect(try await connection.query("SELECT 1").int32(0, 0) == 1)
    }

    @Test
    func aCopyAmongStatementsTakesWhatItIsSent() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a integer, b text)")
        let rows = (1...200_000).map { "\($0)\ta text of some length\n" }.joined()
        let results = try await connection.pipeline([
            .sql("BEGIN"), .copying("COPY t FROM STDIN", Array(rows.utf8)),
            .sql("SELECT count(*), sum(a)::bigint FROM t"), .copying("COPY t FROM STDIN", []), .sql("COMMIT"),
        ])
        #expect(results.count == 5)
        #expect(results[1].affectedRows == 200_000 && results[3].affectedRows == 0)
        #expect(try results[2].int64(0, 0) == 200_000 && results[2].int64(0, 1) == 20_000_100_000)
        #expect(await connection.transactionStatus == .idle)
    }

    /// The error tells which statement it was; those behind it are not run, and the connection is usable.
    @Test(arguments: [0, 1, 2])
    func whatFailsAroundACopyIsNamed(_ index: Int) async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a integer)")
        var statements: [Statement] = [
            .sql("BEGIN"), .copying("COPY t FROM STDIN", Array("1\n".utf8)), .sql("SELECT 1"), .sql("COMMIT"),
        ]
        switch index {
        case 0: statements[0] = .sql("BEGIN; SELECT 1/0")
        case 1: statements[1] = .copying("COPY t FROM STDIN", Array("1\nno number\n".utf8))
        default: statements[2] = .sql("SELECT 1/0")
        }
        let failing = statements
        let error = try await postgresError { _ = try await connection.pipeline(failing) }
        #expect(error.statementIndex == index, "\(error)")
        try await connection.execute("ROLLBACK")
        #expect(try await connection.query("SELECT count(*) FROM t").int64(0, 0) == 0)
    }
}
