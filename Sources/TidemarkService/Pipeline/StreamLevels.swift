import Synchronization
import TidemarkCore

/// The levels of the streams that are being read, to be stored now and then.
final class StreamLevels: Sendable {
    private struct State {
        var trackers: [(stream: StreamID, tracker: LevelTracker)] = []
        var saved: [StreamID: StreamProgress] = [:]
    }

    private let state = Mutex(State())

    /// A tracker for a stream that is about to be read.
    func track(_ stream: StreamID, from level: StreamProgress) -> LevelTracker {
        let tracker = LevelTracker(level: level)
        self.state.withLock { state in
            state.trackers.removeAll { $0.stream == stream }
            state.trackers.append((stream, tracker))
        }
        return tracker
    }

    func all() -> [(stream: StreamID, level: StreamProgress)] {
        self.state.withLock { $0.trackers }.map { ($0.stream, $0.tracker.level) }
    }

    /// Those that have moved since they were asked for last.
    func changed() -> [(stream: StreamID, level: StreamProgress)] {
        self.all().filter { stream, level in
            self.state.withLock { state in
                defer { state.saved[stream] = level }
                return state.saved[stream] != level
            }
        }
    }
}
