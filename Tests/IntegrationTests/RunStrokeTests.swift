import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// Two processes follow one set of files, which are rotated meanwhile; one of them is killed, stopped for longer than its
/// lease, or ended and started again. `make prove-run` runs more rounds.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(60)))
struct RunStrokeTests {
    private enum Stroke: CaseIterable {
        case killed, paused, ended
    }

    private static var rounds: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_RUN_ROUNDS"].flatMap { Int($0) } ?? 3
    }

    private static let files = 16

    @Test func strokesAndRotationsChangeNothing() async throws {
        var generator = SeededGenerator.forTest("run strokes")
        let rounds = Self.rounds
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(120 * rounds, seed: generator.next(), in: folder)
            let connection = try await TestDatabase.current.connect()
            _ = try await Migrator.migrate(connection)
            let progress = ProgressWatch(connection)
            var processes = [try logs.run(TestDatabase.current.url), try logs.run(TestDatabase.current.url)]
            var done = 0
            for round in 0..<rounds {
                let stroke = Stroke.allCases[round % Stroke.allCases.count]
                let victim = Int.random(in: 0..<2, using: &generator)
                let end = (round + 1) * lines.count / rounds
                for part in Self.parts(of: lines[done..<end], &generator) {
                    let file = "file-\(Int.random(in: 0..<Self.files, using: &generator))"
                    try logs.append(part, to: file)
                    guard Int.random(in: 0..<8, using: &generator) == 0 else { continue }
                    try logs.rotate(file, FollowedLogs.Rotation.allCases.randomElement(using: &generator) ?? .rename)
                }
                done = end
                processes[victim] = try await Self.strike(stroke, processes[victim], logs, progress)
                try await progress.look()
            }
            let name: Comment = "seed \(generator.seed)"
            try await wait("all lines, \(name.rawValue)") {
                try await progress.look()
                return try await counted(on: connection) >= lines.count
            }
            for process in processes {
                process.send(SIGTERM)
                let result = try await process.result()
                #expect(result.status == 0, "\(name.rawValue): \(result.error)")
            }
            let messages = try await counted(on: connection)
            let streams = messages == lines.count ? "" : try await Self.streams(on: connection)
            #expect(messages == lines.count, "\(name.rawValue): \(streams)")
            #expect(try await counted("applied + late + duplicate", on: connection) == lines.count, name)
            #expect(progress.movedBack.isEmpty, "\(name.rawValue): \(progress.movedBack)")
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed(), name)
            let held = try await connection.value("select count(*) from tidemark.processes where sessions > 0")
            #expect(held == "0", name)
            await connection.close()
        }
    }

    /// The streams and how far each was read, for a failure.
    private static func streams(on connection: Connection) async throws -> String {
        try await connection.rows(
            """
            select stream.id, stream.name, stream.incarnation, stream.hint, lease.message_ordinal - 1, lease.is_at_end
            from tidemark_internal.leases as lease
            join tidemark_internal.streams as stream on stream.id = lease.stream_id
            order by stream.id
            """
        ).map { $0.joined(separator: " ") }.joined(separator: "\n")
    }

    private static func parts(
        of lines: ArraySlice<String>,
        _ generator: inout SeededGenerator
    ) -> [ArraySlice<String>] {
        var parts: [ArraySlice<String>] = []
        var rest = lines
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...20, using: &generator))
            parts.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return parts
    }

    /// - Returns: the process that runs in its place.
    private static func strike(
        _ stroke: Stroke,
        _ victim: TidemarkProcess,
        _ logs: FollowedLogs,
        _ progress: ProgressWatch
    ) async throws -> TidemarkProcess {
        switch stroke {
        case .killed:
            victim.kill()
            _ = try await victim.result()
            return try logs.run(TestDatabase.current.url)
        case .paused:
            victim.send(SIGSTOP)
            // Until its sessions are ended, where it has some.
            let name = "pid \(victim.identifier) on"
            try await wait("the sessions of a stopped process", atMost: .seconds(300)) {
                try await progress.look()
                return try await progress.connection.value(
                    """
                    select count(*) from tidemark.processes
                    where name like '%' || '\(name)' || '%' and status <> 'fenced' and status <> 'gone'
                    """
                ) == "0"
            }
            victim.send(SIGCONT)
            return victim
        case .ended:
            // Before that SIGTERM ends it as it ends any program.
            try await wait("a process that has just been started") { try victim.errorSoFar().contains("running") }
            victim.send(SIGTERM)
            let result = try await victim.result()
            #expect(result.status == 0, "\(result.error)")
            return try logs.run(TestDatabase.current.url)
        }
    }
}
