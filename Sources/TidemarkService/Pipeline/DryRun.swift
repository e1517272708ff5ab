import TidemarkCore
package import TidemarkIngest
package import TidemarkPostgres

/// Decodes, validates and counts files without a database. Verdicts come from memory, as if the read model were empty:
/// it grows with the number of entities, and of events where there is a timeline.
package struct DryRun {
    private let configuration: Configuration
    private let plans: [ProjectionPlan]
    private var states: [[KeyHash: EntityState]]
    private var truncates: [TruncateLog]
    private var timelines: [[KeyHash: Set<[UInt8]>]]
    private var reached: [[KeyHash: UInt64]]
    /// Sequences at which an entity is known to have two events, neither of them a delete.
    private var conflicts: [[KeyHash: Set<[UInt8]>]]
    private var summary = ReplaySummary()
    private var sources: [String] = []
    private var detector: ReadingDetector

    package init(_ configuration: Configuration) {
        self.configuration = configuration
        self.plans = configuration.projections.map { ProjectionPlan($0) }
        self.detector = ReadingDetector(self.plans)
        self.states = Array(repeating: [:], count: self.plans.count)
        self.truncates = Array(repeating: TruncateLog(), count: self.plans.count)
        self.timelines = Array(repeating: [:], count: self.plans.count)
        self.reached = Array(repeating: [:], count: self.plans.count)
        self.conflicts = Array(repeating: [:], count: self.plans.count)
        for plan in self.plans { for milestone in plan.milestones { self.summary.milestones[milestone.name] = 0 } }
    }

    /// - Returns: the counts, and what ended the reading before its time.
    package mutating func run(_ files: [InputFile]) throws -> (summary: ReplaySummary, problem: String?) {
        let start = ContinuousClock.now
        var problem: String?
        self.detector.count(
            beginningsOf: files.map { ($0, self.configuration.settings(forFile: $0.absolutePath)) },
            messageBytesMax: self.configuration.limits.messageBytes
        )
        _ = self.detector.decide()
        for (index, file) in files.enumerated() {
            do throws(InputError) {
                try self.read(file, number: Int64(index + 1))
            } catch {
                guard error.isBadData else { throw error }
                problem = error.description
                break
            }
        }
        self.summary.entities = self.states.reduce(0) { $0 + Int64($1.count) }
        self.summary.elapsedSeconds = (ContinuousClock.now - start) / .seconds(1)
        return (self.summary, problem)
    }

    private mutating func read(_ file: InputFile, number: Int64) throws(InputError) {
        let settings = self.configuration.settings(forFile: file.absolutePath)
        if !self.sources.contains(settings.name) { self.sources.append(settings.name) }
        var router = EventRouter(
            plans: self.plans,
            readings: self.detector.known,
            settings: settings,
            sourceIndex: self.sources.firstIndex(of: settings.name) ?? 0,
            lanes: 1,
            isStrict: false
        )
        let source = self.sources.firstIndex(of: settings.name) ?? 0
        let stream = EventRouter.Stream(
            id: StreamID(rawValue: number),
            settings: settings,
            sourceIndex: source,
            name: file.path,
            committed: CommittedProgress(lanes: 1)
        )
        let reader = try LineReader(
            file,
            stream: stream.id,
            messageBytesMax: self.configuration.limits.messageBytes,
            interrupt: Interrupt()
        )
        while let block = try reader.nextBlock() {
            let isBeginning = self.detector.isUnitOpen && ReadingDetector.isBeginning(block, of: file)
            if self.detector.isKindOpen || isBeginning {
                self.detector.count(block, settings, isBeginning: isBeginning)
                _ = self.detector.decide()
                router.use(self.detector.known)
            }
            for segment in router.route(block, of: stream).segments { self.count(segment) }
        }
        self.summary.bytes += reader.offset
    }

    private mutating func count(_ segment: LaneSegment) {
        var batch = LaneBatch()
        batch.beginSegment(segment)
        for index in segment.items.indices { batch.append(ItemReference(segment: 0, index: index)) }
        batch.endSegment()
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
            self.states[projection][batch[entity.any].keyHash] = entity.after
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
