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

/// Reads files into the read model: one reader, some routers, a lane's writer for each lane, all of it resumable.
///
/// The routers decode what the reader reads, side by side and in its order; each lane's queue holds what arrives while
/// the lane commits. When a lane fails, everything stops, and the next run goes on from the lanes' checkpoints.
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
    struct Setting: Sendable {
        var plans: [ProjectionPlan]
        var state: ReplayState
        var inputs: [EventRouter.Input]
        var sources: [String]
        var readings: DetectedReadings
        var empty: EmptyRelations
        var queues: [LaneQueue]
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
        let setting = try await lock.perform(wait: self.request.databaseWait, logger: self.logger) {
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
            ending = try await self.process(setting, lock)
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
                try await self.end(setting, elapsed / .seconds(1), isFinished: isFinished, on: connection)
            }
        } catch {
            throw failure ?? error
        }
        if let failure { throw failure }
        return ReplayOutcome(ending: ending, summary: summary)
    }

    /// Doing it again goes on with the replay that the first attempt began.
    private func prepare(on connection: Connection) async throws -> Setting {
        for note in try await ProjectionRegistry.prepare(self.plans, on: connection) {
            self.logger.info("\(note)")
        }
        if self.request.timeline == nil {
            let sources = self.request.configuration.sources
            try await ProjectionRegistry.admit(
                self.request.files.map { file in
                    .init(
                        self.request.configuration.settings(forFile: file.absolutePath),
                        file: file.isStandardInput ? nil : Self.identity(of: file)
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
        return try await self.begin(plans, on: connection)
    }

    /// Doing it again changes nothing.
    private func end(
        _ setting: Setting,
        _ elapsedSeconds: Double,
        isFinished: Bool,
        on connection: Connection
    ) async throws -> ReplaySummary {
        try await ReplayStore.end(
            setting.state.id,
            elapsedSeconds: elapsedSeconds,
            isFinished: isFinished,
            on: connection
        )
        let names = self.plans.flatMap { $0.milestones.map(\.name) }
        return try await ReplayStore.summary(of: setting.state.id, milestones: names, on: connection)
    }

    private static func identity(of file: InputFile) -> FileIdentity {
        FileIdentity(path: file.absolutePath, size: file.size, digest: file.digest)
    }

    private func begin(_ plans: [ProjectionPlan], on connection: Connection) async throws -> Setting {
        let configuration = self.request.configuration
        let files =
            self.request.timeline.map { [$0.identity] }
            ?? self.request.files.map(Self.identity(of:))
        let state = try await ReplayStore.begin(
            files: files,
            projections: self.plans.map(\.name),
            lanes: configuration.lanes,
            on: connection
        )
        if state.isResumed {
            self.logger.info("going on with an interrupted replay", metadata: ["replay": "\(state.id)"])
            if state.lanes != configuration.lanes {
                self.logger.info("it keeps the lanes it began with", metadata: ["lanes": "\(state.lanes)"])
            }
        }
        var sources: [SourceSettings] = []
        var inputs: [EventRouter.Input] = []
        let ids = try await ReplayStore.identify(
            sources: self.request.files.map { configuration.settings(forFile: $0.absolutePath).name },
            on: connection
        )
        for (file, id) in zip(self.request.files, state.files) {
            let settings = configuration.settings(forFile: file.absolutePath)
            let known = sources.firstIndex { $0.name == settings.name }
            if known == nil { sources.append(settings) }
            inputs.append(
                EventRouter.Input(
                    settings: settings,
                    sourceIndex: known ?? sources.count - 1,
                    sourceID: ids[settings.name] ?? 0,
                    path: file.path,
                    file: id,
                    checkpoints: state.checkpoints[id] ?? []
                )
            )
        }
        if let timeline = self.request.timeline {
            sources = timeline.sources.map(configuration.settings(ofSource:))
            inputs = state.files.map { timeline.input(file: $0, checkpoints: state.checkpoints[$0] ?? []) }
        }
        let readings = try await ReplayStore.readings(of: self.plans.map(\.name), on: connection)
        let limits = configuration.limits
        let weightMax = Self.stagedBytesMax / state.lanes
        return Setting(
            plans: plans,
            state: state,
            inputs: inputs,
            sources: sources.map(\.name),
            readings: readings,
            empty: try await ReplayStore.emptyRelations(of: plans, on: connection),
            queues: (0..<state.lanes).map { _ in
                LaneQueue(
                    batchEvents: limits.batchEvents,
                    eventsMax: limits.batchEvents * max(1, limits.pendingBatches - 1),
                    weightMax: weightMax
                )
            },
            earlier: try await ReplayStore.summary(of: state.id, milestones: [], on: connection)
        )
    }

    /// What may wait in all queues together, in bytes; as much again is in the lanes' hands. On its way to the
    /// server what is written is in memory three times over: staged, as arrays, and in libpq's buffer.
    private static let stagedBytesMax = 20 << 20

    // MARK: Reader and lanes

    private func process(_ setting: Setting, _ writer: WriterLock) async throws -> ReplayOutcome.Ending {
        try await withThrowingTaskGroup(of: ReplayOutcome.Ending?.self) { group in
            group.addTask(executorPreference: ReaderExecutor()) { [self] in
                defer { for queue in setting.queues { queue.close() } }
                if let timeline = self.request.timeline { return try await self.read(timeline, setting) }
                return try await self.read(setting, writer)
            }
            for lane in 0..<setting.state.lanes {
                group.addTask { [self] in
                    try await self.runLane(lane, setting, writer)
                    return nil
                }
            }
            group.addTask { [self] in
                // Whoever has lost the lock without a lane's noticing finds out here.
                for await _ in AsyncTimerSequence.repeating(every: .seconds(1)) {
                    _ = try await writer.held(wait: self.request.databaseWait)
                }
                return nil
            }
            var running = setting.state.lanes + 1
            var ending = ReplayOutcome.Ending.finished
            do {
                while running > 0, let result = try await group.next() {
                    running -= 1
                    guard let result else { continue }
                    ending = result
                    // A person waits: only the batches in hand are finished.
                    if result == .interrupted { for queue in setting.queues { queue.stop() } }
                }
            } catch {
                self.interrupt.raise()
                for queue in setting.queues { queue.stop() }
                group.cancelAll()
                throw error
            }
            group.cancelAll()
            return ending
        }
    }

    private func runLane(_ lane: Int, _ setting: Setting, _ writer: WriterLock) async throws {
        let limits = self.request.configuration.limits
        let rereader = MessageRereader(
            Dictionary(zip(setting.state.files, self.request.files)) { first, _ in first },
            messageBytesMax: limits.messageBytes
        )
        let store = try LaneStore(
            settings: .init(
                options: self.request.options,
                replay: setting.state.id,
                lane: lane,
                sources: setting.sources,
                isMuted: self.request.isMuted,
                keepsDeadLetters: self.request.keepsDeadLetters,
                cacheBytes: limits.cacheBytes / setting.state.lanes,
                empty: setting.empty,
                databaseWait: self.request.databaseWait,
                ensureWriter: { _ = try await writer.held(wait: self.request.databaseWait) },
                message: { rereader.message(of: $0, at: $1, line: $2) }
            ),
            plans: setting.plans,
            logger: self.logger
        )
        var checkpoints = setting.state.checkpoints.compactMapValues { $0.count > lane ? $0[lane] : nil }
        var deferred: (batch: LaneBatch, to: Checkpoint)?
        await store.open()
        do {
            while let batch = await setting.queues[lane].take() {
                let file = batch.runs[0].file
                let before = checkpoints[file] ?? Checkpoint(file: file)
                let after = batch.checkpointBehind
                if Self.isOnlyMarks(batch), !after.isFinished, after.offset - before.offset < Self.idleBytesMax {
                    deferred = (batch, after)
                    continue
                }
                deferred = nil
                checkpoints[file] = try await store.commit(batch, from: before, to: after)
                if batch.milestones != 0 { self.request.onMilestones?() }
                self.request.onCommit?()
                self.progress.update { progress in
                    progress.eventsCommitted += Int64(batch.eventCount)
                    progress.lastCommit = .now
                }
            }
            if let deferred, let before = checkpoints[deferred.to.file] {
                _ = try await store.commit(deferred.batch, from: before, to: deferred.to)
            }
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }

    /// How far an idle lane's checkpoint may stay behind before it is carried forward alone.
    private static let idleBytesMax: Int64 = 32 << 20

    private static func isOnlyMarks(_ batch: LaneBatch) -> Bool {
        batch.changes.isEmpty && batch.tally.isEmpty && batch.others.allSatisfy { batch[$0].isMark }
    }
}
