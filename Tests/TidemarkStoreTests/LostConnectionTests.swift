import LibPQ
import Synchronization
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// A batch whose connection is lost in the middle of a commit is written once.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct LostConnectionTests {
    private static func withProxy(_ body: (HoldingProxy, ConnectionOptions) async throws -> Void) async throws {
        let url = TestDatabase.current.url
        let proxy = try HoldingProxy(to: ServerAddress(conninfo: url))
        defer { proxy.close() }
        try await body(proxy, ConnectionOptions(proxy.address.replacing(in: url)))
    }

    /// The rows that every loss of a connection must leave.
    private static func expectBothBatchesOnce(_ bench: StoreBench) async throws {
        #expect(
            try await bench.connection.rows("select id, version, status from orders order by id") == [
                ["1", "2", "shipped"], ["2", "1", "paid"],
            ]
        )
        #expect(try await bench.counts() == ["4", "3", "0", "0", "1", "2"])
        #expect(try await bench.connection.number("select count(*) from tidemark_internal.orders_events") == 3)
        #expect(
            try await bench.connection.rows("select milestone, reached from tidemark_internal.milestone_counters") == [
                ["shipped", "1"]
            ]
        )
        #expect(try await bench.connection.rows("select count from tidemark_internal.dead_letters") == [["1"]])
        #expect(try await bench.progress() == ["\(bench.streams[0].rawValue):1/0=4"])
    }

    private static func first(_ bench: StoreBench) throws -> LaneBatch {
        try bench.batch(Block(bench.streams[0], from: 0, [.order(1, 1), .deadLetter()]))
    }

    private static func second(_ bench: StoreBench) throws -> LaneBatch {
        try bench.batch(Block(bench.streams[0], from: 2, [.order(1, 2, "shipped"), .order(2, 1)]))
    }

    @Test func aCommitWhoseAnswerIsLostIsFoundByItsProgress() async throws {
        let bench = try await StoreBench()
        try await Self.withProxy { proxy, options in
            let lane = try bench.lane(through: options, wait: nil)
            try await lane.commit(try Self.first(bench))
            proxy.holdCommits()
            let batch = try Self.second(bench)
            let isOver = Mutex(false)
            async let cutting = {
                let isHeld = await proxy.untilCommitIsHeld(orUntil: { isOver.withLock { $0 } })
                proxy.cut(refusing: false)
                return isHeld
            }()
            try await lane.commit(batch)
            isOver.withLock { $0 = true }
            proxy.poke()
            #expect(await cutting)
            try await Self.expectBothBatchesOnce(bench)
            await lane.close()
        }
    }

    @Test func aConnectionThatIsTerminatedBetweenBatchesIsReplaced() async throws {
        let bench = try await StoreBench()
        try await Self.withProxy { proxy, options in
            let lane = try bench.lane(through: options, wait: nil)
            try await lane.commit(try Self.first(bench))
            proxy.cut(refusing: false)
            try await lane.commit(try Self.second(bench))
            try await Self.expectBothBatchesOnce(bench)
            await lane.close()
        }
    }

    /// The server ends the session while its transaction waits for a lock, and all that it wrote is undone.
    @Test func aTransactionThatTheServerEndsIsMadeAgain() async throws {
        let bench = try await StoreBench()
        let lane = try bench.lane(
            through: ConnectionOptions(TestDatabase.current.url, applicationName: "victim"),
            wait: nil
        )
        try await lane.commit(try Self.first(bench))
        try await bench.connection.execute(
            """
            create function public.end_session() returns trigger language plpgsql as $$ begin
                -- Once: a sequence keeps its value although the transaction is undone.
                if nextval('public.tries') = 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
                return new;
            end $$;
            create sequence public.tries;
            create trigger end_session before update on tidemark_internal.progress
            for each row execute function public.end_session();
            """
        )
        try await lane.commit(try Self.second(bench))
        #expect(try await bench.connection.number("select last_value from public.tries") == 2)
        try await Self.expectBothBatchesOnce(bench)
        await lane.close()
    }

    @Test func aDatabaseThatStaysAwayEndsTheWait() async throws {
        let bench = try await StoreBench()
        try await Self.withProxy { proxy, options in
            let lane = try bench.lane(through: options, wait: .zero)
            try await lane.commit(try Self.first(bench))
            proxy.cut(refusing: true)
            let error = await #expect(throws: PostgresError.self) { try await lane.commit(try Self.second(bench)) }
            #expect(error?.isConnectionLoss == true)
            // Committed rows stay, and the same lane continues once the server is back.
            proxy.accept()
            try await lane.commit(try Self.second(bench))
            try await Self.expectBothBatchesOnce(bench)
            await lane.close()
        }
    }
}
