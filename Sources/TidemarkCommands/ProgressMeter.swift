import AsyncAlgorithms
import Foundation
import Synchronization
import TidemarkProjector

/// Shows on standard error how much of its input a replay has committed: a bar on a terminal, a line at intervals
/// elsewhere.
final class ProgressMeter: Sendable {
    private let progress: PassProgress
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ progress: PassProgress) {
        self.progress = progress
    }

    func start() {
        let progress = self.progress
        let isInteractive = Terminal.isErrorInteractive
        let task = Task { await Self.show(progress, isInteractive: isInteractive) }
        self.task.withLock { $0 = task }
    }

    @concurrent private static func show(_ progress: PassProgress, isInteractive: Bool) async {
        let interval: Duration = isInteractive ? .milliseconds(200) : .seconds(10)
        for await _ in AsyncTimerSequence.repeating(every: interval) {
            let line = Self.line(progress, width: isInteractive ? 79 : 200)
            if isInteractive {
                Terminal.writeError(Data("\r\u{1B}[K\(line)".utf8))
            } else {
                Terminal.printError("tidemark: \(line)")
            }
        }
    }

    func stop() {
        self.task.withLock { $0 }?.cancel()
        if Terminal.isErrorInteractive { Terminal.writeError(Data("\r\u{1B}[K".utf8)) }
    }

    static func line(_ progress: PassProgress, width: Int) -> String {
        let now = progress.snapshot
        let seconds = max(0.001, (ContinuousClock.now - progress.start) / .seconds(1))
        let rate = Terminal.grouped(Int64(Double(now.eventsCommitted) / seconds))
        var text = "\(Terminal.grouped(now.eventsCommitted)) events, \(rate)/s"
        if now.deadLetters > 0 { text += ", \(Terminal.grouped(now.deadLetters)) dead letters" }
        guard let total = now.bytesTotal, total > 0 else { return text }
        let share = min(1, Double(now.bytesCommitted) / Double(total))
        if share > 0.01 {
            text += ", \(Terminal.duration(seconds / share - seconds)) left"
        }
        let bar = min(30, max(10, width - text.count - 10))
        let filled = Int(Double(bar) * share)
        let drawn = String(repeating: "#", count: filled) + String(repeating: ".", count: bar - filled)
        return String(format: "%3.0f%% ", share * 100) + "[\(drawn)] " + text
    }
}
