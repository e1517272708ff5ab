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
    func anInterruptionEndsOneCommand() async throws {
        let connection = try await TestServer.connect()
        let query = Task { try await connection.query("SELECT pg_sleep(600)") }
        let started = ContinuousClock.now
        try await Task.sleep(for: .milliseconds(200))
        connection.interrupt()
        let error = try await postgresError { _ = try await query.value }
        #expect(error.code == .cancelled && !error.isRetriable)
        #expect(ContinuousClock.now - started < .seconds(60))
        #expect(try await connection.query("SELECT 7").int32(0, 0) == 7)
        // None runs: the next one is not sent.
        connection.interrupt()
        let next = try await postgresError { _ = try await connection.query("SELECT 7") }
        #expect(next.code == .cancelled)
        connection.interrupt()
        connection.forgetInterruption()
        #expect(try await connection.query("SELECT 7").int32(0, 0) == 7)
    }

    @Test
    func connectionsThatWereInterruptedTogetherAreNotReplaced() async throws {
        var options = try TestServer.options()
        let interruptions = ConnectionInterruptions()
        options.interruptions = interruptions
        let connection = try await Connection.connect(options)
        interruptions.interrupt()
        for attempt in [{ _ = try await connection.query("SELECT 7") }, { _ = try await Connection.connect(options) }] {
            let error = try await postgresError { try await attempt() }
            #expect(error.code == .cancelled)
        }
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
