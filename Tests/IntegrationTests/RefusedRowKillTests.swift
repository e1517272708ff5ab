import Foundation
import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// `kill -9` between the parts of a batch that was split because the database refused one of its rows: the run that
/// resumes there reads with the right line numbers, which decide the lane that accounts for a message.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct RefusedRowKillTests {
    @Test
    func aKillBehindAnyCommitOfASplitBatchChangesNothing() async throws {
        var generator = SeededGenerator.forTest("killed between halves")
        let database = TestDatabase.current
        let observer = try await database.connect("tests (observer)")
        _ = try await Migrator.migrate(observer)
        try await withFolder { folder in
            let subject = try FaultSubject.finer(in: folder, histories: 6, &generator)
            try await FaultSubject.prepare(subject, refusesRows: true, on: observer)
            let configuration = folder.appendingPathComponent("tidemark.yaml")
            try Data((subject.yaml + "limits: { max_dead_letters: 100% }\n").utf8).write(to: configuration)
            let arguments =
                [
                    "replay", "--config", configuration.path, "--lanes", "3", "--batch-events", "30", "--no-deliver",
                    "--json",
                ]
                + subject.files.map(\.path)
            func finish() async throws -> (PublicRelations, [String: String]) {
                let result = try await TidemarkProcess.run(arguments, environment: ["DATABASE_URL": database.url])
                try #require(result.status == 0, "\(result.error)")
                var summary = try result.json()
                for name in ["elapsed_seconds", "events_per_second", "resumed"] { summary[name] = nil }
                let relations = try await PublicRelations(on: observer)
                try await FaultSubject.clear(observer)
                return (relations, summary.mapValues { "\($0)" })
            }
            let undisturbed = try await finish()
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: database.url))
            defer { proxy.close() }
            var kills = 0
            while true {
                proxy.holdCommits(after: kills)
                let process = try TidemarkProcess(
                    arguments,
                    environment: ["DATABASE_URL": proxy.address.replacing(in: database.url)]
                ) { proxy.poke() }
                let isHeld = await proxy.untilCommitIsHeld(orUntil: { process.isOver })
                process.kill()
                _ = try await process.result()
                proxy.cut(refusing: false)
                guard isHeld else { break }
                try await Self.untilServerHasNoticed(observer)
                let (relations, summary) = try await finish()
                #expect(relations == undisturbed.0, "seed \(generator.seed), commit \(kills)")
                #expect(summary == undisturbed.1, "seed \(generator.seed), commit \(kills)")
                kills += 1
            }
            print("killed behind each of \(kills) commits")
            #expect(kills > 10)
        }
        await observer.close()
    }

    /// The server notices the death of a client only at its next word.
    private static func untilServerHasNoticed(_ observer: Connection) async throws {
        let pid = observer.backendPID
        while try await observer.number(
            """
            select count(*) from pg_stat_activity
            where datname = current_database() and backend_type = 'client backend' and pid <> \(pid)
            """
        ) > 0 { try Task.checkCancellation() }
    }
}
