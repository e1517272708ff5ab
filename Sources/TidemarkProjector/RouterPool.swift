import Synchronization
import TidemarkCore

/// Routes blocks in parallel: decoding, checking and encoding are most of a replay's own work, and no block depends on
/// another. Blocks of several streams may be on their way at once; who starts one waits for it in its own order.
final class RouterPool: Sendable {
    /// A block that has been routed.
    struct Routed {
        var block: MessageBlock
        var routed: EventRouter.Routed
    }

    /// One block on its way. Taking it back gives its memory back to its reader.
    final class Job: Sendable {
        private let block: Mutex<MessageBlock?>
        private let task: Mutex<Task<EventRouter.Routed, Never>?> = Mutex(nil)

        fileprivate init(_ block: consuming MessageBlock) { self.block = Mutex(consume block) }

        fileprivate func start(on worker: Worker, _ stream: PassStream) {
            let task = Task { await worker.route(self, of: stream) }
            self.task.withLock { $0 = task }
        }

        fileprivate func route(with router: inout EventRouter, of stream: PassStream) -> EventRouter.Routed {
            self.block.withLock { block in
                guard let block else { preconditionFailure("a block is routed once") }
                return router.route(block, of: stream)
            }
        }

        /// Waits until the block is routed.
        func value() async -> Routed {
            guard let task = self.task.withLock({ $0.take() }) else { preconditionFailure("a block is taken once") }
            let routed = await task.value
            guard let block = self.block.withLock({ $0.take() }) else { preconditionFailure("a block is taken once") }
            return Routed(block: block, routed: routed)
        }
    }

    fileprivate actor Worker {
        private var router: EventRouter

        init(_ router: consuming EventRouter) { self.router = router }

        func use(_ readings: DetectedReadings) { self.router.use(readings) }

        func route(_ job: Job, of stream: PassStream) -> EventRouter.Routed {
            job.route(with: &self.router, of: stream)
        }
    }

    private let workers: [Worker]
    private let next = Atomic<Int>(0)

    /// - Parameter makeRouter: makes one worker's router; all are alike.
    init(workers: Int, _ makeRouter: () -> EventRouter) {
        self.workers = (0..<max(1, workers)).map { _ in Worker(makeRouter()) }
    }

    /// So many blocks keep every worker busy while one is handed on.
    var depth: Int { self.workers.count }

    /// More is known of what messages say of themselves. Only while no block is on its way.
    func use(_ readings: DetectedReadings) async {
        for worker in self.workers { await worker.use(readings) }
    }

    func start(_ block: consuming MessageBlock, of stream: PassStream) -> Job {
        let job = Job(block)
        let turn = self.next.wrappingAdd(1, ordering: .relaxed).oldValue
        job.start(on: self.workers[turn % self.workers.count], stream)
        return job
    }
}
