import LibPQ
import TidemarkCore

/// Writes one projection in a lane's transactions: looks entities up, folds a batch, builds the statements.
struct ProjectionWriter {
    let plan: ProjectionPlan
    let index: Int
    let statements: ProjectionStatements
    /// States that hold a milestone's delivery, by milestone; empty when none does.
    let holds: String?
    let cache: EntityCache
    /// The filters that save look-ups of absent rows.
    var initialLoad: InitialLoad
    /// The truncates that the lane has passed, where truncates are deletes.
    var truncates = TruncateLog()
    /// Tombstones older than this were pruned; microseconds since 1970.
    var prunedBefore: Int64?

    /// - Parameter empty: relations that were empty when the pass began, while no other process wrote them.
    init(
        plan: ProjectionPlan,
        index: Int,
        cacheBytes: Int,
        empty: EmptyRelations,
        countingAs process: Int32 = 0
    ) throws(StoreError) {
        self.plan = plan
        self.index = index
        self.statements = ProjectionStatements(plan, process: process)
        self.holds = ProjectionStatements.holds(plan)
        self.cache = try EntityCache(byteCount: cacheBytes, keepsReached: !plan.milestones.isEmpty)
        self.initialLoad = try InitialLoad(of: plan.name, into: empty, cacheBytes: cacheBytes)
    }

    func name(_ statement: String) -> String { "tm\(self.index)_\(statement)" }

    /// The statements that a session prepares, by name.
    var preparations: [Statement] {
        var all: [(name: String, sql: String?)] = [
            ("fetch", self.statements.fetch), ("lock", self.statements.lock), ("insert", self.statements.insert),
            ("advanceRow", self.statements.advanceRow), ("advanceExactly", self.statements.advanceExactly),
            ("lockUnchanged", self.statements.lockUnchanged), ("markTouched", self.statements.markTouched),
            ("count", self.statements.count), ("insertPlaceholder", self.statements.insertPlaceholder),
            ("patch", self.statements.patch),
            ("dropColumnsBelowTruncate", self.statements.dropColumnsBelowTruncate),
            ("releaseDeliveries", self.statements.releaseDeliveries), ("seen", self.statements.seen),
            ("repeats", self.statements.repeats),
        ]
        if !self.plan.milestones.isEmpty { all.append(("milestones", self.statements.milestones)) }
        if self.holds != nil { all.append(("holdDeliveries", self.statements.holdDeliveries)) }
        if self.plan.keepsTimeline {
            all += [
                ("appendTimeline", self.statements.appendTimeline), ("timeline", self.statements.timeline),
                ("timelineReport", self.statements.timelineReport),
                ("conflicts", self.statements.conflicts),
            ]
        }
        return all.compactMap { name, sql in sql.map { .preparing($0, as: self.name(name)) } }
    }

    // MARK: Cache

    /// The cached states of a batch's entities, an empty state for the others, and the indices of those that may have a
    /// row.
    func knownStates(of groups: EntityGroups) -> (states: [EntityState], missing: [Int]) {
        var states: [EntityState] = []
        var missing: [Int] = []
        states.reserveCapacity(groups.count)
        for group in groups.indices {
            if group % EntityCache.lookCount == 0 {
                self.cache.look(at: groups.keyHashes[group...].prefix(EntityCache.lookCount))
            }
            let hash = groups.keyHashes[group]
            if let state = self.cache[hash] {
                states.append(state)
            } else {
                states.append(EntityState())
                if !self.initialLoad.isNew(hash) { missing.append(group) }
            }
        }
        return (states, missing)
    }

    func remember(_ fold: BatchFold, _ batch: LaneBatch) {
        let hashes = fold.entities.map { batch[$0.keyItem].keyHash }
        for index in fold.entities.indices {
            if index % EntityCache.lookCount == 0 {
                self.cache.look(at: hashes[index...].prefix(EntityCache.lookCount))
            }
            self.cache.store(fold.entities[index].after, for: hashes[index])
        }
    }

    // MARK: Look-ups

    var keyOIDs: [UInt32] { self.plan.keyColumns.map(\.type.oid) }

    /// Fetches entities that may have a row.
    func fetch(_ groups: EntityGroups, missing: [Int], of batch: LaneBatch, pass: Int64) -> Statement {
        let keys = self.keyParameters(missing.map { groups.first(of: $0) }, of: batch)
        return .prepared(self.name("fetch"), keys + [.int64(pass)])
    }

    /// The keys of items, an array for each part.
    func keyParameters(_ items: [ItemReference], of batch: LaneBatch) -> [Parameter] {
        var keys = ArrayParameters(self.keyOIDs, rows: items.count)
        for item in items { _ = keys.append(fields: batch.bytes(batch[item].keyFields, of: item), from: 0) }
        return keys.parameters
    }

    // MARK: Statements

    struct Context {
        var pass: Int64
        var lane: Int
        var sources: [String]
        var isMuted: Bool
        var origins: TimelineOrigins
        var access = RowAccess.alone

        var isLocked: Bool { if case .locked = self.access { true } else { false } }
    }

    /// How a batch knows that rows are as it was folded on.
    enum RowAccess {
        /// No other process writes them.
        case alone
        /// They are compared: each entity's high-water mark before the batch, in the order of the fold.
        case compared([OrderKey?])
        /// They are locked, and all are there, be it as placeholders.
        case locked
    }

    /// The statements that write a fold, and what its events come to.
    func writing(_ fold: BatchFold, of batch: LaneBatch, in context: Context) -> Writing {
        var writing = Writing(counts: CommitReport.Projection(self.plan.name))
        var statements = self.rowStatements(fold, batch, context)
        let touched = fold.entities.count { $0.isFirstTouch }
        let scope: [Parameter] = [.int64(context.pass), .int32(Int32(context.lane)), .text(self.plan.name)]
        let timeline = self.initialLoad.markingNew(fold.timeline, of: batch)
        // Without a timeline, repeats among the events below cannot be told from late ones.
        let late = self.plan.keepsTimeline ? timeline.count { $0.isLate && $0.isNew } : fold.below
        let counts = [fold.applied, fold.duplicate, late, touched].map { Parameter.int64(Int64($0)) }
        statements.append(.prepared(self.name("count"), scope + counts))
        writing.verdicts = self.verdicts(fold, timeline)
        (writing.counts.applied, writing.counts.late) = (Int64(fold.applied), Int64(late))
        writing.counts.duplicate = Int64(fold.duplicate)
        if self.plan.keepsTimeline {
            let undecided = fold.below - late
            writing.counts.duplicate += Int64(undecided)
            let added = self.timelineStatements(timeline, batch, context, scope, undecided: undecided)
            if added.endsWithUndecided {
                let segments = timeline.lazy.filter { batch.hasReceipts && $0.isLate && !$0.isNew }.map { entry in
                    (Array(batch.bytes(batch[entry.item].orderKey, of: entry.item)), Int(entry.item.segment))
                }
                let index = statements.count + added.statements.count - 1
                writing.lateStatement = (index, batch.hasReceipts ? Dictionary(segments) { first, _ in first } : nil)
            }
            statements += added.statements
            if let conflicts = self.conflictStatement(timeline, batch, scope) { statements.append(conflicts) }
        }
        if !fold.milestones.isEmpty {
            writing.milestoneStatement = statements.count
            statements.append(self.milestoneStatement(fold, batch, context, scope))
        }
        if let revived = self.revivedStatement(fold, batch) { statements.append(revived) }
        if let holds = self.holds, let hold = self.holdStatement(fold, batch, holds) { statements.append(hold) }
        writing.statements = statements
        return writing
    }

    private func rowStatements(_ fold: BatchFold, _ batch: LaneBatch, _ context: Context) -> [Statement] {
        var fresh: [Int] = []
        var known: [Int] = []
        var touched: [Int] = []
        var merged: [BatchFold.Entity] = []
        let isLocked = context.isLocked
        // By index, because binding an entity would copy it.
        let entities = fold.entities
        for index in entities.indices {
            if entities[index].isMerged {
                merged.append(entities[index])
            } else if entities[index].row != nil {
                if entities[index].isKnown || isLocked { known.append(index) } else { fresh.append(index) }
            } else if entities[index].isFirstTouch || entities[index].tieWinner != nil || self.plan.isContiguous {
                touched.append(index)
            }
        }
        var statements: [Statement] = []
        func parameters(_ chosen: [Int]) -> [Parameter] {
            let sorted = self.sorted(chosen, of: fold.entities, batch)
            return self.rowParameters(sorted, of: fold.entities, batch) + [.int64(context.pass)]
        }
        if !fresh.isEmpty { statements.append(.prepared(self.name("insert"), parameters(fresh))) }
        if case .compared(let before) = context.access {
            statements += self.comparedStatements(known, before, fold, batch, context)
        } else if !known.isEmpty {
            let expected: [Parameter] = [.int64(Int64(known.count)), .text(self.plan.name)]
            statements.append(.prepared(self.name("advanceRow"), parameters(known) + expected))
        }
        if !merged.isEmpty { statements += self.mergeStatements(merged, batch, context) }
        if !touched.isEmpty { statements.append(self.markTouchedStatement(touched, of: fold.entities, batch, context)) }
        return statements
    }

    /// Counts keys that were perhaps revived: new ones whose event is older than tombstones that were pruned.
    private func revivedStatement(_ fold: BatchFold, _ batch: LaneBatch) -> Statement? {
        guard let prunedBefore else { return nil }
        let revived = fold.entities.count { entity in
            guard !entity.isKnown, let row = entity.row else { return false }
            return batch[row].operation != .delete && (batch[row].eventTime ?? .max) < prunedBefore
        }
        guard revived > 0 else { return nil }
        return .sql(
            "update tidemark_internal.projections set revived = revived + $2::bigint where name = $1::text",
            [.text(self.plan.name), .int64(Int64(revived))]
        )
    }

    private func markTouchedStatement(
        _ touched: [Int],
        of entities: [BatchFold.Entity],
        _ batch: LaneBatch,
        _ context: Context
    ) -> Statement {
        let seen = self.plan.isContiguous ? [OID.text] : []
        var rows = ArrayParameters(self.keyOIDs + [OID.timestamptz, OID.bytea] + seen, rows: touched.count)
        for index in touched {
            let entity = entities[index]
            let item = entity.tieWinner ?? entity.keyItem
            let column = rows.append(fields: batch.bytes(batch[item].keyFields, of: item), from: 0)
            rows.append(timestamp: batch[item].eventTime, to: column)
            rows.append(batch.bytes(batch[item].orderKey, of: item), to: column + 1)
            if self.plan.isContiguous { rows.append(Self.seen(entity.merge?.versions ?? [], batch), to: column + 2) }
        }
        return .prepared(self.name("markTouched"), rows.parameters + [.int64(context.pass)])
    }

    func rowParameters(
        _ chosen: [Int],
        of entities: [BatchFold.Entity],
        _ batch: LaneBatch
    ) -> [Parameter] {
        let values = self.plan.valueList
        let keyCount = self.plan.keyColumns.count
        let oids = self.keyOIDs + values.map(\.type.oid)
        let own =
            [OID.text, OID.bytea, OID.text, OID.timestamptz, OID.bool] + (self.plan.isContiguous ? [OID.text] : [])
        var rows = ArrayParameters(oids + own, rows: chosen.count)
        let first = keyCount + values.count
        for index in chosen {
            guard let row = entities[index].row else { continue }
            let event = batch[row]
            batch.withBytes(of: row) { bytes in
                _ = rows.append(fields: event.keyFields, of: bytes, from: 0)
                if event.operation == .delete {
                    rows.appendNulls(keyCount..<first)
                } else {
                    _ = rows.append(fields: event.valueFields, of: bytes, from: keyCount)
                }
                rows.append(orNull: event.state, of: bytes, to: first)
                rows.append(event.orderKey, of: bytes, to: first + 1)
                rows.append(event.sequence, of: bytes, to: first + 2)
            }
            rows.append(timestamp: batch[entities[index].tieWinner ?? row].eventTime, to: first + 3)
            rows.append(event.operation == .delete, to: first + 4)
            if self.plan.isContiguous {
                rows.append(Self.seen(entities[index].merge?.versions ?? [], batch), to: first + 5)
            }
        }
        return rows.parameters
    }

    /// The chosen entities in the order of their keys' bytes: the batch visits each index page once, and lanes lock
    /// rows in one order.
    func sorted(_ chosen: [Int], of entities: [BatchFold.Entity], _ batch: LaneBatch) -> [Int] {
        Self.order(of: chosen.map { entities[$0].keyItem }, batch).map { chosen[$0] }
    }

    /// The indices of the items in the order of their keys' bytes.
    static func order(of items: [ItemReference], _ batch: LaneBatch) -> [Int] {
        var prefixes = items.enumerated().map { index, item in
            (prefix: batch.withBytes(of: item) { Self.prefix(of: batch[item].keyFields, $0) }, index: index)
        }
        prefixes.sort { left, right in
            if left.prefix != right.prefix { return left.prefix < right.prefix }
            let (first, second) = (items[left.index], items[right.index])
            let order = LaneBatch.compare(
                batch.bytes(batch[first].keyFields, of: first),
                batch.bytes(batch[second].keyFields, of: second)
            )
            return order == 0 ? left.index < right.index : order < 0
        }
        return prefixes.map { $0.index }
    }

    /// The first eight bytes of a key after its length, as a number.
    @inline(__always)
    private static func prefix(of fields: ByteRange, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let key = fields.range.dropFirst(4).prefix(8)
        precondition(key.upperBound <= bytes.count)
        if key.count == 8 {
            return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: key.lowerBound, as: UInt64.self))
        }
        return key.isEmpty ? 0 : key.reduce(0) { $0 << 8 | UInt64(bytes[$1]) } << UInt64(8 * (8 - key.count))
    }

    private func milestoneStatement(
        _ fold: BatchFold,
        _ batch: LaneBatch,
        _ context: Context,
        _ scope: [Parameter]
    ) -> Statement {
        let own: [UInt32] = [OID.text, OID.text, OID.text, OID.bytea, OID.bool, OID.uuid, OID.text]
        var rows = ArrayParameters(self.keyOIDs + own, rows: fold.milestones.count)
        for reached in fold.milestones {
            let item = reached.item
            let event = batch[item]
            let milestone = self.plan.milestones[reached.milestone]
            let key = KeyText(self.plan, batch.bytes(event.key, of: item))
            let isEarly = milestone.muteBefore.map { bound in reached.leastEventTime.map { $0 < bound } ?? false }
            let first = rows.append(fields: batch.bytes(event.keyFields, of: item), from: 0)
            rows.append(milestone.name, to: first)
            rows.append(orNull: event.state.map { batch.bytes($0, of: item) }, to: first + 1)
            rows.append(batch.bytes(event.sequence, of: item), to: first + 2)
            rows.append(batch.bytes(event.orderKey, of: item), to: first + 3)
            rows.append(context.isMuted || isEarly == true, to: first + 4)
            rows.append(key.deliveryID(projection: self.plan.name, milestone: milestone.name)[...], to: first + 5)
            rows.append(key.json, to: first + 6)
        }
        let holds = self.holds.map { [Parameter.text($0)] } ?? []
        return .prepared(self.name("milestones"), rows.parameters + scope + Self.outboxTargets(self.plan) + holds)
    }

    /// The notifiers of each milestone: the parameters of ``ProjectionStatements/outboxTargets(_:_:from:)``.
    static func outboxTargets(_ plan: ProjectionPlan) -> [Parameter] {
        let pairs = plan.milestones.flatMap { milestone in milestone.notify.map { (milestone.name, $0) } }
        var targets = ArrayParameters([OID.text, OID.text, OID.text, OID.bool], rows: pairs.count)
        for (milestone, notifier) in pairs {
            let rule = plan.definition.notifications[notifier] ?? .init()
            let conditions = rule.when.sorted { $0.key < $1.key }.map { column, values in
                (name: column, json: "[\(values.joined(separator: ","))]")
            }
            targets.append(milestone, to: 0)
            targets.append(notifier, to: 1)
            targets.append(JSONOutput.object(conditions), to: 2)
            targets.append(rule.isThin, to: 3)
        }
        return targets.parameters
    }

    private func holdStatement(_ fold: BatchFold, _ batch: LaneBatch, _ holds: String) -> Statement? {
        let changed = fold.entities.filter { $0.row != nil || $0.isMerged }
        guard !changed.isEmpty else { return nil }
        var rows = ArrayParameters(self.keyOIDs + [OID.text], rows: changed.count)
        for entity in changed {
            let column = rows.append(fields: batch.bytes(batch[entity.keyItem].keyFields, of: entity.keyItem), from: 0)
            rows.append(KeyText(self.plan, batch.bytes(batch[entity.keyItem].key, of: entity.keyItem)).json, to: column)
        }
        return .prepared(self.name("holdDeliveries"), rows.parameters + [.text(self.plan.name), .text(holds)])
    }
}

extension Operation {
    /// One letter for storage, in the order of the words.
    var letter: String {
        switch self {
        case .delete: "d"
        case .insert: "i"
        case .snapshot: "s"
        case .update, .truncate: "u"
        }
    }
}
