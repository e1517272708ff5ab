package import LibPQ
import Logging
package import TidemarkCore

extension LaneStore {
    /// Commits a batch that comes from no file, with what makes it done in the same transaction. Committing it again
    /// changes no row: an attempt whose outcome is unknown is simply made again.
    /// - Throws: `PostgresError`, a data exception among them: then nothing was written.
    package func commit(_ batch: LaneBatch, closing: [Statement]) async throws {
        let retry = DatabaseRetry(wait: self.settings.databaseWait, logger: self.logger)
        try await retry.perform {
            var staleness = 0
            while true {
                do {
                    return try await self.attempt(batch, closing: closing)
                } catch let error as PostgresError {
                    if error.isStale || error.isRetriable { self.forget() }
                    staleness += 1
                    guard error.isStale, staleness <= 3 else { throw error }
                }
            }
        }
    }
}
