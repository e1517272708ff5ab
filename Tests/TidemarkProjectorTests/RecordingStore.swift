import Synchronization
import TidemarkCore
import TidemarkProjector

/// A store in memory that outlives the runs of a pass, as a database does: it keeps each event that was committed, the
/// lanes' progress and the levels, and can fail or wait at any commit.
final class RecordingStore: ProjectionStore {
    struct Event: Hashable {
        var projection: String
        var stream: String
        var offset: StreamOffset
        var key: String
    }

    /// A stream, and the projection that is read by itself; empty for those that are read together.
    struct Reading: Hashable {
        var stream: String
        var projection = ""
    }

    struct Content {
        var events: [Event] = []
        var messages = 0
        var projections: Set<String> = []
        var levels: [Reading: StreamProgress] = [:]
        var joins: [Reading: StreamOffset] = [:]
        /// By reading, number of lanes, lane.
        var rows: [Reading: [Int: [Int: StreamProgress]]] = [:]
        var commits = 0
        var problems: [String] = []
    }

    enum Moment { case before, after }

    struct Crash: Error {}

    private let plans: [ProjectionPlan]
    private let lanes: Int
    private let content = Mutex(Content())
    private let streamNames = Mutex<[String]>([])
    /// Called around each commit with its number and lane; what it throws ends the lane.
    private let commitHook: Mutex<@Sendable (Moment, Int, Int) async throws -> Void>

    /// Levels are stored as they move. Otherwise they are lost, as by a process that is killed at once.
    let keepsLevels: Bool

    init(_ plans: [ProjectionPlan], lanes: Int, keepsLevels: Bool = false) {
        self.plans = plans
        self.keepsLevels = keepsLevels
        self.lanes = lanes
        self.commitHook = Mutex { _, _, _ in }
    }

    /// The same content, read by another number of lanes, or for other projections.
    init(_ other: RecordingStore, _ plans: [ProjectionPlan]? = nil, lanes: Int, keepsLevels: Bool = false) {
        self.plans = plans ?? other.plans
        self.keepsLevels = keepsLevels
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
        let names = self.plans.map(\.name)
        let content = self.content.withLock { content in
            let known = Set(content.rows.keys.map(\.stream)).union(content.levels.keys.map(\.stream))
            for name in names where !content.projections.isEmpty && !content.projections.contains(name) {
                for stream in known { content.levels[Reading(stream: stream, projection: name)] = .start }
            }
            content.projections.formUnion(names)
            return content
        }
        func committed(_ reading: Reading) -> CommittedProgress {
            let level = content.levels[reading] ?? .start
            return CommittedProgress(level: level, lanes: self.lanes, rows: content.rows[reading] ?? [:])
        }
        let known = PassContext.streams(streams) { index in
            (StreamID(rawValue: Int64(index)), 0, committed(Reading(stream: streams[index].name.name)))
        }
        var context = PassContext(
            plans: self.plans,
            lanes: self.lanes,
            streams: known.streams,
            sources: known.sources
        )
        for stream in known.streams {
            for (index, name) in names.enumerated() {
                let reading = Reading(stream: stream.name, projection: name)
                guard content.levels[reading] != nil else { continue }
                var own = stream
                (own.projection, own.limit) = (Int16(index), content.joins[reading])
                own.committed = committed(reading)
                context.detached.append(own)
            }
        }
        self.streamNames.withLock { $0 = known.streams.map(\.name) }
        return context
    }

    private func reading(_ key: ProgressKey, _ names: [String]) -> Reading {
        let isTogether = key.projection == ProgressKey.together
        return Reading(
            stream: names[Int(key.stream.rawValue)],
            projection: isTogether ? "" : self.plans[Int(key.projection)].name
        )
    }

    func save(_ found: DetectedReadings) async throws {}

    func save(levels: [(key: ProgressKey, level: StreamProgress)]) async throws {}

    func join(_ key: ProgressKey, at offset: StreamOffset) async throws {
        let reading = self.reading(key, self.streamNames.withLock { $0 })
        self.content.withLock { $0.joins[reading] = offset }
    }

    func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?
    ) throws -> RecordingCommitter {
        RecordingCommitter(self, lane: lane, names: pass.streams.map(\.name))
    }

    func end(
        _ levels: [(key: ProgressKey, level: StreamProgress)],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary {
        guard self.keepsLevels else { return PassSummary() }
        let names = self.streamNames.withLock { $0 }
        for (key, level) in levels {
            let reading = self.reading(key, names)
            self.content.withLock { $0.levels[reading] = level }
        }
        return PassSummary()
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
            for (key, to) in batch.advances {
                let reading = self.reading(key, names)
                let from = content.rows[reading]?[lanes]?[lane] ?? .start
                if to.offset < from.offset { content.problems.append("\(reading): back from \(from) to \(to)") }
                content.rows[reading, default: [:]][lanes, default: [:]][lane] = to
            }
            for item in batch.changes {
                let segment = batch.segments[Int(item.segment)]
                content.events.append(
                    Event(
                        projection: self.plans[Int(batch[item].projection)].name,
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
