import Synchronization
package import TidemarkCore

/// A store in memory that outlives the runs of a pass, as a database does: it keeps each event that was committed, the
/// lanes' progress and the levels, and can fail or wait at any commit.
package final class RecordingStore: ProjectionStore {
    package struct Event: Hashable {
        package var projection: String
        package var stream: String
        package var offset: StreamOffset
        package var key: String
    }

    /// A stream, and the projection that is read by itself; empty for those that are read together.
    package struct Reading: Hashable {
        package var stream: String
        package var projection = ""
    }

    package struct Content {
        package var events: [Event] = []
        package var messages = 0
        package var projections: Set<String> = []
        package var levels: [Reading: StreamProgress] = [:]
        package var joins: [Reading: StreamOffset] = [:]
        /// By reading, number of lanes, lane.
        package var rows: [Reading: [Int: [Int: StreamProgress]]] = [:]
        package var commits = 0
        package var problems: [String] = []
    }

    package enum Moment: Sendable { case begin, found, join, before, after }

    package struct Crash: Error {
        package init() {}
    }

    private let plans: [ProjectionPlan]
    private let readingPlans: [ProjectionPlan]
    private let lanes: Int
    private let content = Mutex(Content())
    private let streamNames = Mutex<[String]>([])
    /// Called around each commit with its number and lane, and for what else is stored; what it throws ends the pass.
    private let commitHook: Mutex<@Sendable (Moment, Int, Int) async throws -> Void>

    /// Levels are stored as they move. Otherwise they are lost, as by a process that is killed at once.
    package let keepsLevels: Bool

    /// - Parameter readingPlans: as in ``PassContext/readingPlans``.
    package init(
        _ plans: [ProjectionPlan],
        reading readingPlans: [ProjectionPlan]? = nil,
        lanes: Int,
        keepsLevels: Bool = false
    ) {
        self.plans = plans
        self.readingPlans = readingPlans ?? plans
        self.keepsLevels = keepsLevels
        self.lanes = lanes
        self.commitHook = Mutex { _, _, _ in }
    }

    /// The same content, read by another number of lanes, or for other projections.
    package init(
        _ other: RecordingStore,
        _ plans: (written: [ProjectionPlan], read: [ProjectionPlan])? = nil,
        lanes: Int,
        keepsLevels: Bool = false
    ) {
        self.plans = plans?.written ?? other.plans
        self.readingPlans = plans?.read ?? other.readingPlans
        self.keepsLevels = keepsLevels
        self.lanes = lanes
        let content = other.now
        self.content.withLock { $0 = content }
        self.commitHook = Mutex { _, _, _ in }
    }

    package var now: Content { self.content.withLock { $0 } }

    package func onCommit(_ hook: @escaping @Sendable (Moment, Int, Int) async throws -> Void) {
        self.commitHook.withLock { $0 = hook }
    }

    package func begin(_ streams: [StreamDescription]) async throws -> PassContext {
        let names = self.plans.map(\.name)
        try await self.commitHook.withLock { $0 }(.begin, 0, 0)
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
            (StreamID(rawValue: Int64(index)), 0, committed(Reading(stream: streams[index].label)))
        }
        var context = PassContext(
            plans: self.plans,
            lanes: self.lanes,
            streams: known.streams,
            sources: known.sources
        )
        context.readingPlans = self.readingPlans
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

    package func save(_ found: DetectedReadings) async throws {
        try await self.commitHook.withLock { $0 }(.found, 0, 0)
    }

    package func save(levels: [StoredLevel]) async throws {}

    package func join(_ key: ProgressKey, at offset: StreamOffset) async throws {
        let reading = self.reading(key, self.streamNames.withLock { $0 })
        try await self.commitHook.withLock { $0 }(.join, 0, 0)
        self.content.withLock { $0.joins[reading] = offset }
    }

    package func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?,
        onLoss: @escaping @Sendable () -> Void
    ) throws -> RecordingCommitter {
        RecordingCommitter(self, lane: lane, names: pass.streams.map(\.name))
    }

    package func end(
        _ levels: [StoredLevel],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary {
        guard self.keepsLevels else { return PassSummary() }
        let names = self.streamNames.withLock { $0 }
        for stored in levels {
            let reading = self.reading(stored.key, names)
            self.content.withLock { $0.levels[reading] = stored.level }
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

package final class RecordingCommitter: LaneCommitter {
    private let store: RecordingStore
    private let lane: Int
    private let names: [String]

    package init(_ store: RecordingStore, lane: Int, names: [String]) {
        self.store = store
        self.lane = lane
        self.names = names
    }

    package func open() async {}
    package func close() async {}
    package func commit(_ batch: LaneBatch) async throws -> CommitReport {
        try await self.store.commit(batch, lane: self.lane, names: self.names)
        return CommitReport()
    }
}
