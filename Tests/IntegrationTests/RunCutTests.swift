import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// A service under load whose connections are cut at random, one at a time. `make prove-run` cuts more.
@Suite(.freshDatabase, .timeLimit(.minutes(30)))
struct RunCutTests {
    private static var cuts: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_CUTS"].flatMap { Int($0) } ?? 25
    }

    @Test func connectionsThatAreCutLoseNothing() async throws {
        var generator = SeededGenerator.forTest("cuts")
        let cuts = Self.cuts
        try await withFolder { folder in
            let logs = try FollowedLogs(folder)
            let lines = try orderLines(50 * cuts, seed: generator.next(), in: folder)
            let connection = try await TestDatabase.current.connect()
            _ = try await Migrator.migrate(connection)
            let progress = ProgressWatch(connection)
            let service = try logs.run(TestDatabase.current.url)
            var done = 0
            for cut in 1...cuts {
                let next = cut * lines.count / cuts
                try logs.append(lines[done..<next], to: "file-\(Int.random(in: 0..<4, using: &generator))")
                let name: Comment = "seed \(generator.seed), cut \(cut)"
                try await wait("a connection to cut, \(name.rawValue)") {
                    try await connection.value(Self.cutOne(Double.random(in: 0..<1, using: &generator))) == "t"
                }
                try await wait("something of what was written, \(name.rawValue)") {
                    try await progress.look()
                    return try await counted(on: connection) > done
                }
                done = next
            }
            let name: Comment = "seed \(generator.seed)"
            try await wait("all lines, \(name.rawValue)") { try await counted(on: connection) >= lines.count }
            service.send(SIGTERM)
            let end = try await service.result()
            #expect(end.status == 0, "\(name.rawValue): \(end.error)")
            #expect(try await counted(on: connection) == lines.count, name)
            #expect(try await counted("applied + late + duplicate", on: connection) == lines.count, name)
            #expect(progress.movedBack.isEmpty, "\(name.rawValue): \(progress.movedBack)")
            #expect(try await ReadModelDigest(table: "orders", key: "id", on: connection) == logs.replayed(), name)
            #expect(try await deliveriesTwice(on: connection) == 0, name)
            await connection.close()
        }
    }

    /// Ends one of the service's sessions, whatever it is doing.
    /// - Parameter place: which of them, from 0 to 1.
    private static func cutOne(_ place: Double) -> String {
        """
        select coalesce(bool_or(pg_terminate_backend(pid)), false)
        from (
            select pid, row_number() over (order by pid) as number, count(*) over () as count from pg_stat_activity
            where datname = current_database() and application_name like 'tidemark run %'
        ) as session
        where number = 1 + floor(\(place) * count)
        """
    }
}

/// How many milestones are in the outbox more than once.
func deliveriesTwice(on connection: Connection) async throws -> Int {
    Int(
        try await connection.value(
            """
            select count(*) from (
                select from tidemark.deliveries group by projection, key, milestone, notifier having count(*) > 1
            ) as twice
            """
        )
    ) ?? -1
}
