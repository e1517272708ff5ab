import Synchronization
import TidemarkCore
import TidemarkIngest

/// Routes blocks of lines side by side, and gives them back in the order in which they were read: decoding, checking
/// and encoding are most of a replay's own work, and no block depends on another.
///
/// Used by one reader.
final class RouterPool {
    /// A block that has been routed.
    struct Routed {
        var block: LineBlock
        var routed: EventRouter.Routed
        /// Bytes taken from the input when it was read, for showing progress.
        var rawOffset: Int64
    }

    private struct Pending {
        var job: Job
        var task: Task<EventRouter.Routed, Never>
        var rawOffset: Int64
    }

    /// One block on its way. Who finishes it leaves the block's memory to be used again.
    private final class Job: Sendable {
        let block: Mutex<LineBlock?>

        init(_ block: consuming LineBlock) { self.block = Mutex(consume block) }
    }

    private actor Worker {
        private var router: EventRouter

        init(_ router: consuming EventRouter) { self.router = router }

        func use(_ settings: SourceSettings) { self.router.use(settings) }
        func use(_ readings: DetectedReadings) { self.router.use(readings) }

        func route(_ job: Job, of input: EventRouter.Input) -> EventRouter.Routed {
            job.block.withLock { block in
                guard let block else { preconditionFailure("a block is routed once") }
                return self.router.route(block, of: input)
            }
        }
    }

    private let workers: [Worker]
    private var pending: [Pending] = []
    private var next = 0

    /// - Parameter makeRouter: makes one worker's router; all are alike.
    init(workers: Int, _ makeRouter: () -> EventRouter) {
        self.workers = (0..<max(1, workers)).map { _ in Worker(makeRouter()) }
    }

    /// How many blocks are on their way.
    var count: Int { self.pending.count }

    /// So many keep every worker busy while one block is handed on.
    var depth: Int { self.workers.count }

    /// Another source begins. Only while the pool is empty.
    func use(_ settings: SourceSettings) async {
        for worker in self.workers { await worker.use(settings) }
    }

    /// More is known of what messages say of themselves. Only while the pool is empty.
    func use(_ readings: DetectedReadings) async {
        for worker in self.workers { await worker.use(readings) }
    }

    func add(_ block: consuming LineBlock, of input: EventRouter.Input, rawOffset: Int64) {
        let worker = self.workers[self.next]
        self.next = (self.next + 1) % self.workers.count
        let job = Job(block)
        let task = Task { await worker.route(job, of: input) }
        self.pending.append(Pending(job: job, task: task, rawOffset: rawOffset))
    }

    /// Waits for the block that was added first.
    func take() async -> Routed? {
        guard !self.pending.isEmpty else { return nil }
        let first = self.pending.removeFirst()
        let routed = await first.task.value
        guard let block = first.job.block.withLock({ $0.take() }) else { preconditionFailure("a block is taken once") }
        return Routed(block: block, routed: routed, rawOffset: first.rawOffset)
    }
}
