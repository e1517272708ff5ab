import Synchronization
package import TidemarkCore

/// The stored progress of a pass's lanes, as it was loaded when each stream was taken; shared by the lanes. A stream that
/// was given back and is taken again may have been read by another process meanwhile.
package final class LaneProgress: Sendable {
    /// What a lane knows of its progress in a stream.
    package struct Entry: Sendable {
        /// How often the stream had been taken.
        var taking: Int
        /// `nil` before the first commit.
        var progress: StreamProgress?
    }

    private struct Stream {
        var taking = 0
        var lanes: [Int: StreamProgress] = [:]
    }

    private let streams: Mutex<[ProgressKey: Stream]>

    /// - Parameter lanes: by stream, the progress of its lanes.
    package init(_ lanes: [ProgressKey: [Int: StreamProgress]] = [:]) {
        self.streams = Mutex(lanes.mapValues { Stream(lanes: $0) })
    }

    /// A stream has been taken.
    package func load(_ lanes: [Int: StreamProgress], of key: ProgressKey) {
        self.streams.withLock { streams in
            streams[key] = Stream(taking: (streams[key]?.taking ?? 0) + 1, lanes: lanes)
        }
    }

    /// - Parameter known: what the lane knows; holds unless the stream was taken again.
    func entry(of key: ProgressKey, _ lane: Int, known: Entry?) -> Entry {
        self.streams.withLock { streams in
            let stream = streams[key]
            if let known, known.taking == stream?.taking ?? 0 { return known }
            return Entry(taking: stream?.taking ?? 0, progress: stream?.lanes[lane])
        }
    }
}
