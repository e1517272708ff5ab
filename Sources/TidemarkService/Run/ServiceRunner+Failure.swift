import LibPQ
import TidemarkStore

extension ServiceRunner {
    /// A projection that cannot be written now, and when it is tried again.
    struct Failure {
        var count = 0
        var due = ContinuousClock.now

        /// Puts the next attempt off: by 2 seconds, then by twice as long each time, up to 5 minutes. An attempt stops
        /// and restarts the reading of the other projections.
        mutating func postpone() -> Duration {
            let delay = Duration.seconds(min(300, 2 << min(self.count, 8)))
            self.count += 1
            self.due = .now + delay
            return delay
        }
    }

    /// Trying again would not help: the database cannot be used, or libpq refuses a setting of its connection string.
    static func isForGood(_ error: any Error) -> Bool {
        (error as? StoreError)?.kind == .unusableDatabase || (error as? PostgresError)?.code == .invalidOptions
    }
}
