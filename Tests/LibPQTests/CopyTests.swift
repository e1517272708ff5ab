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
}
