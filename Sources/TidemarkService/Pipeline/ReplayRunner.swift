package import Logging
package import LibPQ
import Synchronization
import TidemarkCore
package import TidemarkIngest
package import TidemarkPostgres

/// Everything that one `replay` needs to know.
package struct ReplayRequest: Sendable {
    package var configuration: Configuration
    package var files: [InputFile]
    package var options: ConnectionOptions
    package var isMuted = false
    package var isStrict = false
    /// `false` where relations may not be created or extended.
    package var migrates = true
    /// `false` for a replay that leaves no trace of what it could not read.
    package var keepsDeadLetters = true
    /// Called after each commit that may have reached a milestone, from any thread.
    package var onMilestones: (@Sendable () -> Void)?
    /// Called after each commit, from any thread.
    package var onCommit: (@Sendable () -> Void)?
    /// How long a database that goes away is waited for.
    package var databaseWait: Duration? = .seconds(300)
    /// Read instead of files: the next version of a projection is made from what the live one keeps.
    package var timeline: StoredTimeline?

    package init(configuration: Configuration, files: [InputFile], options: ConnectionOptions) {
        self.configuration = configuration
        self.files = files
        self.options = options
    }
}

/// How a replay ended, and what it came to.
package struct ReplayOutcome: Sendable {
    package enum Ending: Sendable, Equatable {
        case finished
        /// A signal: the batch in hand was committed, the rest is read by the next run.
        case interrupted
        /// `--strict` met a dead letter.
        case strict
        case tooManyDeadLetters(limit: String)
        /// An input ended in the middle, or could not be read on.
        case badInput(String)
    }

    package var ending: Ending
    package var summary: ReplaySummary
}

/// A replay: files, or a stored timeline, into the read model in PostgreSQL.
package final class ReplayRunner: Sendable {
    let request: ReplayRequest
    let logger: Logger
    package let progress = ReplayProgress()
    private let stopping = Mutex((isStopped: false, stop: (@Sendable () -> Void)?.none))

    package init(_ request: ReplayRequest, logger: Logger) {
        self.request = request
        self.logger = logger
    }

    /// Ends the replay after the batches in hand. Safe from any thread.
    package func stop() {
        let stop = self.stopping.withLock { stopping in
            stopping.isStopped = true
            return stopping.stop
        }
        stop?()
    }

    /// - Parameter connection: ready, migrated and holding the projections' locks; used for the replay's own rows.
    package func run(on connection: Connection) async throws -> ReplayOutcome {
        let names = self.request.configuration.projections.map(\.name)
        return try await self.run(holding: WriterLock(connection, options: self.request.options, projections: names))
    }

    /// As ``run(on:)``, with locks that the caller goes on holding.
    func run(holding lock: WriterLock) async throws -> ReplayOutcome {
        let configuration = self.request.configuration
        if let timeline = self.request.timeline {
            let source = TimelineSource(timeline, self.request.options, wait: self.request.databaseWait, self.logger)
            return try await self.run(source, lock)
        }
        let files = self.request.files.map { ($0, configuration.settings(forFile: $0.absolutePath)) }
        return try await self.run(FileSource(files, messageBytesMax: configuration.limits.messageBytes), lock)
    }

    private func run(_ source: some Source, _ lock: WriterLock) async throws -> ReplayOutcome {
        let wait = self.request.databaseWait
        var settings = ProjectorSettings(limits: self.request.configuration.limits)
        settings.isStrict = self.request.isStrict
        settings.onMilestones = self.request.onMilestones
        settings.onCommit = self.request.onCommit
        // A lost lock that no lane has noticed is found out here.
        settings.check = { _ = try await lock.held(wait: wait) }
        let projector = Projector(
            PostgresProjection(self.request, holding: lock, logger: self.logger),
            source,
            settings,
            progress: self.progress,
            logger: self.logger
        )
        let isStopped = self.stopping.withLock { stopping in
            stopping.stop = { projector.stop() }
            return stopping.isStopped
        }
        if isStopped { projector.stop() }
        return try await projector.run()
    }
}
