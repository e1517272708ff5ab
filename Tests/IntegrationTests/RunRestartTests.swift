import Foundation
import LibPQ
import Logging
import Testing
import TidemarkEphemeral
import TidemarkTesting

/// A service whose PostgreSQL stops without a word, again and again, under load. On a server of its own.
@Suite(.timeLimit(.minutes(20)))
struct RunRestartTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static var restarts: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_RESTARTS"].flatMap { Int($0) } ?? 3
    }

    @Test func aServerThatIsStoppedAtOnceAndStartedAgainLosesNothing() async throws {
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(400 * Self.restarts, seed: 6, in: folder)
            let place = folder.appendingPathComponent("db").path
            var server = try await EphemeralServer.start(at: place, logger: Self.logger)
            let service = try logs.run(server.connectionString)
            var done = 0
            for round in 0...Self.restarts {
                let connection = try await Connection.connect(ConnectionOptions(server.connectionString))
                try await connection.execute("set search_path = public")
                let next = round == Self.restarts ? lines.count : (round + 1) * lines.count / (Self.restarts + 1)
                try logs.append(lines[done..<next], to: "file-\(round % 3)")
                // In the middle of it, but for the last one.
                let enough = round == Self.restarts ? next : done + 1
                try await wait("round \(round)") {
                    guard try await connection.value("select to_regclass('tidemark.counters') is not null") == "t"
                    else {
                        return false
                    }
                    return try await counted(on: connection) >= enough
                }
                done = next
                guard round < Self.restarts else {
                    try await Self.compare(logs, lines.count, on: connection)
                    await connection.close()
                    break
                }
                server = try await Self.restart(server, at: place)
                await connection.close()
            }
            service.send(SIGTERM)
            let end = try await service.result()
            #expect(end.status == 0, "\(end.error)")
            // One line when it goes, and one when it is back.
            let gone = end.error.split(separator: "\n").count { $0.contains("database: waiting") }
            #expect(gone <= Self.restarts, "\(end.error)")
            try await server.stop()
        }
    }

    /// Stops the server as `pg_ctl stop -m immediate` does, and starts it again.
    private static func restart(_ server: EphemeralServer, at place: String) async throws -> EphemeralServer {
        let pidFile = URL(fileURLWithPath: place).appendingPathComponent("data/postmaster.pid")
        let first = try String(contentsOf: pidFile, encoding: .utf8).split(separator: "\n")[0]
        let process = try #require(Int32(first))
        kill(process, SIGQUIT)
        try await wait("the server is gone") { kill(process, 0) != 0 }
        try? await server.stop()
        return try await EphemeralServer.start(at: place, logger: Self.logger)
    }

    private static func compare(_ logs: FollowedLogs, _ messages: Int, on connection: Connection) async throws {
        #expect(try await counted(on: connection) == messages)
        #expect(try await counted("applied + late + duplicate", on: connection) == messages)
        let digest = try await ReadModelDigest(table: "orders", key: "id", on: connection)
        #expect(try await digest == logs.replayed())
        // Each milestone of an entity is in the outbox once.
        #expect(try await deliveriesTwice(on: connection) == 0)
    }
}
