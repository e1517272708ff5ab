import Logging
import Synchronization
import TidemarkCore
import TidemarkProjector

/// Watches the share of dead letters of each source in its last messages, and logs the first one of a reason, then how
/// many came in each minute.
final class DeadLetterMonitor: Sendable {
    private struct Source {
        /// The last messages, in parts, the oldest first.
        var parts: [(messages: Int, deadLetters: Int)] = []
        var isExceeded = false
        /// By reason, how many came since they were logged last, and when that was.
        var reasons: [String: (count: Int, logged: ContinuousClock.Instant)] = [:]
    }

    /// So many messages are looked at.
    static let window = 10_000
    private let sources = Mutex<[String: Source]>([:])
    private let limit: DeadLetterLimit
    private let board: HealthBoard
    private let logger: Logger

    init(_ limit: DeadLetterLimit, _ board: HealthBoard, _ logger: Logger) {
        self.limit = limit
        self.board = board
        self.logger = logger
    }

    func count(_ block: RoutedBlock) {
        let (lines, change) = self.sources.withLock { sources in
            var source = sources[block.source] ?? Source()
            defer { sources[block.source] = source }
            return (Self.lines(for: block, &source), self.count(block, &source))
        }
        for line in lines { self.logger.warning("\(line)") }
        guard let change else { return }
        let check = "dead letters of \(block.source)"
        if change.isExceeded {
            self.board.set(
                check,
                .failed,
                reason: "\(change.deadLetters) of the last \(change.messages) messages are dead letters",
                remedy: "tidemark deadletters list --source \(block.source)"
            )
        } else {
            self.board.set(check, .running)
        }
    }

    /// - Returns: what has become of the share, where that has changed.
    private func count(
        _ block: RoutedBlock,
        _ source: inout Source
    ) -> (isExceeded: Bool, messages: Int, deadLetters: Int)? {
        source.parts.append((block.messages, block.deadLetters.count))
        var messages = source.parts.reduce(0) { $0 + $1.messages }
        while let first = source.parts.first, messages - first.messages >= Self.window {
            messages -= first.messages
            source.parts.removeFirst()
        }
        // Small blocks are put together, so that there are never many parts.
        if source.parts.count > 200 {
            let (one, two) = (source.parts[0], source.parts[1])
            source.parts.replaceSubrange(0..<2, with: [(one.0 + two.0, one.1 + two.1)])
        }
        let deadLetters = source.parts.reduce(0) { $0 + $1.deadLetters }
        let isExceeded =
            switch self.limit {
            case .count(let most): deadLetters > most
            case .fraction(let share): messages >= Self.window && Double(deadLetters) > share * Double(messages)
            }
        guard isExceeded != source.isExceeded else { return nil }
        source.isExceeded = isExceeded
        return (isExceeded, messages, deadLetters)
    }

    private static func lines(for block: RoutedBlock, _ source: inout Source) -> [String] {
        var lines: [String] = []
        let now = ContinuousClock.now
        for letter in block.deadLetters {
            let reason = letter.rawValue
            guard var known = source.reasons[reason] else {
                source.reasons[reason] = (0, now)
                lines.append("source \(block.source): dead letter (\(reason)); tidemark deadletters list shows it")
                continue
            }
            known.count += 1
            source.reasons[reason] = known
        }
        for (reason, known) in source.reasons where known.count > 0 && now - known.logged >= .seconds(60) {
            lines.append("source \(block.source): \(known.count) more dead letters (\(reason))")
            source.reasons[reason] = (0, now)
        }
        return lines
    }
}
