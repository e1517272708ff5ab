import TidemarkCore

/// What the readers of a pass share.
struct PumpContext: Sendable {
    let pool: RouterPool
    let queues: [LaneQueue]
    let activity: ReaderActivity
    let budget: MemoryBudget
    let progress: PassProgress
    let watch: PassWatch
    let onRouted: (@Sendable (RoutedBlock) -> Void)?
    let onLease: (@Sendable (_ source: String, _ change: LeaseChange) -> Void)?
}

/// From one stream's reader, by way of the routers, to the lanes' queues, in the order of the stream.
struct StreamPump: ~Copyable {
    private let context: PumpContext
    private let stream: PassStream
    private let reader: any StreamReader
    private let tracker: LevelTracker
    /// It cannot be read ahead: its beginning is counted when it is its turn.
    private let hasUnknownBeginning: Bool
    /// Bytes of the streams before.
    private let readBefore: Int64
    /// How many bytes of input have been handed on, with those of the streams before.
    private var handedOn: Int64
    /// Blocks on their way through the routers, in the order of the stream.
    private var pending: [(job: RouterPool.Job, bytesRead: Int64, permit: MemoryPermit)] = []

    init(
        _ context: PumpContext,
        _ stream: PassStream,
        reader: any StreamReader,
        tracker: LevelTracker,
        hasUnknownBeginning: Bool,
        readBefore: Int64
    ) {
        self.context = context
        self.stream = stream
        self.reader = reader
        self.tracker = tracker
        self.hasUnknownBeginning = hasUnknownBeginning
        self.readBefore = readBefore
        self.handedOn = readBefore + reader.bytesRead
    }

    /// Reads the stream to its end.
    /// - Throws: what the reader throws, once everything that was read before is handed on; ``PassStop``;
    ///   `CancellationError`.
    consuming func run() async throws {
        self.context.activity.begin()
        defer { self.context.activity.end() }
        do {
            while try await self.readBlock() {}
        } catch let error as StreamDataError {
            try await self.handOn(downTo: 0)
            throw error
        }
        try await self.handOn(downTo: 0)
        var end = self.reader.progress
        if let limit = self.stream.limit, limit <= end.offset {
            end.offset = limit
        } else {
            end.isAtEnd = true
        }
        _ = self.tracker.enter(end: end, parts: 0)
        // Nothing follows that would fill the lanes' batches; another stream may be waiting for long.
        self.context.queues.flush()
    }

    /// - Returns: `false` at the end of the stream, or of what is read of it.
    private mutating func readBlock() async throws -> Bool {
        if let limit = self.stream.limit, self.reader.progress.offset >= limit { return false }
        let queues = self.context.queues
        var isIdle = self.reader.isIdle
        if isIdle {
            try await self.handOn(downTo: 0)
            await self.reader.linger()
            isIdle = self.reader.isIdle
        }
        // A reader that waits holds no memory: hundreds of quiet files would hold the whole budget.
        let bytes = isIdle ? 0 : self.reader.blockBytes
        // Blocks on their way hold permits that come back only once lanes have them.
        if !self.context.budget.hasRoom(for: bytes) { try await self.handOn(downTo: 0) }
        let permit = try await self.context.budget.acquire(bytes) { queues.flush() }
        guard let block = try await self.nextBlock(isIdle: isIdle) else { return false }
        permit.resize(to: Self.weight(of: block, reader: self.reader.blockBytes))
        self.tracker.note(head: self.reader.head)
        let isAlone = try await self.context.watch.look(
            at: block,
            of: self.stream,
            hasUnknownBeginning: self.hasUnknownBeginning,
            self.context.pool
        )
        self.pending.append((self.context.pool.start(block, of: self.stream), self.reader.bytesRead, permit))
        // Blocks that are routed while something is to be found know of what those before them have told.
        try await self.handOn(downTo: isAlone ? 0 : self.context.pool.depth)
        try Task.checkCancellation()
        return true
    }

    private func nextBlock(isIdle: Bool) async throws -> MessageBlock? {
        guard isIdle else { return try await self.reader.next() }
        let reader = self.reader
        return try await self.context.activity.wait(isBehind: reader.isBehind) { try await reader.next() }
    }

    /// Bytes of the budget that a block takes until it is routed. One of a large message counts four times at once: it
    /// becomes an event that takes three times as much (``LaneSegment/weight``), beside the parser's copy. The next one
    /// would otherwise be read before that is known.
    private static func weight(of block: MessageBlock, reader blockBytes: Int) -> Int {
        block.bytes.count <= 4 * blockBytes ? block.bytes.count : 4 * block.bytes.count
    }

    /// Gives the lanes what has been routed, until so few blocks are on their way.
    private mutating func handOn(downTo left: Int) async throws {
        while self.pending.count > left {
            let next = self.pending.removeFirst()
            let done = await next.job.value()
            self.reader.recycle(done.block)
            let routed = done.routed
            let bytesRead = self.readBefore + next.bytesRead
            // What lanes have to commit first is in hand until they have.
            let parts = Int64(routed.segments.count { !$0.isEmpty })
            let bytes = bytesRead - self.handedOn
            let share = parts == 0 ? 0 : bytes / parts
            self.handedOn = bytesRead
            self.context.progress.update { progress in
                progress.bytesRead = bytesRead
                progress.bytesInHand += share * parts
                progress.messagesRead += Int64(routed.messages)
                progress.deadLetters += Int64(routed.deadLetters)
            }
            if let onRouted = self.context.onRouted {
                onRouted(routed.seen(of: self.stream.settings.name, bytes: bytes))
            }
            let isTaken = try await self.enqueue(routed.segments, inputBytes: share, permit: next.permit)
            guard isTaken else { throw CancellationError() }
            if let stop = await self.context.watch.count(routed) { throw stop }
        }
    }

    /// Enters the block with the stream's level, and gives each lane its segment.
    private func enqueue(_ segments: [LaneSegment], inputBytes: Int64, permit: MemoryPermit) async throws
        -> Bool
    {
        guard let end = segments.first?.end else { return true }
        segments.first?.receipt?.expect(parts: segments.count { !$0.isEmpty })
        let block = self.tracker.enter(end: end, parts: segments.count { !$0.isEmpty })
        // From here on it is what the segments weigh; it comes back when the last of them is committed.
        permit.resize(to: segments.reduce(0) { $0 + ($1.isEmpty ? 0 : $1.weight) })
        var segments = segments
        for lane in segments.indices where !segments[lane].isEmpty {
            segments[lane].level = (self.tracker, block)
            segments[lane].permit = permit
            segments[lane].inputBytes = inputBytes
        }
        let isTaken = try await self.context.queues.enqueue(segments)
        // Another reader has flushed before it waited for the budget; what came since may be what it waits for.
        if self.context.budget.hasWaiters { self.context.queues.flush() }
        return isTaken
    }
}

extension EventRouter.Routed {
    func seen(of source: String, bytes: Int64) -> RoutedBlock {
        RoutedBlock(
            source: source,
            messages: self.messages,
            bytes: bytes,
            deadLetters: self.segments.flatMap { $0.deadLetters.map(\.rejection.reason) }
        )
    }
}

/// Why a pass ends before its streams do.
enum PassStop: Error {
    case strict
    case tooManyDeadLetters(limit: String)
}

/// What is watched over all streams of a pass: what messages say of themselves, and how many are dead letters.
actor PassWatch {
    private var detector: ReadingDetector
    private var deadLetterWatch: DeadLetterWatch
    private let save: @Sendable (DetectedReadings) async throws -> Void
    /// Stores what was found, and has the routers use it. Other streams wait for that with their blocks.
    private var deciding: Task<Void, any Error>?

    /// - Parameter save: stores what was found.
    init(
        _ detector: ReadingDetector,
        _ deadLetterWatch: DeadLetterWatch,
        save: @escaping @Sendable (DetectedReadings) async throws -> Void
    ) {
        self.detector = detector
        self.deadLetterWatch = deadLetterWatch
        self.save = save
    }

    /// What earlier runs have counted stops this one too.
    var stop: PassStop? { self.deadLetterWatch.exceeded.map { .tooManyDeadLetters(limit: $0) } }

    /// Counts what a block says, as long as something is to be found.
    /// - Returns: whether the block is to be routed alone.
    func look(
        at block: MessageBlock,
        of stream: PassStream,
        hasUnknownBeginning: Bool,
        _ pool: RouterPool
    ) async throws -> Bool {
        try await self.deciding?.valueUnlessCancelled
        let isBeginning =
            hasUnknownBeginning && self.detector.isUnitOpen && ReadingDetector.isBeginning(block)
        guard self.detector.isKindOpen || isBeginning else { return false }
        self.detector.count(block, stream.settings, isBeginning: isBeginning)
        try await self.decide(pool)
        return true
    }

    /// Counts the first messages of streams that can be read ahead, before any of them is routed.
    func look(atBeginningsOf source: some Source, _ pool: RouterPool) async throws {
        self.detector.count(beginningsOf: source)
        try await self.decide(pool)
    }

    /// Stores what has been found before anything is routed by it: a run that resumes here reads other beginnings.
    private func decide(_ pool: RouterPool) async throws {
        let found = self.detector.decide()
        guard !found.isEmpty else { return }
        let (save, known) = (self.save, self.detector.known)
        let deciding = Task {
            try await save(found)
            await pool.use(known)
        }
        self.deciding = deciding
        defer { self.deciding = nil }
        try await deciding.valueUnlessCancelled
    }

    func count(_ routed: EventRouter.Routed) -> PassStop? {
        self.deadLetterWatch.count(messages: routed.messages, deadLetters: routed.deadLetters)
        if routed.isStopped { return .strict }
        return self.stop
    }
}
