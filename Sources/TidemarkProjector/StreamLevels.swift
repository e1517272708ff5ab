import Synchronization
import TidemarkCore

/// The levels of the streams that are being read: to be stored now and then, and acknowledged to their sources.
final class StreamLevels: Sendable {
    private struct Entry {
        let key: ProgressKey
        let source: String
        let tracker: LevelTracker
        let acknowledger: (any StreamAcknowledger)?
        /// What was stored last.
        var stored: StoredLevel
        /// What the source was told last.
        var told: StreamProgress?

        /// The source does not know what is stored: it refused it, or the process that stored it was killed before it told.
        var owes: Bool {
            guard let acknowledger, self.stored.level.offset > .start else { return false }
            return self.told == nil || acknowledger.isRefused
        }
    }

    private let entries = Mutex<[Entry]>([])

    /// A tracker for a stream that is about to be read.
    func track(
        _ key: ProgressKey,
        of source: String,
        from level: StreamProgress,
        _ acknowledger: (any StreamAcknowledger)?
    ) -> LevelTracker {
        let tracker = LevelTracker(level: level)
        self.entries.withLock { entries in
            entries.removeAll { $0.key == key }
            entries.append(
                Entry(
                    key: key,
                    source: source,
                    tracker: tracker,
                    acknowledger: acknowledger,
                    stored: StoredLevel(key, level)
                )
            )
        }
        return tracker
    }

    func all() -> [StoredLevel] {
        self.entries.withLock { $0 }.map { $0.tracker.stored(of: $0.key) }
    }

    /// How far the streams are behind, by source. Readings of single projections do not count.
    func behind() -> [String: PassProgress.SourceBehind] {
        var behind: [String: PassProgress.SourceBehind] = [:]
        for entry in self.entries.withLock({ $0 }) where entry.key.projection == ProgressKey.together {
            let amount = entry.tracker.stored(of: entry.key).behind
            var source = behind[entry.source] ?? PassProgress.SourceBehind()
            if let amount { source.amount = (source.amount ?? 0) + amount }
            if !entry.tracker.isLevel { source.isLevel = false }
            behind[entry.source] = source
        }
        return behind
    }

    /// Those that are further than what was stored last, or that have another head.
    func moved() -> [StoredLevel] {
        self.entries.withLock { $0 }.compactMap { entry in
            let stored = entry.tracker.stored(of: entry.key)
            return stored == entry.stored ? nil : stored
        }
    }

    /// Those that are stored, and that the source does not know.
    func owed() -> [StoredLevel] { self.entries.withLock { $0 }.filter(\.owes).map(\.stored) }

    /// Tells the source of a level that is stored, unless it knows it. In order, one at a time.
    func acknowledge(_ level: StoredLevel) async throws {
        let entry = self.entries.withLock { $0.first { $0.key == level.key } }
        if let entry, entry.told != level.level || entry.owes {
            try await entry.acknowledger?.acknowledge(level.level)
        }
        self.entries.withLock { entries in
            guard let index = entries.firstIndex(where: { $0.key == level.key }) else { return }
            entries[index].stored = level
            entries[index].told = level.level
        }
    }

    func tracker(of key: ProgressKey) -> LevelTracker? {
        self.entries.withLock { $0.first { $0.key == key }?.tracker }
    }

    func trackers(of stream: StreamID) -> [LevelTracker] {
        self.entries.withLock { $0 }.filter { $0.key.stream == stream }.map(\.tracker)
    }

    /// The stream is read by another process from now on, or has ended.
    func forget(_ stream: StreamID) {
        self.entries.withLock { $0.removeAll { $0.key.stream == stream } }
    }
}
