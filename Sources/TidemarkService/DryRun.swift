import Logging
package import TidemarkConfiguration
package import TidemarkCore
import TidemarkProjector
package import TidemarkSources

/// Decodes, validates and counts files without a database, as a replay into an empty read model would.
package struct DryRun {
    private let configuration: Configuration

    package init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// - Returns: the counts, and what ended the reading before its time.
    package func run(_ files: [InputFile]) async throws -> (summary: PassSummary, problem: String?) {
        let outcome = try await self.run(self.configuration.source(of: files), observer: nil)
        guard case .badInput(let problem) = outcome.ending else { return (outcome.summary, nil) }
        return (outcome.summary, problem)
    }

    /// - Parameter observer: sees each message.
    package func run(_ source: some Source, observer: (any MessageObserver)?) async throws -> PassOutcome {
        var limits = self.configuration.limits
        limits.maxDeadLetters = .fraction(1)
        let projector = Projector(
            MemoryProjection(self.configuration.projections, observer: observer),
            source,
            ProjectorSettings(limits: limits),
            progress: PassProgress(),
            logger: Logger(label: "tidemark.dry-run") { _ in SwiftLogNoOpLogHandler() }
        )
        return try await projector.run()
    }
}
