/// The outcome of gating one batch for one projection: what has to be written, and what was counted. Pure: the same
/// events and states give the same outcome, and every arrival order folds to the same rows.
package struct BatchFold: Sendable {
    /// One entity that the batch has something for.
    package struct Entity: Sendable {
        /// An item that holds the entity's key.
        package var keyItem: ItemReference
        /// The event that becomes the row, when one is above the high-water mark.
        package var row: ItemReference?
        /// An event equal to the high-water mark, and first among such to be shown by what the batch knows.
        package var tieWinner: ItemReference?
        package var isFirstTouch: Bool
        /// The entity had been seen before this batch.
        package var isKnown: Bool
        /// Not all columns come from `row`: `merge` has how they come together.
        package var isMerged = false
        /// What few entities have, boxed so that the others are copied in one word.
        @Boxed package var merge: Merge?
        /// What is known of it once the batch is committed.
        package var after: EntityState
    }

    package struct Merge: Sendable {
        /// The high-water mark before this batch, of an entity that is merged.
        package var known: OrderKey?
        /// A truncate of the entity's table that is above all its events.
        package var truncate: TruncateLog.Entry?
        package var columns: ColumnMerge?
        /// The events whose versions are counted, where versions are contiguous.
        package var versions: [ItemReference] = []
    }

    package struct TimelineEntry: Sendable {
        package var item: ItemReference
        package var isLate: Bool
        /// No timeline has it: among others, an event above everything that had been seen before the batch.
        package var isNew: Bool
        /// Not a delete, and perhaps at a sequence where the entity has another event.
        package var isContested: Bool
        /// Those of all events that `item` stands for.
        package var remarks: Remarks
    }

    package struct ReachedMilestone: Sendable {
        package var item: ItemReference
        package var milestone: Int
        /// Least event time of the batch's events that imply it; `nil` when one of them has none known.
        package var leastEventTime: Int64?
    }

    package private(set) var entities: [Entity] = []
    /// Distinct events, as far as the batch alone can tell.
    package private(set) var timeline: [TimelineEntry] = []
    package private(set) var milestones: [ReachedMilestone] = []
    package private(set) var applied = 0
    /// Events that repeat another of the batch or the high-water mark.
    package private(set) var duplicate = 0
    /// Events below the high-water mark: late, or a duplicate of one that the timeline holds.
    package private(set) var below = 0

    /// The verdicts on each segment's events; empty unless the batch has receipts. Events below the high-water mark are
    /// counted in ``belowOf``, because only the timeline tells late ones from duplicates.
    package private(set) var verdicts: [MessageCounts] = []
    /// How many events of each segment are below the high-water mark, repeats within the batch aside.
    package private(set) var belowOf: [Int64] = []

    private let batch: LaneBatch
    private let plan: ProjectionPlan
    private let sources: [String]
    private let truncates: TruncateLog
    private let repeats: Set<ItemReference>

    /// - Parameters:
    ///   - groups: the projection's changes in the batch by entity.
    ///   - states: what is known of each group's entity.
    ///   - repeats: events that the timeline is known to have: they teach the columns nothing, also where a column was
    ///     added since.
    /// - Complexity: O(*n* log *n*) in the events of the entity that has most of them.
    package init(
        batch: LaneBatch,
        groups: EntityGroups,
        states: [EntityState],
        plan: ProjectionPlan,
        sources: [String],
        truncates: TruncateLog = TruncateLog(),
        repeats: Set<ItemReference> = []
    ) {
        self.batch = batch
        self.plan = plan
        self.sources = sources
        self.truncates = truncates
        self.repeats = repeats
        self.entities.reserveCapacity(groups.count)
        if batch.hasReceipts {
            self.verdicts = Array(repeating: MessageCounts(), count: batch.segments.count)
            self.belowOf = Array(repeating: 0, count: batch.segments.count)
        }
        for group in groups.indices { self.fold(groups[group], states[group]) }
    }

    private mutating func fold(_ group: ArraySlice<GroupedItem>, _ state: EntityState) {
        var entity = Entity(
            keyItem: group[group.startIndex].reference,
            row: nil,
            tieWinner: nil,
            isFirstTouch: !state.isTouched,
            isKnown: state.highWater != nil,
            after: state
        )
        var extra = Merge()
        entity.after.isTouched = true
        var learnt = false
        var tables = self.plan.truncatesDelete ? state.columns?.tables ?? [] : []
        let keepsTimeline = self.plan.keepsTimeline
        let known = state.highWater.map { FoldMaximum($0) }
        var highWater = known
        var distinct = DistinctEvents(isLarge: group.count > 16)
        for grouped in group {
            let item = grouped.reference
            if self.plan.truncatesDelete { self.meetTruncates(before: item, &tables, &highWater, &entity, &extra) }
            let order = highWater?.compare(to: grouped, in: self.batch) ?? -1
            if order < 0 {
                self.applied += 1
                if !self.verdicts.isEmpty { self.verdicts[Int(item.segment)].applied += 1 }
                highWater = FoldMaximum(grouped)
                entity.row = item
                entity.tieWinner = nil
                if extra.truncate != nil { extra.truncate = nil }
                learnt = true
                guard keepsTimeline else { continue }
                let isContested = self.isContested(item, state.highWater, distinct)
                distinct.append(
                    self.entry(item, isLate: false, isNew: true, isContested: isContested),
                    grouped,
                    of: self.batch
                )
            } else if order == 0 {
                self.duplicate += 1
                if !self.verdicts.isEmpty { self.verdicts[Int(item.segment)].duplicate += 1 }
                learnt = self.meetEqual(grouped, &entity, &distinct, state) || learnt
            } else if keepsTimeline, let index = distinct.index(ofSameOrderKeyAs: grouped, in: self.batch) {
                self.duplicate += 1
                if !self.verdicts.isEmpty { self.verdicts[Int(item.segment)].duplicate += 1 }
                distinct.entries[index].remarks.formUnion(self.batch[item].remarks)
                if self.batch.isShownBefore(item, distinct.entries[index].item, sources: self.sources) {
                    distinct.entries[index].item = item
                }
            } else {
                self.below += 1
                if !self.belowOf.isEmpty { self.belowOf[Int(item.segment)] += 1 }
                learnt = learnt || keepsTimeline || self.plan.isContiguous || grouped.milestones != 0
                guard keepsTimeline else { continue }
                let isNew = known.map { $0.compare(to: grouped, in: self.batch) < 0 } ?? true
                let isContested = self.batch[item].operation != .delete
                var entry = self.entry(item, isLate: true, isNew: isNew, isContested: isContested)
                if self.batch[item].isSnapshotOfLSN, highWater?.isAbove(snapshot: item, in: self.batch) ?? false {
                    entry.remarks.insert(.snapshotIgnored)
                }
                distinct.append(entry, grouped, of: self.batch)
            }
        }
        let isTruncated = extra.truncate != nil
        if entity.row != nil || isTruncated { entity.after.highWater = highWater?.kept(in: self.batch) }
        if let row = entity.row { entity.after.isDeleted = self.batch[row].operation == .delete }
        if isTruncated { entity.after.isDeleted = true }
        learnt = self.mergeColumns(group, state, &entity, &extra) || learnt || isTruncated
        if self.plan.isContiguous { extra.versions = group.map(\.reference) }
        if self.plan.isContiguous || isTruncated || entity.isMerged { entity.merge = extra }
        if let shown = entity.tieWinner ?? entity.row { entity.after.provenance = self.batch.provenance(shown) }
        self.collectMilestones(group, state, &entity)
        guard learnt || entity.isFirstTouch else { return }
        if keepsTimeline { self.timeline.append(contentsOf: distinct.entries) }
        self.entities.append(entity)
    }

    /// A truncate is a delete of each entity of its table, at its own position among the entity's events.
    private func meetTruncates(
        before item: ItemReference,
        _ tables: inout Set<[UInt8]>,
        _ highWater: inout FoldMaximum?,
        _ entity: inout Entity,
        _ extra: inout Merge
    ) {
        tables.insert(Array(self.batch.bytes(self.batch[item].table, of: item)))
        guard let truncate = self.truncates.greatest(of: tables, before: item),
            highWater?.isBelow(truncate.orderKey, in: self.batch) ?? true
        else { return }
        highWater = FoldMaximum(OrderKey(truncate.orderKey))
        extra.truncate = truncate
        entity.row = nil
        entity.tieWinner = nil
    }

    /// Where one event does not explain the row, each column is looked for by itself.
    /// - Returns: whether the row has anything to learn from it.
    private func mergeColumns(
        _ group: ArraySlice<GroupedItem>,
        _ state: EntityState,
        _ entity: inout Entity,
        _ extra: inout Merge
    ) -> Bool {
        guard
            state.columns != nil || self.plan.truncatesDelete
                || (self.batch.hasPartialImages && group.contains(where: { self.batch[$0.reference].isPartial }))
        else { return false }
        var merge = ColumnMerge(
            state.columns ?? ColumnState(highWater: state.highWater?.array, isDeleted: state.isDeleted)
        )
        for item in group.lazy.map(\.reference) { self.merge(item, into: &merge) }
        if let last = group.last,
            let truncate = self.truncates.greatest(of: merge.state.tables, before: last.reference)
        {
            merge.delete(at: truncate.orderKey)
        }
        entity.isMerged = true
        extra.known = state.highWater
        extra.columns = merge
        entity.after.columns = merge.state.isExplained(by: entity.after.highWater?.array) ? nil : merge.state
        return merge.hasChanged
    }

    private func merge(_ item: ItemReference, into merge: inout ColumnMerge) {
        let event = self.batch[item]
        let key = Array(self.batch.bytes(event.orderKey, of: item))
        if self.plan.truncatesDelete { merge.add(table: Array(self.batch.bytes(event.table, of: item))) }
        guard event.operation != .delete else { return merge.delete(at: key) }
        guard !self.repeats.contains(item) else { return }
        // Without a timeline nothing tells whether an event up to there has been seen.
        let isDoubtful = !self.plan.keepsTimeline && merge.state.seen.map { !ColumnMerge.isAbove(key, $0) } ?? false
        if event.isPartial, !event.nullsOthers {
            let columns = self.batch.carriedColumns(of: item, self.plan)
            merge.take(
                partial: item,
                at: key,
                columns: isDoubtful ? columns.filter { !self.plan.lateColumns.contains($0) } : columns,
                missing: self.plan.valueColumns == nil ? self.batch.fields(event.missing, of: item) : [],
                carriesState: event.carriesState
            )
        } else if !isDoubtful || ColumnMerge.isAbove(key, merge.state.base) {
            merge.take(
                complete: item,
                at: key,
                lacking: event.isPartial ? self.batch.fields(event.missing, of: item) : [],
                carriesState: event.carriesState
            )
        }
    }

    /// An event with the high-water mark's order key: the same content, perhaps from elsewhere.
    /// - Returns: whether anything can be learnt from it.
    private func meetEqual(
        _ grouped: GroupedItem,
        _ entity: inout Entity,
        _ distinct: inout DistinctEvents,
        _ state: EntityState
    ) -> Bool {
        let item = grouped.reference
        if let row = entity.row {
            let shown = entity.tieWinner ?? row
            distinct.add(self.batch[item].remarks, to: grouped, in: self.batch)
            guard self.batch.isShownBefore(item, shown, sources: self.sources) else { return false }
            entity.tieWinner = item
            distinct.replace(by: grouped, in: self.batch)
            return true
        }
        guard self.batch.provenance(item) != state.provenance else { return false }
        if let shown = entity.tieWinner {
            distinct.add(self.batch[item].remarks, to: grouped, in: self.batch)
            guard self.batch.isShownBefore(item, shown, sources: self.sources) else { return false }
            distinct.replace(by: grouped, in: self.batch)
        } else {
            // The timeline has it already: what may change there is when and whence it is shown to have come.
            let entry = self.entry(item, isLate: false, isNew: false, isContested: false)
            distinct.append(entry, grouped, of: self.batch)
        }
        entity.tieWinner = item
        return true
    }

    private func entry(_ item: ItemReference, isLate: Bool, isNew: Bool, isContested: Bool) -> TimelineEntry {
        TimelineEntry(
            item: item,
            isLate: isLate,
            isNew: isNew,
            isContested: isContested,
            remarks: self.batch[item].remarks
        )
    }

    /// Whether an event above everything seen has the sequence of the high-water mark, or of another of the batch.
    private func isContested(_ item: ItemReference, _ highWater: OrderKey?, _ distinct: DistinctEvents) -> Bool {
        guard self.batch[item].operation != .delete else { return false }
        let count = Int(self.batch[item].sequenceCount)
        return self.batch.withOrderKey(of: item) { key in
            let sequence = UnsafeRawBufferPointer(rebasing: key[..<count])
            if let highWater, highWater.withBytes({ $0.begins(with: sequence) }) { return true }
            guard let greatest = distinct.greatest else { return false }
            return self.batch.withOrderKey(of: greatest) { $0.begins(with: sequence) }
        }
    }

    /// For each milestone the least order key among the batch's events that imply it. An event above everything seen
    /// cannot be the least for a milestone that is known to be reached.
    private mutating func collectMilestones(
        _ group: ArraySlice<GroupedItem>,
        _ state: EntityState,
        _ entity: inout Entity
    ) {
        guard self.batch.milestones != 0 else { return }
        var open: UInt64 = 0
        for item in group { open |= item.milestones }
        guard open != 0 else { return }
        entity.after.reached |= open
        for bit in 0..<self.plan.milestones.count where open & (1 << UInt64(bit)) != 0 {
            let mask: UInt64 = 1 << UInt64(bit)
            var least: ItemReference?
            var leastTime: Int64?
            for item in group.lazy.filter({ $0.milestones & mask != 0 }).map(\.reference) {
                if let time = self.batch[item].eventTime { leastTime = min(leastTime ?? time, time) }
                if let other = least, self.batch.compareOrder(other, item) <= 0 { continue }
                least = item
            }
            guard let least else { continue }
            if state.reached & mask != 0, let highWater = state.highWater,
                self.batch.withOrderKey(of: least, { least in highWater.withBytes { LaneBatch.compare(least, $0) } })
                    >= 0
            {
                continue
            }
            self.milestones.append(ReachedMilestone(item: least, milestone: bit, leastEventTime: leastTime))
        }
    }
}
