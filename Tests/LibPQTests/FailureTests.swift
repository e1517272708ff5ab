import Foundation
import Testing

@testable import LibPQ

@Suite(.timeLimit(.minutes(15)))
struct FailureTests {
    @Test(arguments: [
        ("22012", false, true, false), ("22003", false, true, false), ("40001", true, false, false),
        ("40P01", true, false, false), ("53100", true, false, false), ("57014", true, false, false),
        ("08006", true, false, true), ("23505", false, false, false), ("42601", false, false, false),
        ("28P01", false, false, false), ("08P01", false, false, false),
    ])
    func aSQLSTATEDecidesWhatToDo(_ state: String, _ retriable: Bool, _ data: Bool, _ loss: Bool) async throws {
        let connection = try await TestServer.connect()
        let error = try await postgresError {
            try await connection.execute(
                "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '\(state)', MESSAGE = 'm', DETAIL = 'd', HINT = 'h'; END $$"
            )
        }
        #expect(error.sqlState == state)
        #expect((error.isRetriable, error.isDataException, error.isConnectionLoss) == (retriable, data, loss))
        #expect(error.code == (state == "57014" ? .cancelled : .serverError))
        #expect(error.detail == "d" && error.hint == "h")
        #expect(await !connection.isBroken)
    }

    @Test
    func aDescriptionHasNeitherDetailNorValues() async throws {
        let connection = try await TestServer.connect()
        try await connection.execute("CREATE TEMP TABLE t (a text PRIMARY KEY); INSERT INTO t VALUES ('secret-value')")
        let duplicate = try await postgresError {
            _ = try await connection.query("INSERT INTO t VALUES ($1)", [.text("secret-value")])
        }
        #expect(
            duplicate.description
                == #"PostgreSQL reports (SQLSTATE 23505): duplicate key value violates unique constraint "t_pkey""#
        )
        #expect(duplicate.debugDescription.contains("secret-value"))
        let cast = try await postgresError {
            _ = try await connection.query("SELECT $1::text::int", [.text("secret\" -value")])
        }
        #expect(cast.description == "PostgreSQL reports (SQLSTATE 22P02): a text is not a representation of its type")
        #expect(cast.message.contains("secret"))
    }

    @Test
    func theFirstErrorOfSeveralStatementsCounts() async throws {
        let connection = try await TestServer.connect()
        let error = try await postgresError { try await connection.execute("SELECT 1; SELECT 1/0; SELECT nothing") }
        #expect(error.sqlState == "22012")
        #expect(await connection.transactionStatus == .idle)
    }

    @Test
    func aTerminatedConnectionIsBroken() async throws {
        let killer = try await TestServer.connect()
        let large = [UInt8](repeating: 0, count: 20 << 20)
        let uses: [@Sendable (Connection) async throws -> Void] = [
            { try await $0.execute("SELECT 1") },
            { _ = try await $0.query("SELECT length($1)", [.bytes(large)]) },
            { _ = try await $0.pipeline((0..<4).map { _ in .sql("SELECT length($1)", [.bytes(large)]) }) },
            { _ = try await $0.notifications(timeout: .seconds(30)) },
        ]
        for use in uses {
            let victim = try await TestServer.connect()
            #expect(await !victim.isBroken)
            _ = try await killer.query("SELECT pg_terminate_backend($1)", [.int32(victim.backendPID)])
            try await TestServer.untilGone(victim, on: killer)
            let error = try await postgresError { try await use(victim) }
            #expect(error.code == .connectionLost && error.isConnectionLoss && error.isRetriable)
            #expect(await victim.isBroken)
            #expect(await victim.transactionStatus == .unknown)
            let later = try await postgresError { try await victim.execute("SELECT 1") }
            #expect(later.code == .connectionClosed && later.isConnectionLoss)
        }
    }

    @Test
    func aConnectionThatIsTerminatedDuringACommandSaysWhy() async throws {
        try await TestServer.withTable("a int") { table, holder in
            try await holder.execute("BEGIN; LOCK TABLE \(table)")
            let victim = try await TestServer.connect()
            async let waiting = postgresError {
                _ = try await victim.pipeline([.sql("BEGIN"), .sql("INSERT INTO \(table) VALUES (1)"), .sql("COMMIT")])
            }
            try await TestServer.untilBlocked(victim, on: holder)
            _ = try await holder.query("SELECT pg_terminate_backend($1)", [.int32(victim.backendPID)])
            let error = try await waiting
            #expect(error.code == .connectionLost && error.sqlState == "57P01" && error.isRetriable)
            #expect(error.message.contains("administrator"))
            #expect(await victim.isBroken)
        }
    }

    @Test
    func aClosedConnectionSaysSoAndClosesOnce() async throws {
        let connection = try await TestServer.connect()
        let observer = try await TestServer.connect()
        await connection.close()
        await connection.close()
        try await TestServer.untilGone(connection, on: observer)
        let error = try await postgresError { try await connection.execute("SELECT 1") }
        #expect(error.code == .connectionClosed)
        #expect(await connection.isBroken)
    }

    @Test
    func theLastReferenceCloses() async throws {
        let observer = try await TestServer.connect()
        let backendPID = try await TestServer.connect().backendPID
        try await TestServer.until(
            "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)",
            [.int32(backendPID)],
            on: observer
        )
    }
}
