package import LibPQ
package import Logging
import Synchronization

/// Logs that a database went away, that it still is away, and that it is back: one line each for all connections of a
/// process, however many of them try again. Used from any thread.
package final class OutageLog: Sendable {
    private struct Outage {
        var reason: String
        var since: ContinuousClock.Instant
        var logged: ContinuousClock.Instant
        /// The database was there in it and refused an attempt.
        var isRefusal: Bool
    }

    private let logger: Logger
    private let level: Logger.Level
    private let reminder: Duration
    private let outage = Mutex<Outage?>(nil)
    private let onRefusal: (@Sendable (PostgresError?) -> Void)?

    /// - Parameters:
    ///   - level: how it is logged: one who says it elsewhere wants fewer lines.
    ///   - reminder: after how long an outage that lasts is logged again.
    ///   - onRefusal: called with the error of each attempt that the database refused, such as one of a full disk, and with
    ///     `nil` once an attempt succeeds after them. Transactions that gave way to others are none, nor are lost
    ///     connections: an idle one is found lost long after the database is back.
    package init(
        _ logger: Logger,
        level: Logger.Level = .warning,
        reminder: Duration = .seconds(60),
        onRefusal: (@Sendable (PostgresError?) -> Void)? = nil
    ) {
        self.onRefusal = onRefusal
        self.logger = logger
        self.level = level
        self.reminder = reminder
    }

    /// An attempt failed, and another one follows.
    package func failed(_ error: PostgresError, at now: ContinuousClock.Instant = .now) {
        let reason = Self.reason(error)
        if error.sqlStateClass == "40" {
            // Transactions were in each other's way. The database is there.
            self.logger.log(level: self.level, "\(reason)", metadata: ["error": "\(error)"])
            return
        }
        // 57P: the server goes down or comes up.
        let isRefusal = !error.isConnectionLoss && error.sqlState?.hasPrefix("57P") != true
        let since = self.outage.withLock { outage -> Duration? in
            if isRefusal { outage?.isRefusal = true }
            if let known = outage, known.reason == reason {
                guard now - known.logged >= self.reminder else { return nil }
                outage?.logged = now
                return now - known.since
            }
            let since = outage?.since ?? now
            outage = Outage(reason: reason, since: since, logged: now, isRefusal: outage?.isRefusal ?? isRefusal)
            return now - since
        }
        if isRefusal { self.onRefusal?(error) }
        guard let since else { return }
        var metadata: Logger.Metadata = ["error": "\(error)"]
        if since > .zero { metadata["for"] = "\(Self.seconds(since)) s" }
        self.logger.log(level: self.level, "\(reason)", metadata: metadata)
    }

    /// The database refused an attempt, and none has succeeded since.
    package var isRefusal: Bool { self.outage.withLock { $0?.isRefusal ?? false } }

    /// An attempt succeeded after others had failed.
    package func succeeded(at now: ContinuousClock.Instant = .now) {
        let ended = self.outage.withLock { outage in
            defer { outage = nil }
            return outage
        }
        guard let ended else { return }
        if ended.isRefusal { self.onRefusal?(nil) }
        let after = "\(Self.seconds(now - ended.since)) s"
        self.logger.log(level: self.level, "the database is back", metadata: ["after": "\(after)"])
    }

    private static func seconds(_ duration: Duration) -> Int64 { duration.components.seconds }

    private static func reason(_ error: PostgresError) -> String {
        switch (error.sqlState, error.sqlStateClass) {
        case ("53100", _): "the database's disk is full; trying again"
        case ("53300", _): "the database takes no more connections; trying again"
        case (_, "53"): "the database lacks resources; trying again"
        case (_, "40"): "a transaction gave way to another; trying again"
        case ("57014", _): "the database cancelled a statement; trying again"
        default: "database not available; trying again"
        }
    }
}
