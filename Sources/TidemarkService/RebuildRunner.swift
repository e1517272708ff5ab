package import LibPQ
package import Logging
import Synchronization
package import TidemarkConfiguration
package import TidemarkCore
package import TidemarkProjector
package import TidemarkSources
package import TidemarkStore

/// Everything that one `rebuild` needs to know.
package struct RebuildRequest: Sendable {
    package var configuration: Configuration
    package var projection: ProjectionDefinition
    /// `nil` for the projection's own timeline.
    package var files: [InputFile]?
    package var options: ConnectionOptions
    package var isDryRun = false
    /// What is newly reached is not delivered.
    package var isMuted = false
    package var isStrict = false
    /// How long a database that goes away is waited for.
    package var databaseWait: Duration? = .seconds(300)
    /// How long readers may be in the way of the swap.
    package var lockWait: Duration = .seconds(300)

    package init(
        configuration: Configuration,
        projection: ProjectionDefinition,
        files: [InputFile]?,
        options: ConnectionOptions
    ) {
        self.configuration = configuration
        self.projection = projection
        self.files = files
        self.options = options
    }
}

/// How a rebuild ended, and what it came to.
package struct RebuildOutcome: Sendable {
    package var ending: PassOutcome.Ending
    package var source: RebuildStore.Source
    /// What making the next version has counted, all runs together.
    package var summary: PassSummary
    /// `nil` when it was not built to the end.
    package var comparison: VersionComparison?
    /// `nil` when it was not swapped in.
    package var swap: VersionSwap.Outcome?
    /// Stored events that the next version does not take; with any of them it is not swapped in.
    package var refused = RebuildStore.Refused()
    package var isResumed: Bool
}

/// Makes a projection's next version beside the live one, tells how they differ, and puts it in its place.
///
/// The version is made by an ordinary replay into storage of its own. Each step can be done again: whoever is killed
/// between two of them finds by what is stored where to go on.
package final class RebuildRunner: Sendable {
    private let request: RebuildRequest
    private let logger: Logger
    private let retryStop = RetryStop()
    private let state = Mutex((isStopped: false, replay: ReplayRunner?.none, step: Connection?.none))
    /// Called with the progress of the replay once there is one.
    private let onProgress: @Sendable (PassProgress) -> Void

    package init(
        _ request: RebuildRequest,
        logger: Logger,
        onProgress: @escaping @Sendable (PassProgress) -> Void = { _ in }
    ) {
        self.request = request
        self.logger = logger
        self.onProgress = onProgress
    }

    /// Ends the rebuild after the batches in hand, or in the middle of a step, whose query then throws `.cancelled`. Safe
    /// from any thread.
    package func stop() {
        self.retryStop.set()
        let (replay, step) = self.state.withLock { state in
            state.isStopped = true
            return (state.replay, state.step)
        }
        replay?.stop()
        step?.interrupt()
    }

    private var isStopped: Bool { self.state.withLock { $0.isStopped } }

    /// - Parameter connection: ready and migrated.
    package func run(on connection: Connection) async throws -> RebuildOutcome {
        let definition = self.request.projection
        var settings = ProcessSession.Settings(
            self.request.options,
            projections: [NextVersion.name(of: definition.name)],
            operations: [definition.name],
            // What others wrote meanwhile would not be in the files.
            exclusive: self.request.files == nil ? [] : [definition.name],
            leaseTTL: self.request.configuration.service.leaseTTL,
            logger: self.logger
        )
        settings.retryStop = self.retryStop
        return try await ProcessSession.with(connection, settings) { try await self.run(as: $0) }
    }

    private func run(as process: ProcessSession) async throws -> RebuildOutcome {
        let definition = self.request.projection
        let sources = self.request.configuration.sources.map(\.settings)
        let boundary = try await self.step(process) { connection in
            guard self.request.files == nil else { return nil as TimelineBoundary? }
            return try await RebuildStore.boundary(of: definition.name, on: connection)
        }
        let timeline = try await self.step(process) { connection in
            guard let boundary else { return nil as StoredTimeline? }
            return try await StoredTimeline(
                of: definition,
                before: boundary,
                sources: { name in sources.first { $0.name == name } },
                on: connection
            )
        }
        let source: RebuildStore.Source = timeline == nil ? .files : .timeline
        let begun = try await self.begin(source, timeline, boundary, process)
        var outcome = RebuildOutcome(
            ending: .finished,
            source: source,
            summary: PassSummary(),
            comparison: nil,
            swap: nil,
            isResumed: begun.isResumed
        )
        if !begun.isBuilt { outcome.ending = try await self.build(timeline, process) }
        if outcome.ending == .finished, self.isStopped { outcome.ending = .interrupted }
        outcome.summary = try await self.step(process) { try await self.summary(on: $0) }
        guard outcome.ending == .finished else { return outcome }
        var behind: (timeline: StoredTimeline, since: TimelineBoundary)?
        if let timeline, let boundary {
            let next = try await self.step(process) {
                try await RebuildStore.newBoundary(of: definition.name, on: $0)
            }
            outcome.ending = try await self.catchUp(timeline, since: boundary, process)
            guard outcome.ending == .finished else { return outcome }
            behind = (timeline, next)
        }
        outcome.comparison = try await self.step(process) { try await VersionComparison(definition, on: $0) }
        if source == .timeline {
            outcome.refused = try await self.step(process) { try await RebuildStore.refused(definition.name, on: $0) }
        }
        if self.isStopped {
            outcome.ending = .interrupted
        } else if self.request.isDryRun {
            _ = try await self.step(process) { try await RebuildStore.discard(definition.name, on: $0) }
        } else if outcome.refused.count == 0 {
            try await self.swap(source, behind, process, &outcome)
        }
        return outcome
    }

    // MARK: Steps

    /// Runs a step on the process's connection; a lost one is replaced, and the step done again.
    private func step<R: Sendable>(
        _ process: ProcessSession,
        _ body: (Connection) async throws -> R
    ) async throws -> R {
        try await process.perform(wait: self.request.databaseWait) { connection in
            self.state.withLock { $0.step = connection }
            defer {
                self.state.withLock { $0.step = nil }
                connection.forgetInterruption()
            }
            return try await body(connection)
        }
    }

    private func begin(
        _ source: RebuildStore.Source,
        _ timeline: StoredTimeline?,
        _ boundary: TimelineBoundary?,
        _ process: ProcessSession
    ) async throws -> RebuildStore.State {
        let definition = self.request.projection
        let input =
            timeline.map { "\($0.count) events \($0.digest)" }
            ?? (self.request.files ?? []).map { file in
                let source = self.request.configuration.settings(forFile: file.absolutePath)
                let reading = "\(source.zoneName) \(source.absent) \(source.sendsMinimalImages)"
                return "\(file.absolutePath) \(file.size) \(file.digest) of \(source.name) \(reading)"
            }.joined(separator: "\n")
        let begun = try await self.step(process) { connection in
            guard try await ProjectionRegistry.exists(definition.name, on: connection) else {
                throw StoreError(
                    .failed,
                    "there is no projection \"\(definition.name)\" to rebuild; `tidemark replay` makes it"
                )
            }
            let begun = try await RebuildStore.begin(
                definition,
                from: source,
                input: input,
                boundary: boundary,
                on: connection
            )
            if let timeline {
                let keepsKind = timeline.mapping.reading.keptParts > 0
                try await RebuildStore.inheritReadings(definition.name, keepsKind: keepsKind, on: connection)
            }
            return begun
        }
        if begun.isStartedOver {
            self.logger.info(
                "what an interrupted rebuild had begun came from other input or another configuration; starting over"
            )
        } else if begun.isResumed {
            self.logger.info("going on with an interrupted rebuild")
        }
        return begun
    }

    /// An ordinary replay into the next version's storage.
    private func build(_ timeline: StoredTimeline?, _ process: ProcessSession) async throws -> PassOutcome.Ending {
        let definition = self.request.projection
        let ending = try await self.replay(timeline, process)
        guard ending == .finished else { return ending }
        try await self.step(process) { connection in
            if let timeline {
                try await RebuildStore.inheritArrivals(definition, timeline.mapping, on: connection)
            }
            try await RebuildStore.markBuilt(definition, on: connection)
        }
        return .finished
    }

    /// Replays what other processes have written into the live version since a moment.
    private func catchUp(
        _ timeline: StoredTimeline,
        since boundary: TimelineBoundary,
        _ process: ProcessSession
    ) async throws -> PassOutcome.Ending {
        let changes = try await self.step(process) { connection in
            // Other processes may have found more since the beginning.
            let keepsKind = timeline.mapping.reading.keptParts > 0
            let name = self.request.projection.name
            try await RebuildStore.inheritReadings(name, keepsKind: keepsKind, on: connection)
            return try await timeline.changes(since: boundary, on: connection)
        }
        guard let changes else { return .finished }
        let ending = try await self.replay(changes, process)
        guard ending == .finished else { return ending }
        try await self.step(process) { connection in
            try await RebuildStore.inheritArrivals(
                self.request.projection,
                timeline.mapping,
                since: boundary,
                on: connection
            )
        }
        return .finished
    }

    private func replay(_ timeline: StoredTimeline?, _ process: ProcessSession) async throws -> PassOutcome.Ending {
        let definition = self.request.projection
        var configuration = self.request.configuration
        configuration.projections = [definition.nextVersion]
        var replay = ReplayRequest(
            configuration: configuration,
            files: self.request.files ?? [],
            options: self.request.options
        )
        replay.timeline = timeline
        replay.isStrict = self.request.isStrict
        replay.databaseWait = self.request.databaseWait
        let runner = ReplayRunner(replay, logger: self.logger)
        let isStopped = self.state.withLock { state in
            state.replay = runner
            return state.isStopped
        }
        if isStopped { return .interrupted }
        self.onProgress(runner.progress)
        return try await runner.run(as: process).ending
    }

    private func summary(on connection: Connection) async throws -> PassSummary {
        guard let replay = try await RebuildStore.replay(of: self.request.projection.name, on: connection) else {
            return PassSummary()
        }
        let names = self.request.projection.milestones.map(\.name)
        return try await PassStore.summary(of: replay, milestones: names, on: connection)
    }

    /// Puts the next version in the live one's place, unless it refuses an event.
    /// - Parameter behind: what other processes have written since is read before, while their batches wait.
    private func swap(
        _ source: RebuildStore.Source,
        _ behind: (timeline: StoredTimeline, since: TimelineBoundary)?,
        _ process: ProcessSession,
        _ outcome: inout RebuildOutcome
    ) async throws {
        let definition = self.request.projection
        let swap = VersionSwap(definition, from: source, isMuted: self.request.isMuted, lockWait: self.request.lockWait)
        let (ending, refused, swapped) = try await BatchGate.with(definition.name, as: process) { gate in
            var refused = RebuildStore.Refused()
            if let behind {
                let ending = try await self.catchUp(behind.timeline, since: behind.since, process)
                refused = try await self.step(process) { try await RebuildStore.refused(definition.name, on: $0) }
                guard ending == .finished, refused.count == 0 else {
                    return (ending, refused, VersionSwap.Outcome?.none)
                }
            }
            let swapped = try await self.step(process) { connection in
                // Its commit may have been answered to a connection that was lost.
                guard try await RebuildStore.exists(definition.name, on: connection) else {
                    return VersionSwap.Outcome()
                }
                return try await swap.run(behind: gate, on: connection)
            }
            return (.finished, refused, swapped)
        }
        outcome.ending = ending
        outcome.refused = refused
        outcome.swap = swapped
    }
}
