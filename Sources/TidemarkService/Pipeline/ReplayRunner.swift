package import Logging
package import LibPQ
import AsyncAlgorithms
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

/// Reads streams into the read model: one reader, some routers, one writer for each lane, all of it resumable.
///
/// The routers decode what the reader reads, side by side and in its order; each lane's queue holds what arrives while
/// the lane commits. When a lane fails, everything stops, and the next run resumes from the lanes' progress.
package final class ReplayRunner: Sendable {
    let request: ReplayRequest
    let logger: Logger
    private let plans: [ProjectionPlan]
    package let progress = ReplayProgress()
    let interrupt = Interrupt()

    package init(_ request: ReplayRequest, logger: Logger) {
        self.request = request
        self.logger = logger
        self.plans = request.configuration.projections.map { ProjectionPlan($0) }
    }

    /// Ends the replay after the batches in hand. Safe from any thread.
    package func stop() {
        self.interrupt.raise()
    }

    /// Where a lane's work comes from and what it is told.
    struct ReplayContext: Sendable {
        var plans: [ProjectionPlan]
        var state: PassState
        var streams: [EventRouter.Stream]
        var sources: [String]
        var readings: DetectedReadings
        var empty: EmptyRelations
        var queues: [LaneQueue]
        let budget = MemoryBudget(limit: ReplayRunner.budgetBytes)
        let levels = StreamLevels()
        /// Counted by earlier runs of the replay.
        var earlier: ReplaySummary
    }

    /// - Parameter connection: ready, migrated and holding the projections' locks; used for the replay's own rows.
    package func run(on connection: Connection) async throws -> ReplayOutcome {
        let names = self.plans.map(\.name)
        return try await self.run(holding: WriterLock(connection, options: self.request.options, projections: names))
    }

    /// As ``run(on:)``, with locks that the caller goes on holding.
    func run(holding lock: WriterLock) async throws -> ReplayOutcome {
        let context = try await lock.perform(wait: self.request.databaseWait, logger: self.logger) {
            try await self.prepare(on: $0)
        }
        self.progress.update { progress in
            let sizes = self.request.files.map(\.size)
            let isKnown = self.request.files.allSatisfy(\.isReadAgain)
            progress.bytesTotal = isKnown ? self.request.timeline?.count ?? sizes.reduce(0, +) : nil
        }
        var ending = ReplayOutcome.Ending.finished
        var failure: (any Error)?
        do {
            ending = try await self.process(context, lock)
        } catch {
            failure = error
        }
        let elapsed = (self.progress.snapshot.lastCommit ?? self.progress.start) - self.progress.start
        let isFinished = failure == nil && ending == .finished
        let summary: ReplaySummary
        do {
            // A replay that has failed already does not wait for the database a second time.
            let wait = failure == nil ? self.request.databaseWait : .zero
            summary = try await lock.perform(wait: wait, logger: self.logger) { connection in
                try await self.end(context, elapsed / .seconds(1), isFinished: isFinished, on: connection)
            }
        } catch {
            throw failure ?? error
        }
        if let failure { throw failure }
        return ReplayOutcome(ending: ending, summary: summary)
    }

    /// Doing it again goes on with the replay that the first attempt began.
    private func prepare(on connection: Connection) async throws -> ReplayContext {
        for note in try await ProjectionRegistry.prepare(self.plans, on: connection) {
            self.logger.info("\(note)")
        }
        let entries = try await self.enterStreams(on: connection)
        if self.request.timeline == nil {
            let sources = self.request.configuration.sources
            try await ProjectionRegistry.admit(
                zip(self.request.files, entries).map { file, entry in
                    .init(
                        self.request.configuration.settings(forFile: file.absolutePath),
                        stream: file.isStandardInput ? nil : (entry.id, file.absolutePath)
                    )
                },
                to: self.plans,
                claimant: { path in sources.first { $0.names(path) }?.name },
                on: connection
            )
        }
        let plans = try await ProjectionRegistry.withStoredDigests(
            self.request.configuration.projections,
            on: connection
        )
        return try await self.begin(plans, entries, on: connection)
    }

    /// Doing it again changes nothing.
    private func end(
        _ context: ReplayContext,
        _ elapsedSeconds: Double,
        isFinished: Bool,
        on connection: Connection
    ) async throws -> ReplaySummary {
        try await PassStore.save(levels: context.levels.all(), of: context.state.id, on: connection)
        try await PassStore.end(
            context.state.id,
            elapsedSeconds: elapsedSeconds,
            isFinished: isFinished,
            on: connection
        )
        let names = self.plans.flatMap { $0.milestones.map(\.name) }
        return try await PassStore.summary(of: context.state.id, milestones: names, on: connection)
    }

    private func enterStreams(on connection: Connection) async throws -> [StreamEntry] {
        if let timeline = self.request.timeline {
            let id = try await StreamStore.enter(timeline.streamName, sourceID: nil, on: connection)
            return [StreamEntry(id: id, isResumable: true)]
        }
        let configuration = self.request.configuration
        return try await FileStreams.resolve(
            self.request.files,
            source: { configuration.settings(forFile: $0.absolutePath).name },
            on: connection
        )
    }

    private func begin(
        _ plans: [ProjectionPlan],
        _ entries: [StreamEntry],
        on connection: Connection
    ) async throws -> ReplayContext {
        let configuration = self.request.configuration
        let state = try await PassStore.begin(
            streams: entries,
            projections: self.plans.map(\.name),
            lanes: configuration.lanes,
            on: connection
        )
        if state.isResumed { self.logger.info("resuming an interrupted replay", metadata: ["replay": "\(state.id)"]) }
        let (streams, sources) = try await self.streams(entries, state, on: connection)
        let readings = try await PassStore.readings(of: self.plans.map(\.name), on: connection)
        let limits = configuration.limits
        return ReplayContext(
            plans: plans,
            state: state,
            streams: streams,
            sources: sources.map(\.name),
            readings: readings,
            empty: try await PassStore.emptyRelations(of: plans, on: connection),
            queues: (0..<state.lanes).map { _ in
                LaneQueue(
                    batchEvents: limits.batchEvents,
                    batchBytes: Self.budgetBytes / 2 / state.lanes,
                    eventsMax: limits.batchEvents * max(1, limits.pendingBatches - 1)
                )
            },
            earlier: try await PassStore.summary(of: state.id, milestones: [], on: connection)
        )
    }

    /// The streams as routers know them, and the sources that they number.
    private func streams(
        _ entries: [StreamEntry],
        _ state: PassState,
        on connection: Connection
    ) async throws -> (streams: [EventRouter.Stream], sources: [SourceSettings]) {
        let configuration = self.request.configuration
        func committed(_ entry: StreamEntry) -> CommittedProgress {
            state.committed[entry.id] ?? CommittedProgress(lanes: state.lanes, rule: state.laneRule)
        }
        if let timeline = self.request.timeline {
            let sources = timeline.sources.map(configuration.settings(ofSource:))
            return (entries.map { timeline.stream($0.id, committed: committed($0)) }, sources)
        }
        var sources: [SourceSettings] = []
        var streams: [EventRouter.Stream] = []
        let ids = try await PassStore.identify(
            sources: self.request.files.map { configuration.settings(forFile: $0.absolutePath).name },
            on: connection
        )
        for (file, entry) in zip(self.request.files, entries) {
            let settings = configuration.settings(forFile: file.absolutePath)
            let known = sources.firstIndex { $0.name == settings.name }
            if known == nil { sources.append(settings) }
            streams.append(
                EventRouter.Stream(
                    id: entry.id,
                    settings: settings,
                    sourceIndex: known ?? sources.count - 1,
                    sourceID: ids[settings.name] ?? 0,
                    name: file.path,
                    committed: committed(entry)
                )
            )
        }
        return (streams, sources)
    }

    /// What may wait between reading and its commit in all, in bytes. On its way to the server what is written is in
    /// memory three times: encoded, as arrays, and in libpq's buffer.
    static let budgetBytes = 40 << 20

    // MARK: Reader and lanes

    private func process(_ context: ReplayContext, _ writer: WriterLock) async throws -> ReplayOutcome.Ending {
        try await withThrowingTaskGroup(of: ReplayOutcome.Ending?.self) { group in
            group.addTask(executorPreference: ReaderExecutor()) { [self] in
                defer { for queue in context.queues { queue.close() } }
                if let timeline = self.request.timeline { return try await self.read(timeline, context) }
                return try await self.read(context, writer)
            }
            for lane in 0..<context.state.lanes {
                group.addTask { [self] in
                    try await self.runLane(lane, context, writer)
                    return nil
                }
            }
            group.addTask { [self] in
                // A lost lock that no lane has noticed is found out here.
                for await _ in AsyncTimerSequence.repeating(every: .seconds(1)) {
                    let connection = try await writer.held(wait: self.request.databaseWait)
                    try? await PassStore.save(levels: context.levels.changed(), of: context.state.id, on: connection)
                }
                return nil
            }
            var running = context.state.lanes + 1
            var ending = ReplayOutcome.Ending.finished
            do {
                while running > 0, let result = try await group.next() {
                    running -= 1
                    guard let result else { continue }
                    ending = result
                    // Only the batches in hand are committed: somebody waits.
                    if result == .interrupted { for queue in context.queues { queue.stop() } }
                }
            } catch {
                self.interrupt.raise()
                for queue in context.queues { queue.stop() }
                group.cancelAll()
                throw error
            }
            group.cancelAll()
            return ending
        }
    }

    private func runLane(_ lane: Int, _ context: ReplayContext, _ writer: WriterLock) async throws {
        let limits = self.request.configuration.limits
        let rereader = MessageRereader(
            Dictionary(zip(context.streams.map(\.id), self.request.files)) { first, _ in first },
            messageBytesMax: limits.messageBytes
        )
        let store = try LaneStore(
            settings: .init(
                options: self.request.options,
                pass: context.state.id,
                lane: lane,
                lanes: context.state.lanes,
                progress: context.state.rows.compactMapValues { $0[lane] },
                sources: context.sources,
                isMuted: self.request.isMuted,
                keepsDeadLetters: self.request.keepsDeadLetters,
                cacheBytes: limits.cacheBytes / context.state.lanes,
                empty: context.empty,
                databaseWait: self.request.databaseWait,
                ensureWriter: { _ = try await writer.held(wait: self.request.databaseWait) },
                message: { rereader.message(of: $0, at: $1, ordinal: $2) }
            ),
            plans: context.plans,
            logger: self.logger
        )
        await store.open()
        do {
            while let batch = try await context.queues[lane].next() {
                try await store.commit(batch)
                for segment in batch.finished {
                    guard let level = batch.segments[segment].level else { continue }
                    level.tracker.commit(level.block)
                }
                if batch.milestones != 0 { self.request.onMilestones?() }
                self.request.onCommit?()
                self.progress.update { progress in
                    progress.eventsCommitted += Int64(batch.eventCount)
                    progress.lastCommit = .now
                }
            }
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }
}
