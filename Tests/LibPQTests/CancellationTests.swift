import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct CancellationTests {
    @Test
    func aStatementThatWaitsForALockIsCancelled() async throws {
        try await TestServer.withTable("a int") { table, holder in
            try await holder.execute("BEGIN; LOCK TABLE \(table)")
            let waiter = try await TestServer.connect()
            #expect(!waiter.cancel())
            async let waiting = postgresError {
                _ = try await waiter.pipeline([.sql("BEGIN"), .sql("INSERT INTO \(table) VALUES (1)"), .sql("COMMIT")])
            }
            try await TestServer.untilBlocked(waiter, on: holder)
            #expect(waiter.cancel())
            let error = try await waiting
            #expect(error.code == .cancelled && error.sqlState == "57014" && error.statementIndex == 1)
            #expect(await waiter.transactionStatus == .inFailedTransaction)
            try await waiter.execute("ROLLBACK")
            #expect(try await waiter.query("SELECT 1").int32(0, 0) == 1)
        }
    }

    @Test
    func aCancelNeverHitsALaterCommand() async throws {
        let connection = try await TestServer.connect()
        for round in 0..<300 {
            async let requests: Void = {
                for _ in 0..<(round % 4) {
                    await Task.yield()
                    connection.cancel()
                }
            }()
            do throws(PostgresError) {
                _ = try await connection.query("SELECT count(*) FROM generate_series(1, $1)", [.int32(2000)])
            } catch {
                #expect(error.code == .cancelled)
            }
            await requests
            // No request can be aimed at this one.
            #expect(try await connection.query("SELECT 1").int32(0, 0) == 1)
        }
    }

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
