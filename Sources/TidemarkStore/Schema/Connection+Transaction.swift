import LibPQ

extension Connection {
    /// Runs a step in one transaction, and rolls it back when the step fails.
    nonisolated func transaction<R>(_ opening: String = "begin", _ step: () async throws -> R) async throws -> R {
        try await self.execute(opening)
        do {
            let result = try await step()
            try await self.execute("commit")
            return result
        } catch {
            try? await self.execute("rollback")
            throw error
        }
    }
}
