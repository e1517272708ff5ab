import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct CancellationTests {
    @Test
    func cancellingTheTaskDoesNotTearACommandOff() async throws {
        let connection = try await TestServer.connect()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await connection.query("SELECT 7").int32(0, 0)
        }
        #expect(try await task.value == 7)
    }

    @Test
    func cancellingTheTaskEndsConnecting() async throws {
        let server = try SilentServer()
        let task = Task {
            try await Connection.connect(ConnectionOptions(server.conninfo, connectTimeout: .seconds(3600)))
        }
        task.cancel()
        let error = try await postgresError { _ = try await task.value }
        #expect(error.code == .cancelled)
    }
}
