import Foundation
import LibPQ
import Logging
import Synchronization
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// The connection is lost at each database call of a replay in turn, once before the call and once after it took
/// effect: rows, counters and outbox end as if nothing had happened.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct FaultTests {
    /// Strikes once, at the nth call.
    private final class Strike: Sendable {
        private let calls = Mutex((before: 0, after: 0))
        private let place: Int?
        private let moment: FaultInjector.Moment

        init(at place: Int?, _ moment: FaultInjector.Moment) {
            self.place = place
            self.moment = moment
        }

        var count: Int { self.calls.withLock { $0.before } }

        var faults: FaultInjector {
            FaultInjector { moment in
                let number = self.calls.withLock { calls in
                    switch moment {
                    case .before:
                        calls.before += 1
                        return calls.before
                    case .after:
                        calls.after += 1
                        return calls.after
                    }
                }
                return moment == self.moment && number == self.place
            }
        }
    }

    private struct Ending: Equatable {
        var relations: PublicRelations
        var summary: PassSummary
    }

    /// - Returns: how it ended, and how many calls it took.
    private func replayStruck(
        _ subject: FaultSubject,
        at place: Int?,
        _ moment: FaultInjector.Moment,
        on observer: Connection,
        _ database: TestDatabase
    ) async throws -> (ending: Ending, calls: Int) {
        let strike = Strike(at: place, moment)
        var options = ConnectionOptions(database.url, applicationName: "tidemark replay")
        options.faults = strike.faults
        while true {
            do {
                let connection = try await Connection.connect(options)
                let outcome = try await replay(subject.yaml, subject.files, on: connection, database) { request in
                    request.configuration.lanes = 2
                    request.configuration.limits.batchEvents = 9
                    request.configuration.limits.maxDeadLetters = .fraction(1)
                    request.options = options
                    request.databaseWait = .seconds(10)
                }
                await connection.close()
                #expect(outcome.ending == .finished)
                var summary = outcome.summary
                summary.elapsedSeconds = 0
                summary.isResumed = false
                return (Ending(relations: try await PublicRelations(on: observer), summary: summary), strike.count)
            } catch let error as PostgresError {
                // A replay may end when its own connection is lost. Started again, it resumes.
                try #require(error.isConnectionLoss && place != nil, "\(error)")
            }
        }
    }

    private func strikeEachCall(
        _ subject: FaultSubject,
        _ name: Comment,
        moments: [FaultInjector.Moment] = [.before, .after],
        seed: UInt64,
        on observer: Connection,
        clear: () async throws -> Void
    ) async throws -> Ending {
        let database = TestDatabase.current
        let (undisturbed, calls) = try await self.replayStruck(subject, at: nil, .before, on: observer, database)
        try #require(calls > 20)
        try await clear()
        // Every second call, from another one with each seed; all of them with TIDEMARK_TEST_FAULT_STEP=1.
        let step = ProcessInfo.processInfo.environment["TIDEMARK_TEST_FAULT_STEP"].flatMap { Int($0) } ?? 2
        let places = Array(stride(from: 1 + Int(seed % UInt64(step)), through: calls, by: step))
        for place in places {
            for moment in moments {
                let (ending, _) = try await self.replayStruck(subject, at: place, moment, on: observer, database)
                #expect(ending == undisturbed, "\(name), call \(place), \(moment)")
                try await clear()
            }
        }
        print("faults: \(moments.count * places.count) at \(places.count) of \(calls) calls")
        return undisturbed
    }

    @Test
    func aConnectionLostAtAnyCallChangesNothing() async throws {
        let generator = SeededGenerator.forTest("faults")
        let observer = try await TestDatabase.current.connect()
        _ = try await Migrator.migrate(observer)
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            _ = try GeneratedLog(
                orders: 12,
                seed: generator.seed,
                arrival: .windowShuffled(30),
                repeatedPercent: 10
            ).write(to: log.path)
            let subject = FaultSubject(yaml: Shop.projection, files: [log])
            _ = try await self.strikeEachCall(subject, "seed \(generator.seed)", seed: generator.seed, on: observer) {
                _ = try await ProjectionRegistry.drop("orders", on: observer)
                try await FaultSubject.clear(observer)
            }
        }
        await observer.close()
    }

    enum FinerKind: Sendable {
        case alone
        /// The database refuses some of the rows.
        case refusing
        /// Another process writes the projections too.
        case shared
    }

    private static func anotherWriter() async throws -> ProcessSession {
        let options = ConnectionOptions(TestDatabase.current.url, applicationName: "another writer")
        let process = try await ProcessSession.join(
            try await Connection.connect(options),
            .init(
                options,
                projections: ["by_position", "whole", "counted", "lean"],
                leaseTTL: .seconds(3600),
                logger: Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }
            )
        )
        try await process.enter(on: process.held(wait: .zero))
        return process
    }

    /// Truncates that delete, partial images, versions and tags: what a lane keeps in memory of a batch has to be the
    /// same, whichever call told that it was committed.
    @Test(arguments: [FinerKind.alone, .refusing, .shared])
    func aConnectionLostAtAnyCallOfAFinerHistoryChangesNothing(_ kind: FinerKind) async throws {
        var generator = SeededGenerator.forTest("finer faults")
        let refusesRows = kind == .refusing
        let observer = try await TestDatabase.current.connect()
        _ = try await Migrator.migrate(observer)
        try await withFolder { folder in
            let subject = try FaultSubject.finer(in: folder, histories: refusesRows ? 2 : 3, &generator)
            try await FaultSubject.prepare(subject, refusesRows: refusesRows, on: observer)
            let other = kind == .shared ? try await Self.anotherWriter() : nil
            let name: Comment = "seed \(generator.seed), \(kind)"
            let moments: [FaultInjector.Moment] = kind == .alone ? [.before, .after] : [.after]
            let ending = try await self.strikeEachCall(
                subject,
                name,
                moments: moments,
                seed: generator.seed,
                on: observer
            ) {
                try await FaultSubject.clear(observer)
            }
            #expect(ending.summary.control > 0, "there is no truncate in the history")
            await other?.leave()
        }
        await observer.close()
    }
}
