package import LibPQ

extension ProcessSession {
    /// Runs a body as a process, which ends with it.
    /// - Throws: ``StoreError/fenced`` where another process has ended its sessions meanwhile.
    package static func with<R: Sendable>(
        _ connection: Connection,
        _ settings: Settings,
        _ body: (ProcessSession) async throws -> R
    ) async throws -> R {
        let process = try await Self.join(connection, settings)
        do {
            let result = try await body(process)
            await process.leave()
            return result
        } catch {
            let isFenced = await process.isFenced(behind: error)
            await process.leave()
            throw isFenced ? StoreError.fenced : error
        }
    }

    /// Whether the connection was lost because another process has fenced this one.
    private func isFenced(behind error: any Error) async -> Bool {
        guard (error as? PostgresError)?.isConnectionLoss == true else { return false }
        do {
            let alive = try await self.heart.held(wait: .zero).query(
                "select from tidemark_internal.processes where id = $1::integer and fenced_at is null",
                [.int32(self.id)]
            )
            return alive.rowCount == 0
        } catch let error as StoreError {
            return error.kind == .fenced
        } catch {
            return false
        }
    }
}
