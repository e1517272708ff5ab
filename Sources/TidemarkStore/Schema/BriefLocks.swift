import LibPQ

/// Tries changes of relations that readers use. A change that waited for a reader's lock would hold up all readers that
/// come after it. So it waits for a moment, is rolled back, and is tried again a little later.
struct BriefLocks {
    /// For so long new readers may have to wait.
    private static let lockTimeoutMilliseconds = 50

    let deadline: ContinuousClock.Instant
    /// How many attempts were rolled back.
    private(set) var retries = 0

    init(until deadline: ContinuousClock.Instant) { self.deadline = deadline }

    /// Runs a change until it gets its locks. What else fails is rolled back too, and thrown.
    /// - Parameters:
    ///   - connection: in a transaction, for the rest of which `lock_timeout` stays set.
    ///   - inTheWay: thrown where readers had locks at each attempt until the deadline.
    mutating func perform<R>(
        on connection: Connection,
        otherwise inTheWay: StoreError,
        _ change: () async throws -> R
    ) async throws -> R {
        try await connection.execute("set local lock_timeout = '\(Self.lockTimeoutMilliseconds)ms'")
        while true {
            if let result = try await Self.attempt(change, on: connection) { return result }
            guard ContinuousClock.now < self.deadline else { throw inTheWay }
            self.retries += 1
            try await Task.sleep(for: .milliseconds(Int.random(in: 20...min(1000, 20 + 20 * self.retries))))
        }
    }

    /// - Returns: `nil` where a lock was not there in time, or deadlocked.
    private static func attempt<R>(_ change: () async throws -> R, on connection: Connection) async throws -> R? {
        try await connection.execute("savepoint change")
        do {
            let result = try await change()
            try await connection.execute("release savepoint change")
            return result
        } catch {
            guard let failure = error as? PostgresError, failure.sqlState != nil, !failure.isConnectionLoss else {
                throw error
            }
            try await connection.execute("rollback to savepoint change; release savepoint change")
            guard failure.sqlState == "55P03" || failure.sqlState == "40P01" else { throw error }
            return nil
        }
    }
}
