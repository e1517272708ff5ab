import AsyncAlgorithms
import Foundation
package import Logging
import Synchronization
package import TidemarkCore

/// What a pass may use, and when it stops.
package struct ProjectorSettings: Sendable {
    package var limits: Limits
    /// The first dead letter ends the pass.
    package var isStrict = false
    /// Called after each commit that may have reached a milestone, from any thread.
    package var onMilestones: (@Sendable () -> Void)?
    /// Called after each commit, from any thread.
    package var onCommit: (@Sendable (CommittedBatch) -> Void)?
    /// Called for each block that was routed, from any thread.
    package var onRouted: (@Sendable (RoutedBlock) -> Void)?
    /// Called when a lane takes a batch, and when it has committed it, from any thread.
    package var onLane: (@Sendable (_ lane: Int, _ isBusy: Bool) -> Void)?
    /// Called when a live pass takes or gives back the lease of one of a source's streams, from any thread.
    package var onLease: (@Sendable (_ source: String, _ change: LeaseChange) -> Void)?
    /// After ``Projector/stop()`` a live pass commits what was read, for as long as this.
    package var drainTimeout = Duration.seconds(30)
    /// Called every second; throws when the pass may not go on.
    package var check: @Sendable () async throws -> Void = {}
    /// What may wait between reading and its commit in all, in bytes. On its way to the server what is written is in
    /// memory three times: encoded, as arrays, and in libpq's buffer.
    package var budgetBytes = 34 << 20
    /// About so many bytes make a batch, of all lanes together; beyond as many waiting bytes a lane's producers wait.
    package var batchBytes = 18 << 20

    package init(limits: Limits) {
        self.limits = limits
    }
}

/// How many messages and dead letters a block of a source held.
package struct RoutedBlock: Sendable {
    package var source: String
    package var messages: Int
    /// As the source stores them, compressed where it does.
    package var bytes: Int64
    package var deadLetters: [Rejection.Reason]
}

package struct CommittedBatch: Sendable {
    package var batch: LaneBatch
    /// The names of the sources, as the batch's events number them.
    package var sources: [String]
    package var report: CommitReport
    /// How long the commit took, outages that it waited for included.
    package var elapsed: Duration
}

package enum LeaseChange: Sendable {
    case taken
    case givenBack
    /// Given back because another process is to have it.
    case passedOn
}

/// Reads a source's streams into a store: pumps, routers, and one committer for each lane. A replay, a rebuild and a dry
/// run differ in source, store and settings, and in nothing else.
///
/// Everything that waits heeds cancellation. When a lane fails everything stops, and the next run resumes from levels and
/// progress.
package final class Projector<Store: ProjectionStore, Input: Source>: Sendable {
    let store: Store
    private let source: Input
    private let settings: ProjectorSettings
    private let logger: Logger
    package let progress: PassProgress
    private let reading = Mutex((isStopped: false, task: Task<Void, any Error>?.none))

    package init(
        _ store: Store,
        _ source: Input,
        _ settings: ProjectorSettings,
        progress: PassProgress,
        logger: Logger
    ) {
        self.store = store
        self.source = source
        self.settings = settings
        self.progress = progress
        self.logger = logger
    }

    /// Ends the pass after the batches in hand. Safe from any thread.
    package func stop() {
        self.reading.withLock { reading in
            reading.isStopped = true
            reading.task?.cancel()
        }
    }

    package func run() async throws -> PassOutcome {
        try await self.run(live: nil)
    }

    /// - Parameter live: what a pass has whose streams come and go.
    func run(live: LivePass?) async throws -> PassOutcome {
        let pass = try await self.store.begin(self.source.streams)
        let sizes = self.source.streams.map(\.size)
        self.progress.update { progress in
            progress.bytesTotal = sizes.contains(nil) ? nil : sizes.reduce(0) { $0 + ($1 ?? 0) }
            // An attempt that failed may have left what it had not committed.
            (progress.eventsInHand, progress.bytesInHand) = (0, 0)
        }
        let levels = StreamLevels()
        var ending = PassOutcome.Ending.finished
        var failure: (any Error)?
        do {
            ending = try await self.process(pass, levels, live)
        } catch {
            failure = error
        }
        let elapsed = (self.progress.snapshot.lastCommit ?? self.progress.start) - self.progress.start
        let summary: PassSummary
        do {
            summary = try await self.store.end(
                levels.all(),
                elapsedSeconds: elapsed / .seconds(1),
                isFinished: failure == nil && ending == .finished,
                waits: failure == nil
            )
        } catch {
            throw failure ?? error
        }
        if let failure { throw failure }
        for level in levels.moved() { try await levels.acknowledge(level) }
        return PassOutcome(ending: ending, summary: summary)
    }

    /// One thread cannot read, nor lanes commit, for more than so many.
    private static var routersMax: Int { 4 }

    /// What a live pass may use of its budget once it has lost its database, in bytes, and for how much of the backlog:
    /// more than the 33 MB that 100,000 lines take. With the whole budget memory grew by a third during 20 s without a
    /// database at 5,000 events a second, with this part by a twentieth. It is too little for all times: with 2 MiB, a
    /// million events of few keys took half as much processor time again.
    private static var cautiousBytes: Int { 1 << 20 }
    private static var cautionPatience: Int { 40 << 20 }

    // MARK: Reader and lanes

    private func process(
        _ pass: PassContext,
        _ levels: StreamLevels,
        _ live: LivePass?
    ) async throws -> PassOutcome.Ending {
        let limits = self.settings.limits
        let queues = (0..<pass.lanes).map { _ in
            LaneQueue(
                batchEvents: limits.batchEvents,
                batchBytes: min(self.settings.batchBytes, self.settings.budgetBytes) / pass.lanes,
                eventsMax: limits.batchEvents * max(1, limits.pendingBatches - 1)
            )
        }
        let budget = MemoryBudget(
            limit: self.settings.budgetBytes,
            cautious: live == nil ? nil : Self.cautiousBytes,
            patience: Self.cautionPatience
        )
        self.progress.watch {
            let behind = levels.behind()
            return PassProgress.Gauges(
                queueBytes: queues.reduce(0) { $0 + $1.weight },
                budgetUsed: budget.used,
                budgetLimit: budget.limit,
                behind: behind
            )
        }
        defer { self.progress.watch(nil) }
        return try await withThrowingTaskGroup(of: PassOutcome.Ending?.self) { group in
            group.addTask { [self] in
                defer { for queue in queues { queue.close() } }
                return try await self.read(pass, queues, budget, levels, live)
            }
            for lane in 0..<pass.lanes {
                group.addTask { [self] in
                    try await self.runLane(lane, pass, queues[lane], budget, live)
                    return nil
                }
            }
            group.addTask { [self] in
                for await _ in AsyncTimerSequence.repeating(every: .seconds(1)) {
                    try await self.settings.check()
                    try await self.pass(on: levels)
                }
                return nil
            }
            if let live {
                group.addTask {
                    try await live.share()
                    return nil
                }
            }
            var running = pass.lanes + 1
            var ending = PassOutcome.Ending.finished
            do {
                while running > 0, let result = try await group.next() {
                    running -= 1
                    guard let result else { continue }
                    ending = result
                    guard result == .interrupted else { continue }
                    guard live != nil else {
                        // Only the batches that lanes are committing are waited for: an operator has asked for the end.
                        for queue in queues { queue.stop() }
                        continue
                    }
                    group.addTask { [self] in
                        try await Task.sleep(for: self.settings.drainTimeout)
                        let events = queues.reduce(0) { $0 + $1.events } + self.progress.eventsInHand
                        throw DrainTimeout(events: events)
                    }
                }
            } catch {
                self.stop()
                for queue in queues { queue.stop() }
                group.cancelAll()
                // A lane may wait for a lock that others hold for as long as they like.
                let patience = error is DrainTimeout ? Duration.zero : self.settings.drainTimeout
                let abandoning = live.map { live in
                    Task {
                        try await Task.sleep(for: patience)
                        await live.abandon()
                    }
                }
                while await group.nextResult() != nil {}
                abandoning?.cancel()
                throw error
            }
            group.cancelAll()
            return ending
        }
    }

    /// Stores levels that have moved, and acknowledges them to their sources. What cannot be stored now is stored later.
    private func pass(on levels: StreamLevels) async throws {
        for level in levels.owed() { try await levels.acknowledge(level) }
        let moved = levels.moved()
        guard !moved.isEmpty, (try? await self.store.save(levels: moved)) != nil else {
            return
        }
        for level in moved { try await levels.acknowledge(level) }
    }

    private func runLane(
        _ lane: Int,
        _ pass: PassContext,
        _ queue: LaneQueue,
        _ budget: MemoryBudget,
        _ live: LivePass?
    ) async throws {
        let source = self.source
        let indexes = Dictionary(pass.streams.enumerated().map { ($1.id, $0) }) { first, _ in first }
        let committer = try self.store.committer(for: lane, in: pass) { stream, offset, ordinal in
            if let live { return live.rereaders[stream]?(offset, ordinal) }
            return indexes[stream].flatMap { source.reread($0, at: offset, ordinal: ordinal) }
        } onLoss: {
            budget.caution()
        }
        let onLane = self.settings.onLane
        await committer.open()
        do {
            while let batch = try await queue.next() {
                onLane?(lane, true)
                self.progress.update { $0.eventsInHand += batch.eventCount }
                let start = ContinuousClock.now
                let report = try await committer.commit(batch)
                let elapsed = ContinuousClock.now - start
                budget.relax()
                onLane?(lane, false)
                var bytes: Int64 = 0
                for segment in batch.finished {
                    bytes += batch.segments[segment].inputBytes
                    batch.segments[segment].receipt?.commitPart()
                    guard let level = batch.segments[segment].level else { continue }
                    level.tracker.commit(level.block)
                }
                if batch.milestones != 0 { self.settings.onMilestones?() }
                self.settings.onCommit?(
                    CommittedBatch(batch: batch, sources: pass.sources, report: report, elapsed: elapsed)
                )
                self.progress.update { progress in
                    progress.eventsCommitted += Int64(batch.eventCount)
                    progress.eventsInHand -= batch.eventCount
                    progress.bytesInHand -= bytes
                    progress.lastCommit = .now
                }
            }
        } catch {
            await committer.close()
            throw error
        }
        await committer.close()
    }

    // MARK: Reading

    private func read(
        _ pass: PassContext,
        _ queues: [LaneQueue],
        _ budget: MemoryBudget,
        _ levels: StreamLevels,
        _ live: LivePass?
    ) async throws -> PassOutcome.Ending {
        let (store, source) = (self.store, self.source)
        let watch = PassWatch(
            ReadingDetector(pass.plans, known: pass.readings),
            DeadLetterWatch(self.settings.limits.maxDeadLetters, earlier: pass.earlier)
        ) { try await store.save($0) }
        if case .tooManyDeadLetters(let limit) = await watch.stop { return .tooManyDeadLetters(limit: limit) }
        let workers =
            pass.observer == nil ? min(ProcessInfo.processInfo.activeProcessorCount, Self.routersMax) : 1
        let pool = RouterPool(workers: workers) { EventRouter(pass, isStrict: self.settings.isStrict) }
        let pump = PumpContext(
            pool: pool,
            queues: queues,
            activity: ReaderActivity(queues),
            budget: budget,
            progress: self.progress,
            watch: watch,
            onRouted: self.settings.onRouted,
            onLease: self.settings.onLease
        )
        let join: @Sendable (ProgressKey, StreamOffset) async throws -> Void = { try await store.join($0, at: $1) }
        let host: any StreamHost =
            live?.host(pump, levels, join)
            ?? ProjectorHost(pass: pass, join: join, descriptions: source.streams, levels: levels, pump: pump)
        // Its own thread, since readers of files block.
        let task = Task(executorPreference: ReaderExecutor()) {
            try await watch.look(atBeginningsOf: source, pool)
            try await source.run(host)
        }
        self.reading.withLock { reading in
            reading.task = task
            if reading.isStopped { task.cancel() }
        }
        do {
            try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
            return .finished
        } catch is CancellationError {
            return .interrupted
        } catch let error as StreamDataError {
            return .badInput(error.description)
        } catch let stop as PassStop {
            switch stop {
            case .strict: return .strict
            case .tooManyDeadLetters(let limit): return .tooManyDeadLetters(limit: limit)
            }
        }
    }
}
