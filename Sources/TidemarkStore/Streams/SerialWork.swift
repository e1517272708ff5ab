/// Runs steps one after the other, in the order in which they are asked for: a connection has one transaction at a time.
actor SerialWork {
    private var last: Task<Void, Never>?

    /// - Throws: what the step throws; `CancellationError`.
    func run<R: Sendable>(_ step: @escaping @Sendable () async throws -> R) async throws -> R {
        let before = self.last
        let task = Task {
            await before?.value
            try Task.checkCancellation()
            return try await step()
        }
        self.last = Task { _ = try? await task.value }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
