package import LibPQ
import Logging
package import TidemarkCore

extension LaneStore {
    /// Commits a batch that comes from no file, with what makes it done in the same transaction. Committing it again
    /// changes no row: an attempt whose outcome is unknown is simply made again.
    /// - Throws: `PostgresError`, a data exception among them: then nothing was written.
    package func commit(_ batch: LaneBatch, closing: [Statement]) async throws {
        var backoff = Backoff(limit: self.settings.databaseWait)
        var staleness = 0
        while true {
            do {
                return try await self.attempt(batch, closing: closing)
            } catch let error as PostgresError {
                if error.isStale {
                    staleness += 1
                    guard staleness <= 3 else { throw error }
                    self.forget()
                    continue
                }
                guard error.isRetriable, let delay = backoff.next() else { throw error }
                self.logger.warning(
                    "database not available, trying again",
                    metadata: ["delay": "\(delay)", "error": "\(error)"]
                )
                self.forget()
                try await Task.sleep(for: delay)
            }
        }
    }
}
