import Foundation
import LibPQ
import Synchronization
import Testing
import TidemarkPostgres
import TidemarkService
import TidemarkTesting

/// The connection is lost at each database call of a replay in turn, once before the call and once after it took
/// effect: rows, counters and outbox end as if nothing had happened.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct FaultTests {
    /// Strikes once, at the nth call.
    private final class Strike: Sendable {
        private let calls = Mutex((before: 0, after: 0))
        private let place: Int?
        private let moment: CommandFaults.Moment

        init(at place: Int?, _ moment: CommandFaults.Moment) {
            self.place = place
            self.moment = moment
        }

        var count: Int { self.calls.withLock { $0.before } }

        var faults: CommandFaults {
            CommandFaults { moment in
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
        var digest: ReadModelDigest
        var summary: ReplaySummary
    }

    /// - Returns: how it ended, and how many calls it took.
    private func replayStruck(
        _ log: URL,
        at place: Int?,
        _ moment: CommandFaults.Moment,
        on observer: Connection,
        _ database: TestDatabase
    ) async throws -> (ending: Ending, calls: Int) {
        let strike = Strike(at: place, moment)
        var options = ConnectionOptions(database.url, applicationName: "tidemark replay")
        options.faults = strike.faults
        while true {
            do {
                let connection = try await Connection.connect(options)
                let outcome = try await replay(Shop.projection, [log], on: connection, database) { request in
                    request.configuration.lanes = 2
                    request.configuration.limits.batchEvents = 9
                    request.options = options
                    request.databaseWait = .seconds(10)
                }
                await connection.close()
                #expect(outcome.ending == .finished)
                var summary = outcome.summary
                summary.elapsedSeconds = 0
                summary.isResumed = false
                let digest = try await ReadModelDigest(table: "orders", key: "id", includesArrival: true, on: observer)
                return (Ending(digest: digest, summary: summary), strike.count)
            } catch let error as PostgresError {
                // A replay may end when its own connection is lost. Started again, it goes on.
                try #require(error.isConnectionLoss && place != nil, "\(error)")
            }
        }
    }

    @Test
    func aConnectionLostAtAnyCallChangesNothing() async throws {
        let generator = SeededGenerator.forTest("faults")
        let database = TestDatabase.current
        let observer = try await database.connect()
        _ = try await Migrator.migrate(observer)
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            _ = try GeneratedLog(
                orders: 12,
                seed: generator.seed,
                arrival: .windowShuffled(30),
                repeatedPercent: 10
            ).write(to: log.path)
            let (undisturbed, calls) = try await self.replayStruck(log, at: nil, .before, on: observer, database)
            try #require(calls > 20)
            _ = try await ProjectionRegistry.drop("orders", on: observer)
            for place in 1...calls {
                for moment in [CommandFaults.Moment.before, .after] {
                    let (ending, _) = try await self.replayStruck(log, at: place, moment, on: observer, database)
                    #expect(ending == undisturbed, "seed \(generator.seed), call \(place), \(moment)")
                    _ = try await ProjectionRegistry.drop("orders", on: observer)
                }
            }
            print("faults: \(2 * calls) strikes at \(calls) calls")
        }
        await observer.close()
    }
}
