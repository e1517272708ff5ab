import LibPQ
import Synchronization
import Testing
import TidemarkStore

/// A step that fails by a script, and counts its calls.
private final class Script: Sendable {
    private let state: Mutex<(errors: [PostgresError], count: Int)>

    init(_ errors: [PostgresError]) { self.state = Mutex((errors, 0)) }

    var count: Int { self.state.withLock { $0.count } }

    func run() throws -> String {
        let error = self.state.withLock { state in
            defer { state.count += 1 }
            return state.count < state.errors.count ? state.errors[state.count] : nil
        }
        if let error { throw error }
        return "done"
    }
}

/// Which failures are retried, and for how long.
@Suite(.timeLimit(.minutes(1)))
struct DatabaseRetryTests {
    private static let lost = PostgresError(.connectionLost, "server closed the connection")

    /// Lost connections, deadlock, serialization, too many connections, shutdown.
    @Test(arguments: [
        Self.lost, PostgresError(.connectionFailed, "refused"),
        PostgresError(.serverError, sqlState: "40P01", "deadlock"),
        PostgresError(.serverError, sqlState: "40001", "serialization"),
        PostgresError(.serverError, sqlState: "53300", "too many connections"),
        PostgresError(.serverError, sqlState: "57P01", "shutdown"),
    ])
    func whatMayPassIsTriedAgain(_ error: PostgresError) async throws {
        let script = Script([error])
        #expect(try await DatabaseRetry(wait: nil).perform { try script.run() } == "done")
        #expect(script.count == 2)
    }

    /// A refused value, a key that is there, a missing table, a wrong password, a protocol that is not understood.
    @Test(arguments: ["22001", "23505", "42P01", "28P01", "08P01", "TM001"])
    func whatStaysIsNot(_ sqlState: String) async {
        let script = Script([PostgresError(.serverError, sqlState: sqlState, "refused"), Self.lost])
        let error = await #expect(throws: PostgresError.self) {
            try await DatabaseRetry(wait: nil).perform { try script.run() }
        }
        #expect(error?.sqlState == sqlState)
        #expect(script.count == 1)
    }

    @Test func aFailureThatIsNoneOfTheDatabaseIsNotTriedAgain() async {
        let count = Mutex(0)
        let error = await #expect(throws: StoreError.self) {
            try await DatabaseRetry(wait: nil).perform {
                let isFirst = count.withLock { count in
                    count += 1
                    return count == 1
                }
                if isFirst { throw StoreError(.failed, "progress was moved") }
            }
        }
        #expect(error?.description == "progress was moved")
        #expect(count.withLock { $0 } == 1)
    }

    @Test func aCallerMaySayOtherwiseWhatIsWorthIt() async throws {
        let script = Script([PostgresError(.serverError, sqlState: "42P01", "no table")])
        let retry = DatabaseRetry(wait: nil) { $0.sqlState == "42P01" }
        #expect(try await retry.perform { try script.run() } == "done")
        let other = Script([Self.lost])
        await #expect(throws: PostgresError.self) { try await retry.perform { try other.run() } }
        #expect(other.count == 1)
    }

    @Test func onceTheWaitIsOverTheLastFailureIsThrown() async {
        let script = Script([Self.lost, PostgresError(.connectionFailed, "the last")])
        let once = await #expect(throws: PostgresError.self) {
            try await DatabaseRetry(wait: .zero).perform { try script.run() }
        }
        #expect(once?.code == .connectionLost)
        #expect(script.count == 1)

        // It ends with the last failure, however long that takes.
        let count = Mutex(0)
        let last = await #expect(throws: PostgresError.self) {
            try await DatabaseRetry(wait: .milliseconds(1)).perform {
                let number = count.withLock { count in
                    count += 1
                    return count
                }
                throw PostgresError(.connectionLost, "\(number)")
            }
        }
        #expect(last?.message == "\(count.withLock { $0 })")
        #expect(count.withLock { $0 } >= 1)
    }

    /// A connection or a statement of a cancelled task is cancelled. A statement that its own time limit ends is not.
    @Test func aStepThatCancellationEndsIsCancelled() async {
        let (isCancelled, cancelled) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            for await _ in isCancelled {}
            try await DatabaseRetry(wait: nil).perform { throw PostgresError(.cancelled, "connecting was cancelled") }
        }
        task.cancel()
        cancelled.finish()
        await #expect(throws: CancellationError.self) { try await task.value }
        await #expect(throws: PostgresError.self) {
            try await DatabaseRetry(wait: nil).perform { throw PostgresError(.cancelled, "a time limit") }
        }
    }

    @Test func cancellationEndsTheWait() async {
        let isWaiting = AsyncStream<Void>.makeStream()
        let script = Script(Array(repeating: Self.lost, count: 100))
        let task = Task {
            try await DatabaseRetry(wait: nil).perform {
                isWaiting.continuation.yield()
                return try script.run()
            }
        }
        for await _ in isWaiting.stream { break }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func aStepWhoseAnswerWasLostIsNotDoneAgainWhereItsResultIsFound() async throws {
        let script = Script([Self.lost, Self.lost])
        let result = try await DatabaseRetry(wait: nil).perform(unless: { "found" }, { try script.run() })
        #expect(result == "found")
        #expect(script.count == 1)
    }

    @Test func aSearchThatFailsLeavesItToTheNextAttempt() async throws {
        let script = Script([Self.lost])
        let result = try await DatabaseRetry(wait: nil).perform(unless: { throw Self.lost }, { try script.run() })
        #expect(result == "done")
        #expect(script.count == 2)
        // Any other failure is thrown to the caller: another process may have written.
        let other = Script([Self.lost])
        await #expect(throws: StoreError.self) {
            try await DatabaseRetry(wait: nil).perform(
                unless: { throw StoreError(.failed, "moved") },
                { try other.run() }
            )
        }
    }

    @Test func delaysGrowToTenSecondsWithChanceInThem() throws {
        var backoff = Backoff(limit: nil)
        var ceiling = 50
        for _ in 1...12 {
            ceiling = min(10_000, ceiling * 2)
            let next = backoff.next()
            let delay = try #require(next)
            #expect(delay >= .milliseconds(ceiling / 2) && delay <= .milliseconds(ceiling), "\(delay)")
        }
        var over = Backoff(limit: .zero)
        let next = over.next()
        #expect(next == nil)
    }
}
