import Foundation
import LibPQ
import Logging
import TidemarkCore
import TidemarkIngest
import TidemarkPostgres

extension ReplayRunner {
    func read(_ setting: Setting, _ writer: WriterLock) async throws -> ReplayOutcome.Ending {
        var reading = ReplayReading(self, setting, writer)
        return try await reading.run()
    }
}

/// The reader: from files, by way of the routers, to the lanes' queues.
private struct ReplayReading: ~Copyable {
    private let request: ReplayRequest
    private let logger: Logger
    private let interrupt: Interrupt
    private let progress: ReplayProgress
    private let setting: ReplayRunner.Setting
    private let writer: WriterLock
    private let pool: RouterPool
    private var detector: ReadingDetector
    private var deadLetterLimit: DeadLetterLimit
    /// One thread cannot read, nor lanes commit, for more than so many.
    private static let routersMax = 4
    /// The sizes of the files before.
    private var readBefore: Int64 = 0

    init(_ runner: ReplayRunner, _ setting: ReplayRunner.Setting, _ writer: WriterLock) {
        let request = runner.request
        self.request = request
        self.logger = runner.logger
        self.interrupt = runner.interrupt
        self.progress = runner.progress
        self.setting = setting
        self.writer = writer
        self.detector = ReadingDetector(setting.plans, known: setting.readings)
        self.deadLetterLimit = DeadLetterLimit(request.configuration.limits.maxDeadLetters, earlier: setting.earlier)
        self.pool = RouterPool(workers: min(ProcessInfo.processInfo.activeProcessorCount, Self.routersMax)) {
            EventRouter(
                plans: setting.plans,
                readings: setting.readings,
                settings: setting.inputs.first?.settings ?? SourceSettings(name: ""),
                lanes: setting.state.lanes,
                isStrict: request.isStrict
            )
        }
    }

    mutating func run() async throws -> ReplayOutcome.Ending {
        // What earlier runs have counted stops this one too, even where they had read all there is.
        if let limit = self.deadLetterLimit.exceeded { return .tooManyDeadLetters(limit: limit) }
        self.detector.count(
            beginningsOf: zip(self.request.files, self.setting.inputs).map { ($0, $1.settings) },
            messageBytesMax: self.request.configuration.limits.messageBytes
        )
        try await self.decide()
        for (file, input) in zip(self.request.files, self.setting.inputs) {
            if let ending = try await self.read(file, input) { return ending }
            self.readBefore += file.size
        }
        return .finished
    }

    /// - Returns: why nothing is read behind it.
    private mutating func read(
        _ file: InputFile,
        _ input: EventRouter.Input
    ) async throws -> ReplayOutcome.Ending? {
        guard let start = input.checkpoints.filter({ !$0.isFinished }).min(by: Checkpoint.isBefore) else { return nil }
        await self.pool.use(input.settings)
        var last = LaneSegment(file: input.file)
        do {
            let reader = try LineReader(
                file,
                messageBytesMax: self.request.configuration.limits.messageBytes,
                interrupt: self.interrupt
            )
            if start.offset > 0 { try reader.skip(toOffset: start.offset, lineNumber: start.line) }
            do {
                if let ending = try await self.readBlocks(reader, input) { return ending }
            } catch let error as InputError {
                if error.isBadData, let ending = await self.handOn(downTo: 0, reader, input) { return ending }
                throw error
            }
            last.close(at: reader.offset, line: reader.lineNumber, isEnd: true)
        } catch let error as InputError {
            if error.code == .interrupted { return .interrupted }
            guard error.isBadData else { throw error }
            return .badInput(error.description)
        }
        let runs = Array(repeating: last, count: self.setting.queues.count)
        return await self.put(runs, input) ? nil : .interrupted
    }

    private mutating func readBlocks(
        _ reader: LineReader,
        _ input: EventRouter.Input
    ) async throws -> ReplayOutcome.Ending? {
        while true {
            if reader.wouldWait {
                if let ending = await self.handOn(downTo: 0, reader, input) { return ending }
                self.setting.queues.flush()
            }
            guard let block = try reader.nextBlock() else { break }
            let isBeginning = self.detector.isUnitOpen && ReadingDetector.isBeginning(block, of: reader.file)
            let isAlone = self.detector.isKindOpen || isBeginning
            if isAlone {
                self.detector.count(block, input.settings, isBeginning: isBeginning)
                try await self.decide()
            }
            self.pool.add(block, of: input, rawOffset: reader.rawOffset)
            // Blocks that are routed while something is to be found know of what those before them have told.
            let left = isAlone ? 0 : self.pool.depth
            if let ending = await self.handOn(downTo: left, reader, input) { return ending }
            if self.interrupt.isRaised { return .interrupted }
        }
        return await self.handOn(downTo: 0, reader, input)
    }

    /// Gives the lanes what has been routed, in the order of the input, until so few blocks are on their way.
    /// - Returns: why nothing may follow.
    private mutating func handOn(
        downTo left: Int,
        _ reader: LineReader,
        _ input: EventRouter.Input
    ) async -> ReplayOutcome.Ending? {
        while self.pool.count > left, let next = await self.pool.take() {
            reader.reuse(next.block)
            let routed = next.routed
            self.deadLetterLimit.count(messages: routed.messages, deadLetters: routed.deadLetters)
            let bytesRead = self.readBefore + next.rawOffset
            self.progress.update { progress in
                progress.bytesRead = bytesRead
                progress.messagesRead += Int64(routed.messages)
                progress.deadLetters += Int64(routed.deadLetters)
            }
            guard await self.put(routed.runs, input) else { return .interrupted }
            if routed.isStopped { return .strict }
            if let limit = self.deadLetterLimit.exceeded { return .tooManyDeadLetters(limit: limit) }
        }
        return nil
    }

    /// - Returns: `false` when a lane takes nothing any more.
    private func put(_ runs: [LaneSegment], _ input: EventRouter.Input) async -> Bool {
        await self.setting.queues.put(runs) { !input.checkpoints[$0].isFinished }
    }

    /// Stores what has been found before anything is routed by it: a run that goes on from here reads other beginnings.
    private mutating func decide() async throws {
        let found = self.detector.decide()
        guard !found.isEmpty else { return }
        try await self.writer.perform(wait: self.request.databaseWait, logger: self.logger) { connection in
            try await ReplayStore.save(found, on: connection)
        }
        await self.pool.use(self.detector.known)
    }
}
