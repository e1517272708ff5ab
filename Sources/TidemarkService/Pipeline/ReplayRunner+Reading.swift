import Foundation
import LibPQ
import Logging
import TidemarkCore
import TidemarkIngest
import TidemarkPostgres

extension ReplayRunner {
    func read(_ context: ReplayContext, _ writer: WriterLock) async throws -> ReplayOutcome.Ending {
        var reading = ReplayReading(self, context, writer)
        return try await reading.run()
    }
}

/// The reader: from files, by way of the routers, to the lanes' queues.
private struct ReplayReading: ~Copyable {
    private let request: ReplayRequest
    private let logger: Logger
    private let interrupt: Interrupt
    private let progress: ReplayProgress
    private let context: ReplayRunner.ReplayContext
    private let writer: WriterLock
    private let pool: RouterPool
    private var detector: ReadingDetector
    private var deadLetterLimit: DeadLetterLimit
    /// One thread cannot read, nor lanes commit, for more than so many.
    private static let routersMax = 4
    /// The sizes of the files before.
    private var readBefore: Int64 = 0
    /// Blocks on their way through the routers, in the order of the input.
    private var pending: [(job: RouterPool.Job, rawOffset: Int64, permit: MemoryPermit)] = []
    /// What one read of a file brings, and so about the size of a block.
    private static let blockBytes = 256 << 10

    init(_ runner: ReplayRunner, _ context: ReplayRunner.ReplayContext, _ writer: WriterLock) {
        let request = runner.request
        self.request = request
        self.logger = runner.logger
        self.interrupt = runner.interrupt
        self.progress = runner.progress
        self.context = context
        self.writer = writer
        self.detector = ReadingDetector(context.plans, known: context.readings)
        self.deadLetterLimit = DeadLetterLimit(request.configuration.limits.maxDeadLetters, earlier: context.earlier)
        self.pool = RouterPool(workers: min(ProcessInfo.processInfo.activeProcessorCount, Self.routersMax)) {
            EventRouter(
                plans: context.plans,
                readings: context.readings,
                settings: context.streams.first?.settings ?? SourceSettings(name: ""),
                sourceIndex: context.streams.first?.sourceIndex ?? 0,
                lanes: context.state.lanes,
                laneRule: context.state.laneRule,
                isStrict: request.isStrict
            )
        }
    }

    mutating func run() async throws -> ReplayOutcome.Ending {
        // What earlier runs have counted stops this one too, even where they had read all there is.
        if let limit = self.deadLetterLimit.exceeded { return .tooManyDeadLetters(limit: limit) }
        self.detector.count(
            beginningsOf: zip(self.request.files, self.context.streams).map { ($0, $1.settings) },
            messageBytesMax: self.request.configuration.limits.messageBytes
        )
        try await self.decide()
        for (file, stream) in zip(self.request.files, self.context.streams) {
            if let ending = try await self.read(file, stream) { return ending }
            self.readBefore += file.size
        }
        return .finished
    }

    /// - Returns: why nothing is read behind it.
    private mutating func read(
        _ file: InputFile,
        _ stream: EventRouter.Stream
    ) async throws -> ReplayOutcome.Ending? {
        let level = stream.committed.level
        // One that has grown since is read on.
        let isDone = level.isAtEnd && (file.isCompressed || Int64(clamping: level.offset.major) >= file.size)
        let handover = LaneHandover(
            queues: self.context.queues,
            tracker: self.context.levels.track(stream.id, from: level)
        )
        guard !isDone else { return nil }
        do {
            let reader = try LineReader(
                file,
                stream: stream.id,
                messageBytesMax: self.request.configuration.limits.messageBytes,
                interrupt: self.interrupt
            )
            if level.offset > .start {
                try reader.skip(toOffset: Int64(clamping: level.offset.major), lineNumber: level.ordinal)
            }
            do {
                if let ending = try await self.readBlocks(reader, stream, handover) { return ending }
            } catch let error as InputError {
                if error.isBadData, let ending = try await self.handOn(downTo: 0, reader, handover) { return ending }
                throw error
            }
            handover.close(at: reader.progress)
        } catch let error as InputError {
            if error.code == .interrupted { return .interrupted }
            guard error.isBadData else { throw error }
            return .badInput(error.description)
        }
        return nil
    }

    private mutating func readBlocks(
        _ reader: LineReader,
        _ stream: EventRouter.Stream,
        _ handover: LaneHandover
    ) async throws -> ReplayOutcome.Ending? {
        while true {
            if reader.wouldWait {
                if let ending = try await self.handOn(downTo: 0, reader, handover) { return ending }
                self.context.queues.flush()
            }
            // Blocks on their way hold permits that come back only once lanes have them.
            if !self.context.budget.hasRoom(for: Self.blockBytes),
                let ending = try await self.handOn(downTo: 0, reader, handover)
            {
                return ending
            }
            let permit = try await self.context.budget.acquire(Self.blockBytes) { self.context.queues.flush() }
            guard let block = try reader.nextBlock() else { break }
            permit.resize(to: block.bytes.count)
            let isBeginning = self.detector.isUnitOpen && ReadingDetector.isBeginning(block, of: reader.file)
            let isAlone = self.detector.isKindOpen || isBeginning
            if isAlone {
                self.detector.count(block, stream.settings, isBeginning: isBeginning)
                try await self.decide()
            }
            self.pending.append((self.pool.start(block, of: stream), reader.rawOffset, permit))
            // Blocks that are routed while something is to be found know of what those before them have told.
            let left = isAlone ? 0 : self.pool.depth
            if let ending = try await self.handOn(downTo: left, reader, handover) { return ending }
            if self.interrupt.isRaised { return .interrupted }
        }
        return try await self.handOn(downTo: 0, reader, handover)
    }

    /// Gives the lanes what has been routed, in the order of the input, until so few blocks are on their way.
    /// - Returns: why nothing may follow.
    private mutating func handOn(
        downTo left: Int,
        _ reader: LineReader,
        _ handover: LaneHandover
    ) async throws -> ReplayOutcome.Ending? {
        while self.pending.count > left {
            let next = self.pending.removeFirst()
            let done = await next.job.value()
            reader.reuse(done.block)
            let routed = done.routed
            self.deadLetterLimit.count(messages: routed.messages, deadLetters: routed.deadLetters)
            let bytesRead = self.readBefore + next.rawOffset
            self.progress.update { progress in
                progress.bytesRead = bytesRead
                progress.messagesRead += Int64(routed.messages)
                progress.deadLetters += Int64(routed.deadLetters)
            }
            guard try await handover.enqueue(routed.segments, permit: next.permit) else { return .interrupted }
            if routed.isStopped { return .strict }
            if let limit = self.deadLetterLimit.exceeded { return .tooManyDeadLetters(limit: limit) }
        }
        return nil
    }

    /// Stores what has been found before anything is routed by it: a run that resumes here reads other beginnings.
    private mutating func decide() async throws {
        let found = self.detector.decide()
        guard !found.isEmpty else { return }
        try await self.writer.perform(wait: self.request.databaseWait, logger: self.logger) { connection in
            try await PassStore.save(found, on: connection)
        }
        await self.pool.use(self.detector.known)
    }
}
