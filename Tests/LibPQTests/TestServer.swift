import Foundation
import Testing

@testable import LibPQ

/// The server that tests run against. Without one they fail.
enum TestServer {
    static let variable = "TIDEMARK_TEST_DATABASE_URL"

    static func options() throws -> ConnectionOptions {
        let conninfo = try #require(
            ProcessInfo.processInfo.environment[Self.variable],
            "\(Self.variable) names no PostgreSQL server"
        )
        var options = ConnectionOptions(conninfo, applicationName: "tidemark tests")
        // Tables of the tests are where the role has them.
        options.settings = nil
        return options
    }

    static func connect() async throws -> Connection {
        try await Connection.connect(Self.options())
    }

    /// A name for a table that several connections share.
    static func uniqueName() -> String {
        "libpq_test_" + UUID().uuidString.lowercased().replacingOccurrences(of: "-", with: "")
    }

    /// Creates a table that several connections can see, and drops it, also when `body` throws.
    static func withTable(
        _ columns: String,
        _ body: (_ table: String, _ connection: Connection) async throws -> Void
    ) async throws {
        let table = Self.uniqueName()
        let connection = try await Self.connect()
        try await connection.execute("CREATE TABLE \(table) (\(columns))")
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await body(table, connection))
        } catch {
            outcome = .failure(error)
        }
        await connection.close()  // with whatever locks it holds
        let cleaner = try await Self.connect()
        try await cleaner.execute("DROP TABLE \(table)")
        try outcome.get()
    }

    /// Asks until the server says yes. The test's time limit ends what never comes true.
    static func until(
        _ condition: String,
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws {
        while try await connection.query("SELECT \(condition)", parameters).bool(0, 0) != true {
            try Task.checkCancellation()
        }
    }

    static func untilBlocked(_ blocked: Connection, on observer: Connection) async throws {
        try await Self.until(
            "EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)",
            [.int32(blocked.backendPID)],
            on: observer
        )
    }

    static func untilGone(_ gone: Connection, on observer: Connection) async throws {
        try await Self.until(
            "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)",
            [.int32(gone.backendPID)],
            on: observer
        )
    }
}

/// Runs `body`, which must throw a ``PostgresError``, and returns that.
func postgresError(
    _ body: () async throws -> Void,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws -> PostgresError {
    try #require(
        await #expect(throws: PostgresError.self, sourceLocation: sourceLocation) { try await body() },
        sourceLocation: sourceLocation
    )
}
