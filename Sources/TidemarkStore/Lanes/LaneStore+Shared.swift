import LibPQ
import TidemarkCore

/// The entities that a batch has locked.
struct LockedEntities {
    /// By the index of the projection, for each of its groups.
    var states: [Int: [EntityState]] = [:]
}

/// A batch, folded for one projection.
struct FoldedBatch {
    /// The index of the projection.
    var index: Int
    var groups: EntityGroups
    /// What was known of each group.
    var states: [EntityState]
    var fold: BatchFold
    /// The verdicts on each segment's events; empty unless the batch has receipts.
    var verdicts: [MessageCounts] = []
    /// What its events and entities came to.
    var report = CommitReport()
}

/// How many batches lock their entities before they are folded: more, the more often rows have changed.
struct Caution {
    private var batches = 0
    private var next = 1
    private static let most = 64

    var isNeeded: Bool { self.batches > 0 }

    /// A row was not as the lane knew it.
    mutating func increase() {
        self.batches = self.next
        self.next = min(self.next * 2, Self.most)
    }

    /// A batch that locked its entities was committed.
    mutating func decrease() {
        self.batches = max(0, self.batches - 1)
        if self.batches == 0 { self.next = max(1, self.next / 2) }
    }
}

/// Projections that other processes write too.
///
/// Alone, a batch is folded on the cache and on look-ups before its transaction; the unchanged revision proves that no
/// other process has written. Shared, a batch is folded in the same way, and its transaction compares rows: known rows are
/// replaced only where they still have the order key that the fold was based on, new rows are inserted, and the rows of
/// late events are locked and compared. On a difference the transaction is rolled back, and the next attempt inserts
/// placeholders for entities without a row, locks the rows of all its entities in the order of their keys, and folds on
/// the locked state. Rows whose columns come from several events always use this second form.
///
/// There is no deadlock: inserts come first, then updates or locks, each in the order of keys' bytes. Everything else that
/// a batch writes belongs to locked entities or to its pass, or is sorted (dead letters, truncates).
extension LaneStore {
    func isShared(_ index: Int) -> Bool { self.access[index]?.isShared ?? false }

    /// Drops what was learnt under another access, and loads what applies to all events.
    func followAccess(on connection: Connection) async throws {
        guard let process = self.settings.process else { return }
        for index in self.writers.indices {
            let now = process.access[self.writers[index].plan.name]
            guard now != self.access[index] else { continue }
            self.writers[index].cache.removeAll()
            self.writers[index].initialLoad = .none
            try await self.loadBoundaries(index, on: connection)
            self.access[index] = now
        }
    }

    /// The indices of the projections that a batch writes, in the order of their names.
    func writtenProjections(of batch: LaneBatch) -> [Int] {
        if self.writers.count == 1 { return batch.items.isEmpty ? [] : [0] }
        var isWritten = [Bool](repeating: false, count: self.writers.count)
        for item in batch.items where batch[item].kind != .deadLetter { isWritten[Int(batch[item].projection)] = true }
        return isWritten.indices.filter { isWritten[$0] }
            .sorted { self.writers[$0].plan.name < self.writers[$1].plan.name }
    }

    /// Items of which only the version is kept.
    func seenItems(of batch: LaneBatch, _ index: Int) -> [ItemReference] {
        batch.others.filter { batch[$0].kind == .seen && Int(batch[$0].projection) == index }
    }

    /// Whether the batch deletes by a truncate, which batches of other processes have to learn of.
    private func deletesByTruncate(_ batch: LaneBatch, _ index: Int) -> Bool {
        self.writers[index].plan.truncatesDelete
            && batch.others.contains { batch[$0].kind == .truncate && Int(batch[$0].projection) == index }
    }

    /// The statements that begin a batch's transaction, and hold the revisions of its projections until it ends.
    func openingStatements(_ batch: LaneBatch, _ written: [Int]) -> [Statement] {
        var statements: [Statement] = [.prepared("tm_begin")]
        let held = written.filter { self.access[$0] != nil }
        guard !held.isEmpty else { return statements }
        // A truncate writes rows of other lanes, which this batch has not locked. On a lock timeout the batch is retried,
        // because a waiting exclusive request holds up shared ones.
        let exclusive = held.filter { self.deletesByTruncate(batch, $0) }
        if !exclusive.isEmpty { statements.append(.sql("set local lock_timeout = '\(self.exclusiveWait)ms'")) }
        for index in exclusive {
            statements.append(
                .sql(
                    "select pg_advisory_xact_lock(\(ProjectionLocks.batches), hashtext($1::text))",
                    [.text(self.writers[index].plan.name)]
                )
            )
        }
        var revisions = BinaryArray(elementOID: OID.int8)
        for index in held { revisions.append(self.access[index]?.revision ?? 0) }
        statements.append(
            .prepared(
                "tm_hold",
                [
                    .texts(held.map { self.writers[$0].plan.name }),
                    revisions.parameter(arrayOID: OID.int8Array),
                ]
            )
        )
        if !exclusive.isEmpty { statements.append(.sql("set local lock_timeout = 0")) }
        for index in exclusive where self.isShared(index) {
            statements.append(
                .sql(
                    "update tidemark_internal.projections set revision = revision + 1 where name = $1::text",
                    [.text(self.writers[index].plan.name)]
                )
            )
        }
        return statements
    }

    /// After the commit of a batch that has raised revisions: this process knows what it did.
    func noteRaisedRevisions(of batch: LaneBatch) {
        for index in self.writers.indices where self.isShared(index) && self.deletesByTruncate(batch, index) {
            guard let before = self.access[index] else { continue }
            let after = Access(revision: before.revision + 1, isShared: true)
            self.settings.process?.access.replace(before, by: after, of: self.writers[index].plan.name)
            self.access[index] = after
        }
    }

    /// Whether a batch locks its entities before it is folded.
    func mustLock(_ batch: LaneBatch, _ written: [Int]) -> Bool {
        written.contains { index in
            guard self.isShared(index) else { return false }
            let plan = self.writers[index].plan
            return self.caution.isNeeded || plan.isContiguous || plan.truncatesDelete
        }
    }

    /// Whether columns of a shared projection's rows come from several events.
    func hasMerged(_ work: [FoldedBatch]) -> Bool {
        work.contains { folded in
            self.isShared(folded.index) && folded.fold.entities.indices.contains { folded.fold.entities[$0].isMerged }
        }
    }

    func rowAccess(_ folded: FoldedBatch, isLocked: Bool) -> ProjectionWriter.RowAccess {
        guard self.isShared(folded.index) else { return .alone }
        if isLocked { return .locked }
        return .compared(ProjectionWriter.marksBefore(folded.fold, folded.groups, folded.states))
    }

    /// Begins the transaction, and locks the entities of projections that other processes write too.
    /// - Returns: `nil` when there are none, and nothing has begun.
    func lockEntities(
        of batch: LaneBatch,
        _ groups: [(index: Int, groups: EntityGroups)],
        _ written: [Int],
        _ opening: [Statement],
        on connection: Connection
    ) async throws -> LockedEntities? {
        let shared = written.filter(self.isShared)
        guard !shared.isEmpty else { return nil }
        var statements = opening
        var asked: [(index: Int, count: Int, groups: [Int?], result: Int)] = []
        for index in shared {
            let own = groups.first { $0.index == index }?.groups
            var keys = own.map { own in own.indices.map { (item: own.first(of: $0), group: Int?.some($0)) } } ?? []
            let seen = EntityGroups(self.seenItems(of: batch, index), of: batch)
            keys += seen.indices.map { (seen.first(of: $0), nil) }
            guard !keys.isEmpty else { continue }
            let order = ProjectionWriter.order(of: keys.map(\.item), batch)
            let parameters = self.writers[index].keyParameters(order.map { keys[$0].item }, of: batch)
            statements.append(.prepared(self.writers[index].name("insertPlaceholder"), parameters))
            let locking = parameters + [.int64(self.settings.pass)]
            statements.append(.prepared(self.writers[index].name("lock"), locking))
            asked.append((index, own?.count ?? 0, order.map { keys[$0].group }, statements.count - 1))
        }
        statements.append(.sql(ProjectionStatements.noteLocks))
        let results = try await connection.pipeline(statements)
        var locked = LockedEntities()
        for (index, count, groups, number) in asked {
            var states = [EntityState](repeating: EntityState(), count: count)
            let result = results[number]
            for row in 0..<result.rowCount {
                guard let key = try result.int32(row, 0), let group = groups[Int(key) - 1] else { continue }
                let state = try Self.state(result, row)
                // A placeholder has told nothing yet.
                if state.highWater?.array.isEmpty == false { states[group] = state }
            }
            locked.states[index] = states
        }
        return locked
    }
}
