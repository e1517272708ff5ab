import Dispatch

/// A thread for work that blocks on files and pipes, so that the cooperative pool never waits for a disk.
final class ReaderExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "tidemark.reader")

    func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        self.queue.async { unowned.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
