import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A database that was restored from a backup is resumed from the progress that it holds.
@Suite("restore", .freshDatabase, .timeLimit(.minutes(10)))
struct RestoreTests {
    @Test
    func aRestoredDatabaseIsResumedFromWhatItHolds() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", (1...300).map { FollowedShop.line($0) })
            let backup = place.folder.appendingPathComponent("backup").path
            try await place.withService {
                try await connection.until("select count(*) from parts", is: "300")
                // While it runs: the backup holds a process that is gone by then, and what it held.
                try Self.run("pg_dump", "-Fc", "-f", backup, place.database.url)
                try place.append("logs/a.ndjson", (301...400).map { FollowedShop.line($0) })
                try place.append("others/b.ndjson", (1001...1050).map { FollowedShop.line($0) })
                try await connection.until("select count(*) from parts", is: "450")
            }
            let expected = try await place.replayed("orders")
            try await TestDatabase.with {
                let restored = TestDatabase.current
                try Self.run("pg_restore", "--no-owner", "-d", restored.url, backup)
                let connection = try await restored.connect()
                #expect(try await connection.value("select count(*) from orders") == "300")
                try await place.withService(database: restored) {
                    for table in ["orders", "parts"] {
                        try await connection.until("select count(*) from \(table)", is: "450")
                    }
                }
                #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == expected)
                // Nothing was read from the beginning: what was not in the backup is new to it.
                #expect(try await connection.duplicates(of: "orders") == 0)
                #expect(try await connection.value("select count(*) from tidemark.passes") == "1")
                await connection.close()
            }
        }
    }

    private static func run(_ program: String, _ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let error = Pipe()
        process.standardError = error
        try process.run()
        let text = try error.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(program): \(String(decoding: text, as: UTF8.self))")
    }
}
