package import LibPQ
package import Logging
import Synchronization
package import TidemarkConfiguration
package import TidemarkCore
package import TidemarkProjector
package import TidemarkSources
package import TidemarkStore

/// Everything that one `replay` needs to know.
package struct ReplayRequest: Sendable {
    package var configuration: Configuration
    package var files: [InputFile]
    package var options: ConnectionOptions
    package var isMuted = false
    package var isStrict = false
    /// What of schema and relations may be created or extended.
    package var changes = SchemaChanges.all
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

/// A replay: files, or a stored timeline, into the read model in PostgreSQL.
package final class ReplayRunner: Sendable {
    let request: ReplayRequest
    let logger: Logger
    package let progress = PassProgress()
    private let retryStop = RetryStop()
    private let stopping = Mutex((isStopped: false, stop: (@Sendable () -> Void)?.none))

    package init(_ request: ReplayRequest, logger: Logger) {
        self.request = request
        self.logger = logger
    }

    /// Ends the replay after the batches in hand, or at once where the database is away: what is not committed is read
    /// again. Safe from any thread.
    package func stop() {
        self.retryStop.set()
        let stop = self.stopping.withLock { stopping in
            stopping.isStopped = true
            return stopping.stop
        }
        stop?()
    }

    /// - Parameter connection: ready and migrated; used for the replay's own rows.
    package func run(on connection: Connection) async throws -> PassOutcome {
        var settings = ProcessSession.Settings(
            self.request.options,
            projections: self.request.configuration.projections.map(\.name),
            leaseTTL: self.request.configuration.service.leaseTTL,
            logger: self.logger
        )
        settings.retryStop = self.retryStop
        return try await ProcessSession.with(connection, settings) { try await self.run(as: $0) }
    }

    /// As ``run(on:)``, by a process that goes on writing. A projection that another process gives another definition,
    /// as a rebuild does, is gone on with by that, where it is what the configuration says.
    func run(as process: ProcessSession) async throws -> PassOutcome {
        var adopts = true
        while true {
            do {
                return try await self.run(as: process, adopts: adopts)
            } catch let error as StoreError where error.kind == .superseded {
                self.logger.info("beginning again: \(error)")
                process.forgetDefinitions()
                adopts = false
            }
        }
    }

    private func run(as process: ProcessSession, adopts: Bool) async throws -> PassOutcome {
        let configuration = self.request.configuration
        guard let timeline = self.request.timeline else {
            return try await self.run(configuration.source(of: self.request.files), .replay, process, adopts)
        }
        let source = TimelineSource(
            timeline,
            timeline.sources.map(configuration.settings(ofSource:)),
            self.request.options,
            wait: self.request.databaseWait,
            outage: process.outage
        )
        let kind = PostgresProjection.Kind.rebuild(timeline.mapping.reading, sources: timeline.sources)
        return try await self.run(source, kind, process, adopts)
    }

    private func run(
        _ source: some Source,
        _ kind: PostgresProjection.Kind,
        _ process: ProcessSession,
        _ adopts: Bool
    ) async throws -> PassOutcome {
        let wait = self.request.databaseWait
        var settings = ProjectorSettings(limits: self.request.configuration.limits)
        settings.isStrict = self.request.isStrict
        settings.onMilestones = self.request.onMilestones
        if let onCommit = self.request.onCommit { settings.onCommit = { _ in onCommit() } }
        // A lost connection that no lane has noticed is found out here.
        settings.check = { _ = try await process.held(wait: wait) }
        var store = self.storeSettings(kind)
        store.adopts = adopts
        let projector = Projector(
            PostgresProjection(store, as: process, logger: self.logger),
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

    private func storeSettings(_ kind: PostgresProjection.Kind) -> PostgresProjection.Settings {
        let configuration = self.request.configuration
        var settings = PostgresProjection.Settings(
            configuration.projections,
            options: self.request.options,
            kind: kind,
            lanes: configuration.lanes,
            cacheBytes: configuration.limits.cacheBytes,
            databaseWait: self.request.databaseWait
        )
        settings.changes = self.request.changes
        settings.isMuted = self.request.isMuted
        settings.keepsDeadLetters = self.request.keepsDeadLetters
        settings.retention = configuration.service.retention
        settings.claimant = { path in configuration.sources.first { $0.names(path) }?.name }
        return settings
    }
}

extension Configuration {
    /// A source of files.
    /// - Parameters:
    ///   - files: in the order in which they are read; each is read by the settings of its source.
    ///   - messagesMax: about so many messages of each, for a sample.
    package func source(of files: [InputFile], messagesMax: Int64 = .max) -> FileSource {
        FileSource(
            files.map { ($0, self.settings(forFile: $0.absolutePath)) },
            messageBytesMax: self.limits.messageBytes,
            messagesMax: messagesMax
        )
    }
}
