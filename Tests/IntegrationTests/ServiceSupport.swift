import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A service that reads two sources of followed files into two projections of the same rows.
enum FollowedShop {
    static let configuration = """
        sources:
          - { name: logs, type: files, paths: ["logs/*.ndjson"], follow: true }
          - { name: others, type: files, paths: ["others/*.ndjson"], follow: true }
        projections:
        \(projection("orders"))
        \(projection("parts"))
        server: { listen: "127.0.0.1:0" }
        service: { lease_ttl: 2s }

        """

    private static func projection(_ name: String) -> String {
        """
          - name: \(name)
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, status: text, version: integer }
            milestones: { shipped: { state: shipped } }
        """
    }

    static func line(_ id: Int, _ version: Int = 1, _ status: String = "created", second: Int = 0) -> String {
        let time = "2026-03-01T09:30:\(second < 10 ? "0" : "")\(second)Z"
        return
            #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"status":"\#(status)","version":\#(version)},"#
            + #""ts":"\#(time)"}"#
    }
}

extension Workplace {
    /// Appends lines to a file, which may be new.
    /// - Parameter half: a last line whose end has not come.
    func append(_ name: String, _ lines: [String], half: String = "") throws {
        let file = self.folder.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        if !FileManager.default.fileExists(atPath: file.path) { try Data().write(to: file) }
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data((lines.map { $0 + "\n" }.joined() + half).utf8))
        try handle.close()
    }

    /// Runs a body beside `tidemark run`, which has to end with 0 when it is told to stop.
    func withService(
        _ arguments: String...,
        database: TestDatabase? = nil,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () async throws -> Void
    ) async throws {
        let process = try TidemarkProcess(
            ["run", "--lanes", "2", "--log-format", "text"] + arguments,
            environment: ["DATABASE_URL": (database ?? self.database).url],
            directory: self.folder
        )
        do {
            try await body()
        } catch {
            process.send(SIGTERM)
            let result = try await process.result()
            Issue.record("\(error)\n\(result.error)", sourceLocation: sourceLocation)
            throw error
        }
        process.send(SIGTERM)
        let result = try await process.result()
        #expect(result.status == 0, "\(result.error)", sourceLocation: sourceLocation)
    }

    /// Exits with a code other than 0; what it says on standard error.
    func fail(
        _ status: Int32,
        _ arguments: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let result = try await self.run(arguments)
        #expect(result.status == status, "\(result.output)\(result.error)", sourceLocation: sourceLocation)
        return result.error
    }

    /// What one replay of all that lies in the folder comes to, in a database of its own.
    func replayed(_ table: String) async throws -> ReadModelDigest {
        try await TestDatabase.with {
            let place = Workplace(folder: self.folder)
            try await place.succeed("replay", "--no-deliver", "logs", "others")
            let connection = try await place.database.connect()
            let digest = try await ReadModelDigest(table: table, key: "id", on: connection)
            await connection.close()
            return digest
        }
    }
}

struct NeverSo: Error, CustomStringConvertible {
    let description: String
}

extension Connection {
    /// Asks again and again until a query gives a value.
    func until(_ sql: String, is expected: String, within limit: Duration = .seconds(60)) async throws {
        let deadline = ContinuousClock.now + limit
        var found = ""
        while ContinuousClock.now < deadline {
            do {
                found = try self.value(sql)
            } catch let error as PostgresError where ["42P01", "3F000", "42703"].contains(error.sqlState) {
                // The service has not brought the schema up yet.
                found = "\(error)"
            }
            if found == expected { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw NeverSo(description: "\(sql): \(found), and not \(expected) within \(limit)")
    }

    /// Until a projection's table has these keys.
    func until(_ table: String, has ids: some Sequence<Int>) async throws {
        try await self.until(
            "select string_agg(id::text, ',' order by id) from \(table)",
            is: ids.map(String.init).joined(separator: ",")
        )
    }

    /// How many events of a projection were duplicates, in all passes.
    func duplicates(of projection: String) async throws -> Int {
        try self.number("select sum(duplicate) from tidemark.counters where projection = '\(projection)'")
    }
}
