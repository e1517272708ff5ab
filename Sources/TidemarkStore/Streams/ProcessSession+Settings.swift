package import LibPQ
package import Logging

extension ProcessSession {
    /// What a process writes, and how it is heard of.
    package struct Settings: Sendable {
        package var options: ConnectionOptions
        /// The projections that the process writes.
        package var projections: [String]
        /// The projections on which it does what no other process may do beside it.
        package var operations: [String]
        /// The projections that no other process may write meanwhile.
        package var exclusive: [String]
        /// How long it may be silent before another process ends its sessions.
        package var leaseTTL: Duration
        package var logger: Logger
        /// How an outage of the database is logged.
        package var outageLevel = Logger.Level.warning
        /// Ends the waiting for a database that is away.
        package var retryStop = RetryStop()
        /// Told of each heartbeat: whether the database has answered it.
        package var onHeartbeat: (@Sendable (_ error: (any Error)?) -> Void)?
        /// Called with the error of each attempt of a lane or another writer that the database refused and that is tried
        /// again, and with `nil` once one succeeds.
        package var onRefusal: (@Sendable (_ error: PostgresError?) -> Void)?
        /// What does not run as it should, as a JSON object by name. It is read at each heartbeat, and stored where it has
        /// changed.
        package var checks: (@Sendable () -> String)?

        package init(
            _ options: ConnectionOptions,
            projections: [String],
            operations: [String] = [],
            exclusive: [String] = [],
            leaseTTL: Duration = .seconds(10),
            logger: Logger
        ) {
            self.options = options
            self.projections = projections
            self.operations = operations
            self.exclusive = exclusive
            self.leaseTTL = leaseTTL
            self.logger = logger
        }
    }
}
