import Synchronization
import TidemarkCore
import TidemarkProjector

/// A store in memory that outlives the runs of a pass, as a database does: it keeps each event that was committed, the
/// lanes' progress and the levels, and can fail or wait at any commit.
final class RecordingStore: ProjectionStore {
    struct Event: Hashable {
        var stream: String
        var offset: StreamOffset
        var key: String
    }

    struct Content {
        var events: [Event] = []
        var messages = 0
        var levels: [String: StreamProgress] = [:]
        /// By stream, number of lanes, lane.
        var rows: [String: [Int: [Int: StreamProgress]]] = [:]
        var commits = 0
        var problems: [String] = []
    }

    enum Moment { case before, after }

    struct Crash: Error {}

    private let plans: [ProjectionPlan]
    private let lanes: Int
    private let content = Mutex(Content())
    /// Called around each commit with its number and lane; what it throws ends the lane.
    private let commitHook: Mutex<@Sendable (Moment, Int, Int) async throws -> Void>

    init(_ plans: [ProjectionPlan], lanes: Int) {
        self.plans = plans
        self.lanes = lanes
        self.commitHook = Mutex { _, _, _ in }
    }

    /// The same content, read by another number of lanes.
    init(_ other: RecordingStore, lanes: Int) {
        self.plans = other.plans
        self.lanes = lanes
        let content = other.now
        self.content.withLock { $0 = content }
        self.commitHook = Mutex { _, _, _ in }
    }

    var now: Content { self.content.withLock { $0 } }

    func onCommit(_ hook: @escaping @Sendable (Moment, Int, Int) async throws -> Void) {
        self.commitHook.withLock { $0 = hook }
    }

    func begin(_ streams: [StreamDescription]) async throws -> PassContext {
        let content = self.now
        let known = PassContext.streams(streams) { index in
            let name = streams[index].name.name
            let committed = CommittedProgress(
                level: content.levels[name] ?? .start,
                lanes: self.lanes,
                rows: content.rows[name] ?? [:]
            )
            return (StreamID(rawValue: Int64(index)), 0, committed)
        }
        return PassContext(plans: self.plans, lanes: self.lanes, streams: known.streams, sources: known.sources)
    }

    func save(_ found: DetectedReadings) async throws {}

    func save(levels: [(stream: StreamID, level: StreamProgress)]) async throws {}

    func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?
    ) throws -> RecordingCommitter {
        RecordingCommitter(self, lane: lane, names: pass.streams.map(\.name))
    }

    func end(
        _ levels: [(stream: StreamID, level: StreamProgress)],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary { PassSummary() }

    /// Stores a level, and notes one that is ahead of what is committed.
    func note(level: StreamProgress, of stream: String) {
        self.content.withLock { $0.levels[stream] = level }
    }

    fileprivate func commit(_ batch: LaneBatch, lane: Int, names: [String]) async throws {
        let hook = self.commitHook.withLock { $0 }
        let number = self.content.withLock { content in
            content.commits += 1
            return content.commits
        }
        try await hook(.before, number, lane)
        let lanes = self.lanes
        self.content.withLock { content in
            for (stream, to) in batch.advances {
                let name = names[Int(stream.rawValue)]
                let from = content.rows[name]?[lanes]?[lane] ?? .start
                if to.offset < from.offset { content.problems.append("\(name): back from \(from) to \(to)") }
                content.rows[name, default: [:]][lanes, default: [:]][lane] = to
            }
            for item in batch.changes {
                let segment = batch.segments[Int(item.segment)]
                content.events.append(
                    Event(
                        stream: names[Int(segment.stream.rawValue)],
                        offset: batch[item].offset,
                        key: String(decoding: batch.bytes(batch[item].key, of: item), as: UTF8.self)
                    )
                )
            }
            content.messages += Int(batch.tally.messages)
        }
        try await hook(.after, number, lane)
    }
}

final class RecordingCommitter: LaneCommitter {
    private let store: RecordingStore
    private let lane: Int
    private let names: [String]

    init(_ store: RecordingStore, lane: Int, names: [String]) {
        self.store = store
        self.lane = lane
        self.names = names
    }

    func open() async {}
    func close() async {}
    func commit(_ batch: LaneBatch) async throws {
        try await self.store.commit(batch, lane: self.lane, names: self.names)
    }
}
