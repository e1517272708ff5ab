import Synchronization
import TidemarkCore

/// The levels of the streams that are being read: to be stored now and then, and acknowledged to their sources.
final class StreamLevels: Sendable {
    private struct Entry {
        let key: ProgressKey
        let tracker: LevelTracker
        let acknowledger: (any StreamAcknowledger)?
        /// What was stored and told to the source last.
        var acknowledged: StreamProgress
    }

    private let entries = Mutex<[Entry]>([])

    /// A tracker for a stream that is about to be read.
    func track(
        _ key: ProgressKey,
        from level: StreamProgress,
        _ acknowledger: (any StreamAcknowledger)?
    ) -> LevelTracker {
        let tracker = LevelTracker(level: level)
        self.entries.withLock { entries in
            entries.removeAll { $0.key == key }
            entries.append(Entry(key: key, tracker: tracker, acknowledger: acknowledger, acknowledged: level))
        }
        return tracker
    }

    func all() -> [(key: ProgressKey, level: StreamProgress)] {
        self.entries.withLock { $0 }.map { ($0.key, $0.tracker.level) }
    }

    /// Those that are further than what was acknowledged last.
    func moved() -> [(key: ProgressKey, level: StreamProgress)] {
        self.entries.withLock { $0 }.compactMap { entry in
            let level = entry.tracker.level
            return level == entry.acknowledged ? nil : (entry.key, level)
        }
    }

    /// Tells the source of a level that is stored. In order, one at a time.
    func acknowledge(_ moved: (key: ProgressKey, level: StreamProgress)) async throws {
        let entry = self.entries.withLock { $0.first { $0.key == moved.key } }
        try await entry?.acknowledger?.acknowledge(moved.level)
        self.entries.withLock { entries in
            guard let index = entries.firstIndex(where: { $0.key == moved.key }) else { return }
            entries[index].acknowledged = moved.level
        }
    }
}
