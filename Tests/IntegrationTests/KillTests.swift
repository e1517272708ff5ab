import Foundation
import LibPQ
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// `kill -9` at random moments during one replay: rows and counters end as if nothing had happened.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(15)))
struct KillTests {
    /// What is replayed, and what it must come to.
    private struct Subject {
        var log: URL
        var configuration: String
        var key: String
        var entities: Int
        var shipped: Int
        var historyRows: Int
    }

    /// A replay that is killed and gone on with until it is over.
    private struct Victim {
        var arguments: [String]
        var database: TestDatabase
        var connection: Connection
        var proxy: HoldingProxy

        /// Where every lane stands, as one text: it changes with every commit.
        func checkpoints() async throws -> String {
            guard try await self.connection.value("select to_regclass('tidemark.progress')") != "∅" else {
                return ""
            }
            return try await self.connection.value(
                """
                select coalesce(string_agg(concat_ws(',', stream, lane, "offset", "row", is_at_end), ';'
                    order by stream, lane), '')
                from tidemark.progress
                """
            )
        }

        /// There is something left to commit.
        func isUnfinished() async throws -> Bool {
            try await self.connection.number(
                "select count(*) from tidemark.progress where not is_at_end"
            ) > 0
        }

        /// The server notices the death of a client only at its next word: a commit on its way may still happen.
        func untilServerHasNoticed() async throws {
            let pid = self.connection.backendPID
            while try await self.connection.number(
                "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> \(pid)"
            ) > 0 { try Task.checkCancellation() }
        }

        /// Through the proxy it makes few commits at most, half of them to set out: however late the test looks at it,
        /// it is not over.
        func start(throughProxy: Bool) throws -> TidemarkProcess {
            let url = throughProxy ? self.proxy.address.replacing(in: self.database.url) : self.database.url
            if throughProxy { self.proxy.holdCommits(after: 12) }
            return try TidemarkProcess(self.arguments, environment: ["DATABASE_URL": url]) { [proxy] in proxy.poke() }
        }

        /// Waits for a commit of this run.
        /// - Returns: `false` when the process has ended first.
        func untilCommit(of process: TidemarkProcess, since before: String) async throws -> Bool {
            while !process.isOver {
                if try await self.checkpoints() != before { return true }
                try Task.checkCancellation()
            }
            return false
        }
    }

    private static var kills: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_KILLS"].flatMap { Int($0) } ?? 15
    }

    @Test
    func aGeneratedLogKilledAgainAndAgainEndsAsIfNothingHadHappened() async throws {
        var generator = SeededGenerator.forTest("kills")
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            let totals = try GeneratedLog(
                seed: generator.next(),
                arrival: .windowShuffled(2000),
                repeatedPercent: 3
            ).write(to: log.path)
            let subject = Subject(
                log: log,
                configuration: Shop.projection,
                key: "id",
                entities: totals.entities,
                shipped: totals.shipped,
                historyRows: totals.historyRows
            )
            try await self.prove(subject, in: folder, &generator)
        }
    }

    @Test(.enabled(if: sharedFile("data/olist.maxwell.ndjson.gz") != nil, "the Olist log is not beside the project"))
    func theOlistLogKilledAgainAndAgainEndsAsIfNothingHadHappened() async throws {
        var generator = SeededGenerator.forTest("kills (Olist)")
        let log = try #require(sharedFile("data/olist.maxwell.ndjson.gz"))
        try await withFolder { folder in
            let subject = Subject(
                log: log,
                configuration: Shop.olist,
                key: "order_id",
                entities: 9999,
                shipped: 9835,
                historyRows: 39_719
            )
            try await self.prove(subject, in: folder, &generator)
        }
    }

    private func prove(_ subject: Subject, in folder: URL, _ generator: inout SeededGenerator) async throws {
        let configuration = folder.appendingPathComponent("tidemark.yaml")
        try Data(subject.configuration.utf8).write(to: configuration)
        let arguments = [
            "replay", "--config", configuration.path, "--batch-events", "50", "--lanes", "4", "--no-deliver", "--json",
            subject.log.path,
        ]
        // One replay that nobody disturbs.
        let database = TestDatabase.current
        let calm = try await TidemarkProcess.run(arguments, environment: ["DATABASE_URL": database.url])
        try #require(calm.status == 0, "\(calm.error)")
        let expected = try await Self.outcome(of: calm, subject, database)
        #expect(expected.summary["entities"] == "\(subject.entities)")
        #expect(expected.digest.relations["history"]?.hasPrefix("\(subject.historyRows) rows") == true)
        #expect(expected.digest.relations["milestones"]?.hasPrefix("\(subject.shipped) rows") == true)
        #expect(expected.digest.relations["deliveries"]?.hasPrefix("\(subject.shipped) rows") == true)

        // The same, killed.
        try await TestDatabase.with {
            let database = TestDatabase.current
            let connection = try await database.connect("tests (observer)")
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: database.url))
            defer { proxy.close() }
            let victim = Victim(arguments: arguments, database: database, connection: connection, proxy: proxy)
            let start = ContinuousClock.now
            let atCommit = try await Self.killRepeatedly(victim, &generator)
            let last = try await victim.start(throughProxy: false).result()
            try #require(last.status == 0, "\(last.error)")
            print("\(Self.kills) kills, \(atCommit) between COMMIT and its answer, in \(ContinuousClock.now - start)")
            #expect(atCommit >= Self.kills / 5)
            let actual = try await Self.outcome(of: last, subject, database)
            #expect(try last.json()["resumed"] as? Bool == true)
            #expect(actual.digest == expected.digest)
            #expect(actual.summary == expected.summary)
            #expect(actual.counters == expected.counters)
            let twice = try await connection.number(
                "select count(*) from (select key from tidemark.deliveries group by key having count(*) <> 1) as x"
            )
            #expect(twice == 0, "a \"shipped\" is in the outbox twice")
            await connection.close()
        }
    }

    /// - Returns: how many kills withFaults between COMMIT and its answer.
    private static func killRepeatedly(_ victim: Victim, _ generator: inout SeededGenerator) async throws -> Int {
        var atCommit = 0
        var counted = 0
        while counted < Self.kills {
            let strikesCommit = counted % 5 == 4
            let before = try await victim.checkpoints()
            let process = try victim.start(throughProxy: true)
            guard try await victim.untilCommit(of: process, since: before) else {
                let result = try await process.result()
                Issue.record("the replay was over after \(counted) kills: \(result.status) \(result.error)")
                return atCommit
            }
            var isStruck = false
            if strikesCommit {
                victim.proxy.holdCommits()
                // From here on the server has committed what the process does not know of.
                isStruck = await victim.proxy.untilCommitIsHeld(orUntil: { process.isOver })
            } else {
                // A moment, not a wait for anything.
                try await Task.sleep(for: .microseconds(Int.random(in: 0...4000, using: &generator)))
            }
            process.kill()
            let result = try await process.result()
            victim.proxy.cut(refusing: false)
            try await victim.untilServerHasNoticed()
            guard result.signal == SIGKILL, try await victim.isUnfinished() else {
                Issue.record("the replay was over after \(counted) kills: \(result.status) \(result.error)")
                return atCommit
            }
            guard !strikesCommit || isStruck else { continue }
            counted += 1
            if isStruck { atCommit += 1 }
        }
        return atCommit
    }

    private struct Outcome {
        var digest: ReadModelDigest
        var summary: [String: String]
        var counters: [[String]]
    }

    private static func outcome(
        of result: TidemarkProcess.Result,
        _ subject: Subject,
        _ database: TestDatabase
    ) async throws -> Outcome {
        let connection = try await database.connect()
        var summary = try result.json()
        for name in ["elapsed_seconds", "events_per_second", "resumed"] { summary[name] = nil }
        let outcome = Outcome(
            digest: try await ReadModelDigest(
                table: "orders",
                key: subject.key,
                includesArrival: true,
                on: connection
            ),
            summary: summary.mapValues { "\($0)" },
            counters: try await connection.rows(
                "select lane, projection, messages, control, filtered, dead_letters, applied, late, duplicate, conflicts, "
                    + "entities from tidemark.counters order by lane, projection"
            )
        )
        await connection.close()
        return outcome
    }

    // MARK: A database that goes away

    @Test
    func aLostAnswerToACommitAndAServerThatIsAwayForAWhileChangeNothing() async throws {
        var generator = SeededGenerator.forTest("lost answers")
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            let totals = try GeneratedLog(
                orders: 1500,
                seed: generator.next(),
                arrival: .windowShuffled(500),
                repeatedPercent: 5
            ).write(to: log.path)
            let configuration = folder.appendingPathComponent("tidemark.yaml")
            try Data(Shop.projection.utf8).write(to: configuration)
            let database = TestDatabase.current
            let connection = try await database.connect("tests (observer)")
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: database.url))
            defer { proxy.close() }
            let victim = Victim(
                arguments: [
                    "replay", "--config", configuration.path, "--batch-events", "20", "--lanes", "2", "--no-deliver",
                    "--json", log.path,
                ],
                database: database,
                connection: connection,
                proxy: proxy
            )
            let process = try victim.start(throughProxy: true)
            for cut in 1...3 {
                guard await proxy.untilCommitIsHeld(orUntil: { process.isOver }) else {
                    let result = try await process.result()
                    Issue.record("the replay was over before cut \(cut): \(result.status) \(result.error)")
                    return
                }
                proxy.cut(refusing: true)
                await proxy.untilRefused(4, orUntil: { process.isOver })
                if cut < 3 { proxy.holdCommits(after: Int.random(in: 0...20, using: &generator)) }
                proxy.accept()
            }
            let result = try await process.result()
            #expect(result.status == 0, "\(result.error)")
            guard result.status == 0 else { return }
            let summary = try result.json()
            #expect(summary["messages"] as? Int == totals.lines)
            #expect(summary["events"] as? Int == totals.lines)
            #expect(summary["entities"] as? Int == totals.entities)
            #expect((summary["milestones"] as? [String: Int])?["shipped"] == totals.shipped)
            #expect(try await connection.number("select count(*) from orders_history") == totals.historyRows)
            #expect(try await connection.number("select count(*) from tidemark.deliveries") == totals.shipped)
            await connection.close()
        }
    }

    @Test
    func aReplayKilledBehindItsLastCommitIsEndedAndNotReadAgain() async throws {
        var generator = SeededGenerator.forTest("killed at the end")
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            let totals = try GeneratedLog(orders: 50, seed: generator.next()).write(to: log.path)
            let database = TestDatabase.current
            let connection = try await database.connect()
            _ = try await Migrator.migrate(connection)
            let first = try await replay(Shop.projection, [log], on: connection, database)
            #expect(first.summary.messages == Int64(totals.lines))
            // What the last transaction of a replay leaves undone when the process dies before it.
            try await connection.execute(
                "update tidemark_internal.passes set finished_at = null, run_started_at = now()"
            )
            let second = try await replay(Shop.projection, [log], on: connection, database)
            #expect(second.ending == .finished)
            #expect(second.summary.messages == first.summary.messages)
            #expect(second.summary.applied == first.summary.applied)
            #expect(second.summary.duplicate == 0)
            #expect(second.summary.isResumed)
            // Once it has ended, naming the file again reads it again.
            let third = try await replay(Shop.projection, [log], on: connection, database)
            #expect(third.summary.duplicate == first.summary.applied)
            #expect(!third.summary.isResumed)
            await connection.close()
        }
    }
}
