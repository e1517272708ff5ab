import Synchronization
package import TidemarkCore

/// A read model in memory that is empty at first, for a dry run: it grows with the number of entities, and of events
/// where there is a timeline. One lane.
package final class MemoryProjection: ProjectionStore {
    private let plans: [ProjectionPlan]
    private let committer = Mutex<MemoryCommitter?>(nil)

    private let observer: (any MessageObserver)?

    /// - Parameter observer: sees each message of the pass.
    package init(_ projections: [ProjectionDefinition], observer: (any MessageObserver)? = nil) {
        self.plans = projections.map { ProjectionPlan($0) }
        self.observer = observer
    }

    package func begin(_ streams: [StreamDescription]) async throws -> PassContext {
        let known = PassContext.streams(streams) { index in
            (StreamID(rawValue: Int64(index + 1)), 0, CommittedProgress(lanes: 1))
        }
        var context = PassContext(
            plans: self.plans,
            lanes: 1,
            streams: known.streams,
            sources: known.sources
        )
        for plan in self.plans { context.readings.positionKinds[plan.name] = plan.definition.positionKind }
        context.observer = self.observer
        return context
    }

    package func save(_ found: DetectedReadings) async throws {}
    package func save(levels: [StoredLevel]) async throws {}
    package func join(_ key: ProgressKey, at offset: StreamOffset) async throws {}

    package func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?,
        onLoss: @escaping @Sendable () -> Void
    ) throws -> MemoryCommitter {
        let committer = MemoryCommitter(pass.plans, sources: pass.sources, observer: self.observer)
        self.committer.withLock { $0 = committer }
        return committer
    }

    package func end(
        _ levels: [StoredLevel],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary {
        var summary = self.committer.withLock { $0?.summary } ?? PassSummary()
        summary.bytes = levels.reduce(0) { $0 + Int64(clamping: $1.level.offset.major) }
        summary.elapsedSeconds = elapsedSeconds
        return summary
    }
}

/// Folds batches into memory. Used by the lane's task, and by the end of the pass behind it.
package final class MemoryCommitter: LaneCommitter, Sendable {
    private let state: Mutex<MemoryState>
    private let observer: (any MessageObserver)?

    init(_ plans: [ProjectionPlan], sources: [String], observer: (any MessageObserver)?) {
        self.observer = observer
        self.state = Mutex(MemoryState(plans, sources: sources))
    }

    package func open() async {}
    package func close() async {}
    package func commit(_ batch: LaneBatch) async throws -> CommitReport {
        self.observer?.observe(batch)
        self.state.withLock { $0.commit(batch) }
        return CommitReport()
    }

    var summary: PassSummary { self.state.withLock { $0.total } }
}

/// What a read model would hold, as far as verdicts and counters depend on it.
private struct MemoryState {
    private let plans: [ProjectionPlan]
    private let sources: [String]
    private var states: [[KeyHash: EntityState]]
    private var truncates: [TruncateLog]
    private var timelines: [[KeyHash: Set<[UInt8]>]]
    private var reached: [[KeyHash: UInt64]]
    /// Sequences at which an entity is known to have two events, neither of them a delete.
    private var conflicts: [[KeyHash: Set<[UInt8]>]]
    private var summary = PassSummary()

    init(_ plans: [ProjectionPlan], sources: [String]) {
        self.plans = plans
        self.sources = sources
        self.states = Array(repeating: [:], count: plans.count)
        self.truncates = Array(repeating: TruncateLog(), count: plans.count)
        self.timelines = Array(repeating: [:], count: plans.count)
        self.reached = Array(repeating: [:], count: plans.count)
        self.conflicts = Array(repeating: [:], count: plans.count)
        for plan in plans { for milestone in plan.milestones { self.summary.milestones[milestone.name] = 0 } }
    }

    var total: PassSummary {
        var summary = self.summary
        summary.entities = self.states.reduce(0) { $0 + Int64($1.count) }
        return summary
    }

    mutating func commit(_ batch: LaneBatch) {
        self.summary.messages += Int64(batch.tally.messages)
        self.summary.control += Int64(batch.tally.control)
        self.summary.filtered += Int64(batch.tally.filtered)
        for item in batch.others {
            let event = batch[item]
            if event.kind == .deadLetter { self.summary.deadLetters += 1 }
            guard event.kind == .truncate, self.plans[Int(event.projection)].truncatesDelete else { continue }
            self.truncates[Int(event.projection)].add(
                TruncateLog.Entry(
                    table: Array(batch.bytes(event.table, of: item)),
                    orderKey: Array(batch.bytes(event.orderKey, of: item)),
                    sequence: Array(batch.bytes(event.sequence, of: item))
                ),
                at: item
            )
        }
        var changes: [[ItemReference]] = Array(repeating: [], count: self.plans.count)
        for item in batch.changes { changes[Int(batch[item].projection)].append(item) }
        for (projection, items) in changes.enumerated() where !items.isEmpty {
            self.fold(EntityGroups(items, of: batch), of: projection, batch)
        }
        for projection in self.truncates.indices { self.truncates[projection].commitRecent() }
    }

    private mutating func fold(_ groups: EntityGroups, of projection: Int, _ batch: LaneBatch) {
        let plan = self.plans[projection]
        let states = groups.indices.map { group in
            self.states[projection][groups.keyHashes[group]] ?? EntityState()
        }
        let fold = BatchFold(
            batch: batch,
            groups: groups,
            states: states,
            plan: plan,
            sources: self.sources,
            truncates: self.truncates[projection]
        )
        self.summary.applied += Int64(fold.applied)
        self.summary.duplicate += Int64(fold.duplicate)
        var late = plan.keepsTimeline ? 0 : fold.below
        for entity in fold.entities {
            self.states[projection][batch[entity.keyItem].keyHash] = entity.after
        }
        for entry in fold.timeline {
            let isNew = self.timelines[projection][batch[entry.item].keyHash, default: []]
                .insert(Array(batch.bytes(batch[entry.item].orderKey, of: entry.item))).inserted
            if entry.isLate, isNew { late += 1 }
        }
        self.summary.late += Int64(late)
        if plan.keepsTimeline { self.summary.duplicate += Int64(fold.below - late) }
        self.countConflicts(fold, of: projection, batch)
        for milestone in fold.milestones {
            let mask: UInt64 = 1 << UInt64(milestone.milestone)
            let hash = batch[milestone.item].keyHash
            guard self.reached[projection][hash, default: 0] & mask == 0 else { continue }
            self.reached[projection][hash, default: 0] |= mask
            self.summary.milestones[plan.milestones[milestone.milestone].name, default: 0] += 1
        }
    }

    /// Once the batch's events are in the timelines. Any two events at one sequence count, also when no column that both
    /// carry differs: images are not kept here. The order keys of a sequence's events go on behind it with a zero
    /// byte, unless they are deletes.
    private mutating func countConflicts(_ fold: BatchFold, of projection: Int, _ batch: LaneBatch) {
        for entry in fold.timeline where entry.isContested {
            let event = batch[entry.item]
            let prefix = Array(batch.sequenceBytes(of: entry.item)) + [0]
            guard let timeline = self.timelines[projection][event.keyHash],
                timeline.count(where: { $0.starts(with: prefix) }) > 1
            else { continue }
            if self.conflicts[projection][event.keyHash, default: []].insert(prefix).inserted {
                self.summary.conflicts += 1
            }
        }
    }
}
