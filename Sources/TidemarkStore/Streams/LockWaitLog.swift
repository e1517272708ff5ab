import LibPQ
import Logging

/// Logs which sessions hold the locks that a process's sessions wait for: once a wait has lasted from one look to the
/// next, once a minute while it lasts, and when it is over. Used by the heartbeat alone.
struct LockWaitLog {
    private let logger: Logger
    /// As the last look found them.
    private var holders: [String] = []
    private var since: ContinuousClock.Instant?
    /// `nil` while nothing that lasts has been logged.
    private var logged: ContinuousClock.Instant?

    private static let reminder = Duration.seconds(60)

    init(_ logger: Logger) { self.logger = logger }

    mutating func note(_ found: [String], at now: ContinuousClock.Instant = .now) {
        let lasting = found.filter(self.holders.contains)
        let isNew = self.holders.isEmpty
        self.holders = found
        guard !found.isEmpty else {
            if self.logged != nil { self.logger.warning("the lock is free again") }
            (self.since, self.logged) = (nil, nil)
            return
        }
        if isNew { self.since = now }
        guard !lasting.isEmpty, self.logged.map({ now - $0 >= Self.reminder }) ?? true else { return }
        self.logged = now
        let seconds = (now - (self.since ?? now)).components.seconds
        self.logger.warning(
            "waiting for a lock",
            metadata: ["held by": "\(lasting.joined(separator: "; "))", "for": "\(seconds) s"]
        )
    }
}

extension ProcessSession {
    /// Looks for the holders of locks that this process's sessions wait for, its own sessions aside.
    func lookForLocks(on connection: Connection) async throws(PostgresError) {
        let found = try await connection.query(
            "select unnest(waits_for) from tidemark.processes where process = $1::integer order by 1",
            [.int32(self.id)]
        )
        var holders: [String] = []
        for row in 0..<found.rowCount { holders.append(try found.text(row, 0) ?? "") }
        self.lockWaits.note(holders)
    }
}
