import Foundation
import LibPQ
import Synchronization
import Testing
import TidemarkStore
import TidemarkTesting

/// Two processes write one projection; one of them is stopped, killed or cut off in the middle of its work. The other one
/// goes on within the lease, and what is left is read by the next run.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(30)))
struct SharedProcessTests {
    private enum Stroke: CaseIterable {
        /// SIGSTOP, wherever it is.
        case stopped
        /// SIGSTOP after the server has committed and before the process knows.
        case stoppedAtCommit
        /// kill -9.
        case killed
        /// Its connections go silent, and stay open.
        case silent
    }

    private static var rounds: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_STROKES"].flatMap { Int($0) } ?? 4
    }

    private struct Place {
        var folder: URL
        var files: [URL]
        var expected: ReadModelDigest?
        var messages: Int
        /// Those of the first file.
        var firstMessages: Int { (self.messages + 1) / 2 }

        func arguments(_ file: Int) -> [String] {
            [
                "replay", "--config", self.folder.appendingPathComponent("tidemark.yaml").path, "--batch-events", "15",
                "--lanes", "2", "--no-deliver", "--json", self.files[file].path,
            ]
        }
    }

    @Test
    func aStoppedProcessDelaysTheOtherByItsLeaseAtMost() async throws {
        var generator = SeededGenerator.forTest("strokes")
        try await withFolder { folder in
            let place = try await Self.prepare(folder, &generator)
            var longest = Duration.zero
            for round in 0..<Self.rounds {
                let stroke = Stroke.allCases[round % Stroke.allCases.count]
                let name: Comment = "seed \(generator.seed), round \(round), \(stroke)"
                try await TestDatabase.with {
                    longest = max(longest, try await Self.strike(stroke, place, name, &generator))
                }
            }
            print("\(Self.rounds) strokes; the other process was done within \(longest) of each")
        }
    }

    /// Every second event of a log is in the second file, so nearly every row is written by both processes.
    private static func prepare(_ folder: URL, _ generator: inout SeededGenerator) async throws -> Place {
        let log = folder.appendingPathComponent("orders.ndjson")
        _ = try GeneratedLog(orders: 1200, seed: generator.next(), arrival: .windowShuffled(400), repeatedPercent: 3)
            .write(to: log.path)
        let lines = try String(contentsOf: log, encoding: .utf8).split(separator: "\n").map(String.init)
        var files: [URL] = []
        for part in 0..<2 {
            let file = folder.appendingPathComponent("part-\(part).ndjson")
            let own = lines.indices.filter { $0 % 2 == part }.map { lines[$0] + "\n" }
            try Data(own.joined().utf8).write(to: file)
            files.append(file)
        }
        try Data((Shop.projection + "\nservice: { lease_ttl: 2s }\n").utf8)
            .write(to: folder.appendingPathComponent("tidemark.yaml"))
        var place = Place(folder: folder, files: files, expected: nil, messages: lines.count)
        // One process reads both.
        let url = TestDatabase.current.url
        let whole = place.arguments(0) + [files[1].path]
        let result = try await TidemarkProcess.run(whole, environment: ["DATABASE_URL": url])
        try #require(result.status == 0, "\(result.error)")
        let connection = try await TestDatabase.current.connect()
        place.expected = try await ReadModelDigest(table: "orders", key: "id", on: connection)
        await connection.close()
        return place
    }

    /// - Returns: how long the other process took from the stroke to its end.
    private static func strike(
        _ stroke: Stroke,
        _ place: Place,
        _ name: Comment,
        _ generator: inout SeededGenerator
    ) async throws -> Duration {
        let database = TestDatabase.current
        let connection = try await database.connect("tests (observer)")
        _ = try await Migrator.migrate(connection)
        let proxy = try HoldingProxy(to: ServerAddress(conninfo: database.url))
        defer { proxy.close() }
        let url = proxy.address.replacing(in: database.url)
        let progress = ProgressWatch(connection)
        let victim = try TidemarkProcess(place.arguments(0), environment: ["DATABASE_URL": url]) { proxy.poke() }
        let other = try TidemarkProcess(place.arguments(1), environment: ["DATABASE_URL": database.url])
        // Both have committed something.
        while try await progress.streams() < 2, !victim.isOver, !other.isOver { try Task.checkCancellation() }
        if stroke == .stoppedAtCommit {
            proxy.holdCommits()
            _ = await proxy.untilCommitIsHeld { victim.isOver }
        } else {
            // A moment, not a wait for anything.
            try await Task.sleep(for: .microseconds(Int.random(in: 0...20_000, using: &generator)))
        }
        let start = ContinuousClock.now
        switch stroke {
        case .stopped, .stoppedAtCommit: victim.send(SIGSTOP)
        case .killed: victim.kill()
        case .silent: proxy.silence()
        }
        let end = try await progress.watching { try await other.result() }
        #expect(end.status == 0, "\(name.rawValue): \(end.error)")
        let taken = ContinuousClock.now - start

        // The next run takes over from the one that is still stopped.
        let next = try await progress.watching {
            try await TidemarkProcess.run(place.arguments(0), environment: ["DATABASE_URL": database.url])
        }
        #expect(next.status == 0, "\(name.rawValue): \(next.error)")
        let sessions = try await connection.rows("select name, status from tidemark.processes where sessions > 0")
        #expect(sessions.isEmpty, name)
        victim.send(SIGCONT)
        proxy.cut(refusing: false)
        proxy.speak()
        let woken = try await victim.result()
        // Unless it was over before the stroke.
        if woken.status != 0, stroke != .killed {
            #expect(woken.status == 1 && woken.error.contains("lease_ttl"), "\(name.rawValue): \(woken.error)")
        }
        #expect(progress.movedBack.isEmpty, "\(name.rawValue): \(progress.movedBack)")
        #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == place.expected, name)
        let counted = try await connection.rows(
            "select sum(messages), sum(applied + late + duplicate) from tidemark_internal.counters"
        )
        // Where it was over before the stroke, the next run is a pass of its own over the same file.
        let messages = place.messages + (woken.status == 0 ? place.firstMessages : 0)
        #expect(counted == [["\(messages)", "\(messages)"]], name)
        await connection.close()
        return taken
    }
}

/// Looks at the stored progress again and again.
final class ProgressWatch {
    let connection: Connection
    private var furthest: [[String]: String] = [:]
    private(set) var movedBack: [String] = []

    init(_ connection: Connection) { self.connection = connection }

    func streams() async throws -> Int {
        try await self.look()
        return Set(self.furthest.keys.map { $0[1] }).count
    }

    func look() async throws {
        let rows = try await self.connection.rows(
            """
            select pass_id, stream_id, lanes, lane, encode("offset", 'hex') from tidemark_internal.progress
            union all
            select pass_id, stream_id, 0, 0, encode("offset", 'hex') from tidemark_internal.leases
            where "offset" > tidemark_internal.stream_offset(0, 0, 0)
            """
        )
        for row in rows {
            let key = Array(row.prefix(4))
            if let before = self.furthest[key], before > row[4] { self.movedBack.append("\(key): \(before) \(row[4])") }
            self.furthest[key] = row[4]
        }
    }

    func watching(_ body: @escaping @Sendable () async throws -> TidemarkProcess.Result) async throws
        -> TidemarkProcess.Result
    {
        let done = Atomic(false)
        let task = Task {
            defer { done.store(true, ordering: .releasing) }
            return try await body()
        }
        while !done.load(ordering: .acquiring) {
            try await self.look()
        }
        return try await task.value
    }
}
