import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Waits until a condition holds; it is looked at again and again.
func wait(
    _ what: String,
    atMost limit: Duration = .seconds(120),
    sourceLocation: SourceLocation = #_sourceLocation,
    until holds: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !holds() {
        if ContinuousClock.now > deadline {
            Issue.record("\(what): not within \(limit)", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// A folder of logs that `tidemark run` follows, and what is written into them.
final class FollowedLogs {
    enum Rotation: CaseIterable {
        case rename, copyTruncate, compress
    }

    let folder: URL
    let logs: URL
    private(set) var written: [String] = []
    private var number = 0

    init(
        _ folder: URL,
        _ configuration: String = Shop.projection,
        leaseTTL: String = "2s",
        drainTimeout: String = "30s",
        makesFolder: Bool = false
    ) throws {
        if makesFolder { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        self.folder = folder
        self.logs = folder.appendingPathComponent("logs")
        try FileManager.default.createDirectory(at: self.logs, withIntermediateDirectories: true)
        let yaml =
            configuration + """

                service: { lease_ttl: \(leaseTTL), drain_timeout: \(drainTimeout) }
                lanes: 2
                sources:
                  - { name: logs, type: files, paths: ["logs/*"], follow: true }

                """
        try Data(yaml.utf8).write(to: folder.appendingPathComponent("tidemark.yaml"))
    }

    func file(_ name: String) -> URL { self.logs.appendingPathComponent("\(name).ndjson") }

    /// Appends whole lines.
    func append(_ lines: some Sequence<String>, to name: String) throws {
        let file = self.file(name)
        if !FileManager.default.fileExists(atPath: file.path) { try Data().write(to: file) }
        let handle = try FileHandle(forWritingTo: file)
        defer { try? handle.close() }
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(lines.map { $0 + "\n" }.joined().utf8))
        self.written += lines
    }

    /// Rotates a file as log writers do: it begins anew.
    func rotate(_ name: String, _ rotation: Rotation) throws {
        self.number += 1
        let (file, moved) = (self.file(name), self.file("\(name)-rotated-\(self.number)"))
        guard let size = try? Data(contentsOf: file).count, size > 0 else { return }
        switch rotation {
        case .rename:
            try FileManager.default.moveItem(at: file, to: moved)
        case .copyTruncate:
            try FileManager.default.copyItem(at: file, to: moved)
            let handle = try FileHandle(forWritingTo: file)
            try handle.truncate(atOffset: 0)
            try handle.close()
        case .compress:
            try FileManager.default.moveItem(at: file, to: moved)
            let gzip = Process()
            gzip.executableURL = URL(fileURLWithPath: "/bin/gzip")
            gzip.arguments = [moved.path]
            try gzip.run()
            gzip.waitUntilExit()
        }
        try Data().write(to: file)
    }

    func run(_ database: String, onExit: @escaping @Sendable () -> Void = {}) throws -> TidemarkProcess {
        try TidemarkProcess(
            ["run", "--no-deliver", "--listen", "none", "--log-format", "text"],
            environment: ["DATABASE_URL": database],
            directory: self.folder,
            onExit: onExit
        )
    }

    /// The lines as one replay reads them into a database of its own.
    func replayed(by arguments: [String] = []) async throws -> ReadModelDigest {
        let log = self.folder.appendingPathComponent("whole.ndjson")
        try Data(self.written.map { $0 + "\n" }.joined().utf8).write(to: log)
        return try await TestDatabase.with {
            let database = TestDatabase.current
            let result = try await TidemarkProcess.run(
                ["replay", "--no-deliver", log.path],
                environment: ["DATABASE_URL": database.url],
                directory: self.folder
            )
            try #require(result.status == 0, "\(result.error)")
            let connection = try await database.connect()
            let digest = try await ReadModelDigest(table: "orders", key: "id", on: connection)
            await connection.close()
            return digest
        }
    }
}

/// What the service's passes have counted.
func counted(_ column: String = "messages", on connection: Connection) async throws -> Int {
    Int(
        try await connection.value(
            """
            select coalesce(sum(\(column)), 0) from tidemark_internal.counters as counted
            join tidemark_internal.passes as pass on pass.id = counted.pass_id
            where pass.is_service
            """
        )
    ) ?? 0
}

/// A generated log of orders, its lines.
func orderLines(_ orders: Int, seed: UInt64, in folder: URL) throws -> [String] {
    let file = folder.appendingPathComponent("generated-\(seed).ndjson")
    _ = try GeneratedLog(orders: orders, seed: seed, arrival: .windowShuffled(200), repeatedPercent: 3)
        .write(to: file.path)
    return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
}
