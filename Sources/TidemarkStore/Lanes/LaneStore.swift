package import LibPQ
package import Logging
package import TidemarkCore

/// Writes one lane's batches. Rows, timeline, milestones, outbox, dead letters, counters and progress of a batch are
/// one transaction and one network round trip, and what the lane remembers changes only after a confirmed commit.
/// Used by one task at a time.
package final class LaneStore {
    package struct Settings: Sendable {
        package var options: ConnectionOptions
        package var pass: Int64
        package var lane: Int
        /// How many lanes there are.
        package var lanes: Int
        /// The lane's stored progress.
        package var progress: LaneProgress
        /// The pass is the service's: its processes count each by itself, and an error names the projection that is at fault.
        package var isService = false
        /// Called after an attempt that lost the connection, from any thread.
        package var onLoss: (@Sendable () -> Void)?
        package var sources: [String]
        package var isMuted: Bool
        package var keepsDeadLetters: Bool
        package var cacheBytes: Int
        /// The relations that were empty when the pass began, while no other process wrote them.
        package var empty: EmptyRelations
        /// How long to wait for an unreachable database; `nil` for ever.
        package var databaseWait: Duration?
        /// The process that the lane writes for; `nil` where no other process can write.
        package var process: ProcessSession?
        /// Reads the message at an offset of a stream, by its ordinal too; `nil` when it is not available.
        package var message: @Sendable (_ stream: StreamID, _ offset: StreamOffset, _ ordinal: Int64) -> [UInt8]?
        /// Statements that complete a batch in its transaction, instead of the progress of its streams. A batch whose
        /// outcome is unknown is then committed again, which changes no row.
        package var closing: (@Sendable (LaneBatch) -> [Statement])?

        package init(
            options: ConnectionOptions,
            pass: Int64,
            lane: Int,
            lanes: Int = 1,
            progress: LaneProgress = LaneProgress(),
            sources: [String],
            isMuted: Bool,
            keepsDeadLetters: Bool = true,
            cacheBytes: Int,
            empty: EmptyRelations = EmptyRelations(),
            databaseWait: Duration?,
            process: ProcessSession? = nil,
            message: @escaping @Sendable (_ stream: StreamID, _ offset: StreamOffset, _ ordinal: Int64) -> [UInt8]? = {
                _,
                _,
                _ in nil
            }
        ) {
            self.options = options
            self.pass = pass
            self.lane = lane
            self.lanes = lanes
            self.progress = progress
            self.sources = sources
            self.isMuted = isMuted
            self.keepsDeadLetters = keepsDeadLetters
            self.cacheBytes = cacheBytes
            self.empty = empty
            self.databaseWait = databaseWait
            self.process = process
            self.message = message
        }
    }

    let settings: Settings
    let logger: Logger
    var writers: [ProjectionWriter]
    var connection: Connection?
    let origins = TimelineOrigins()
    /// The lane's progress in each stream, as it was loaded when the stream was taken or committed since.
    var progress: [ProgressKey: LaneProgress.Entry] = [:]
    /// Whether batches of shared projections lock their entities first.
    var caution = Caution()
    /// The access to each projection under which its cache was filled.
    var access: [Access?]
    /// The server process of the last connection; `nil` before the first.
    var formerBackend: Int32?
    /// What the batch in hand has come to so far.
    private var report = CommitReport()
    /// How long the next batch with a truncate waits for those of other lanes and processes, in milliseconds.
    var exclusiveWait = ProjectionLocks.firstWait

    /// - Throws: `.configuration`, when the system refuses the memory that `cache_bytes` asks for.
    package init(settings: Settings, plans: [ProjectionPlan], logger: Logger) throws(StoreError) {
        self.settings = settings
        self.logger = logger
        self.access = plans.map { settings.process?.access[$0.name] }
        let share = settings.cacheBytes / max(1, plans.count)
        self.writers = try plans.enumerated().map { (index, plan) throws(StoreError) in
            try ProjectionWriter(
                plan: plan,
                index: index,
                cacheBytes: share,
                empty: settings.empty,
                countingAs: settings.countingAs
            )
        }
    }

    // MARK: Committing

    /// Commits a batch and moves the lane's progress in its streams. Committing it again changes nothing, because the
    /// compare-and-set of the progress fails.
    ///
    /// A lost connection, a restart of the server, a deadlock and the like are retried with growing delays. After a
    /// lost connection the stored progress shows whether the batch was committed.
    @discardableResult
    package func commit(_ batch: LaneBatch) async throws -> CommitReport {
        self.report = CommitReport()
        try await self.commitParts(of: batch)
        return self.report
    }

    private func commitParts(of batch: LaneBatch) async throws {
        let retry = DatabaseRetry(
            wait: self.settings.databaseWait,
            outage: self.settings.process?.outage,
            stop: self.settings.process?.retryStop,
            onRetry: { [onLoss = self.settings.onLoss] error in if error.isConnectionLoss { onLoss?() } }
        )
        let outcome: Outcome
        do {
            outcome = try await retry.perform(
                unless: { try await self.wasCommitted(batch) ? Outcome.committed : nil },
                { try await self.attemptUntilFresh(batch) }
            )
        } catch let error as PostgresError where self.settings.isService && !error.isRetriable {
            throw await self.blaming(for: error, in: batch)
        }
        switch outcome {
        case .committed: await self.wakeRelays(batch)
        case .halves(let first, let second):
            try await self.commitParts(of: first)
            try await self.commitParts(of: second)
        case .withDeadLetters(let batch): try await self.commitParts(of: batch)
        }
    }

    /// Wakes those who deliver in other processes. Behind the commit, since notifications take a lock of the whole server
    /// until their transaction has ended. Who misses it looks at the table a little later.
    private func wakeRelays(_ batch: LaneBatch) async {
        guard batch.milestones != 0, !self.settings.isMuted, let connection = self.connection,
            self.writers.contains(where: { $0.plan.definition.milestones.contains { !$0.notify.isEmpty } })
        else { return }
        _ = try? await connection.query("select pg_notify('\(DeliveryStore.channel)', '')")
    }

    /// Retries a batch for which the read model was ahead of the lane's cache, or had another revision.
    private func attemptUntilFresh(_ batch: LaneBatch) async throws -> Outcome {
        var staleness = 0
        while true {
            do {
                return try await self.attemptOrRefusal(batch)
            } catch let error as PostgresError where error.isStale && staleness < 3 {
                staleness += 1
                self.logger.debug("folding again", metadata: ["lane": "\(self.settings.lane)", "error": "\(error)"])
                if self.writers.indices.contains(where: self.isShared) {
                    self.caution.increase()
                } else {
                    self.forget()
                }
            } catch let error as PostgresError where error.hasOtherRevision {
                try await self.settings.process?.refresh(wait: self.settings.databaseWait)
            } catch let error as PostgresError where error.sqlState == "55P03" {
                // Other batches are in the way of a truncate. They pass before it asks again, and it waits for longer.
                self.logger.debug("waiting to apply a truncate", metadata: ["lane": "\(self.settings.lane)"])
                try await Task.sleep(for: .milliseconds(self.exclusiveWait))
                self.exclusiveWait = min(self.exclusiveWait * 2, ProjectionLocks.lastWait)
            }
            // An earlier attempt may have been committed and its answer lost.
            if try await self.wasCommitted(batch) { return .committed }
        }
    }

    /// Compares the stored progress with the batch after an attempt whose answer was lost.
    /// - Throws: ``StoreError/progressMoved``, when another process has moved it.
    private func wasCommitted(_ batch: LaneBatch) async throws -> Bool {
        let advances = batch.advances
        guard self.settings.closing == nil, !advances.isEmpty else { return false }
        let found = try await self.storedProgress(of: advances.map(\.key))
        if advances.allSatisfy({ found[$0.key]?.offset == $0.to.offset }) {
            self.learn(from: batch, folded: nil)
            self.note(advances)
            if batch.hasReceipts { batch.abandonReceipts(because: "the answer to the commit was lost") }
            return true
        }
        guard advances.allSatisfy({ found[$0.key]?.offset == self.knownProgress(of: $0.key)?.offset }) else {
            // Such as a backfill, which drops what a projection that catches up has reached.
            throw self.settings.isService ? StoreError.passChanged : StoreError.progressMoved
        }
        return false
    }

    func attempt(_ batch: LaneBatch) async throws {
        let advances = self.settings.closing == nil ? batch.advances : []
        let closing = self.settings.closing?(batch) ?? self.progressStatements(advances)
        let folded = try await self.write(batch, closing: closing + [.prepared("tm_commit")])
        self.learn(from: batch, folded: folded)
        self.note(advances)
        for folded in folded { self.report += folded.report }
        if batch.hasReceipts { batch.report(folded.map(\.verdicts)) }
    }

    /// Writes a batch in a transaction.
    /// - Parameter closing: the last statements, the one that ends the transaction among them.
    func write(_ batch: LaneBatch, closing: [Statement]) async throws -> [FoldedBatch] {
        let connection = try await self.connected()
        do {
            try await self.followAccess(on: connection)
            self.noteTruncates(of: batch)
            try await self.numberOrigins(of: batch, on: connection)
            let written = self.writtenProjections(of: batch)
            let opening = self.openingStatements(batch, written)
            let groups = self.groups(of: batch)
            var locked: LockedEntities?
            if self.mustLock(batch, written) {
                locked = try await self.lockEntities(of: batch, groups, written, opening, on: connection)
            }
            var work = try await self.fold(batch, groups, locked, on: connection)
            if locked == nil, self.hasMerged(work) {
                locked = try await self.lockEntities(of: batch, groups, written, opening, on: connection)
                work = try await self.fold(batch, groups, locked, on: connection)
            }
            var statements = locked == nil ? opening : []
            var writings: [(start: Int, writing: ProjectionWriter.Writing)] = []
            for folded in work {
                let context = ProjectionWriter.Context(
                    pass: self.settings.pass,
                    lane: self.settings.lane,
                    sources: self.settings.sources,
                    isMuted: self.settings.isMuted,
                    origins: self.origins,
                    access: self.rowAccess(folded, isLocked: locked != nil)
                )
                var writing = self.writers[folded.index].writing(folded.fold, of: batch, in: context)
                let own = writing.statements
                writing.statements = []
                writings.append((statements.count, writing))
                statements += own
            }
            for index in written where self.writers[index].plan.isContiguous {
                if let statement = self.writers[index].seenStatement(self.seenItems(of: batch, index), batch) {
                    statements.append(statement)
                }
            }
            statements += self.messageStatements(batch)
            statements += closing
            let results = try await connection.pipeline(consume statements)
            for index in work.indices {
                try writings[index].writing.read(results, from: writings[index].start)
                work[index].verdicts = writings[index].writing.verdicts
                work[index].report.projections = [writings[index].writing.counts]
            }
            if locked != nil { self.caution.decrease() }
            self.exclusiveWait = ProjectionLocks.firstWait
            return work
        } catch {
            await self.dropIfBroken(connection)
            // The transaction is aborted; the rollback makes the connection usable again.
            if self.connection != nil { try? await connection.execute("rollback") }
            throw error
        }
    }

    /// Updates the lane's memory after a committed batch. Both ways of learning of the commit end here, because a
    /// truncate applies to all later events.
    /// - Parameter folded: the written entities; `nil` when the answer to the COMMIT was lost, so that high-water
    ///   marks, milestones and filters have to be read again.
    private func learn(from batch: LaneBatch, folded: [FoldedBatch]?) {
        if let folded {
            for folded in folded { self.writers[folded.index].remember(folded.fold, batch) }
            self.noteRaisedRevisions(of: batch)
        } else {
            self.forget()
            self.noteTruncates(of: batch)
        }
        for index in self.writers.indices { self.writers[index].truncates.commitRecent() }
    }

    /// Adds the batch's truncates that are deletes; each applies to the events after it.
    private func noteTruncates(of batch: LaneBatch) {
        for index in self.writers.indices { self.writers[index].truncates.dropRecent() }
        for item in batch.others where batch[item].kind == .truncate {
            let event = batch[item]
            guard self.writers[Int(event.projection)].plan.truncatesDelete else { continue }
            self.writers[Int(event.projection)].truncates.add(
                TruncateLog.Entry(
                    table: Array(batch.bytes(event.table, of: item)),
                    orderKey: Array(batch.bytes(event.orderKey, of: item)),
                    sequence: Array(batch.bytes(event.sequence, of: item))
                ),
                at: item
            )
        }
    }

    /// The batch's changes of each projection that has any, by entity.
    func groups(of batch: LaneBatch) -> [(index: Int, groups: EntityGroups)] {
        var items = [[ItemReference]](repeating: [], count: self.writers.count)
        if items.count == 1 {
            items[0] = batch.changes
        } else {
            for item in batch.changes { items[Int(batch[item].projection)].append(item) }
        }
        // In the order of names: where processes write rows that no entity's lock protects, they do so in one order.
        return items.indices.filter { !items[$0].isEmpty }
            .sorted { self.writers[$0].plan.name < self.writers[$1].plan.name }
            .map { ($0, EntityGroups(items[$0], of: batch)) }
    }

    /// Looks up the entities that miss the cache, and folds the batch for each projection.
    /// - Parameter locked: the entities of projections that other processes write too.
    private func fold(
        _ batch: LaneBatch,
        _ used: [(index: Int, groups: EntityGroups)],
        _ locked: LockedEntities?,
        on connection: Connection
    ) async throws -> [FoldedBatch] {
        var states: [[EntityState]] = []
        var requests: [Statement] = []
        var missing: [[Int]] = []
        for (index, groups) in used {
            if let known = locked?.states[index] {
                states.append(known)
                missing.append([])
                continue
            }
            let known = self.writers[index].knownStates(of: groups)
            states.append(known.states)
            missing.append(known.missing)
            guard !known.missing.isEmpty else { continue }
            requests.append(
                self.writers[index].fetch(groups, missing: known.missing, of: batch, pass: self.settings.pass)
            )
        }
        if !requests.isEmpty {
            let results = try await connection.pipeline(requests)
            var next = 0
            for slot in used.indices where !missing[slot].isEmpty {
                let result = results[next]
                next += 1
                for row in 0..<result.rowCount {
                    guard let number = try result.int32(row, 0) else { continue }
                    states[slot][missing[slot][Int(number) - 1]] = try Self.state(result, row)
                }
            }
        }
        var repeats = [Set<ItemReference>](repeating: [], count: used.count)
        for (slot, (index, groups)) in used.enumerated() {
            guard let asked = self.writers[index].repeats(of: groups, states[slot], in: batch) else { continue }
            let found = try await connection.pipeline([asked.request])[0]
            for row in 0..<found.rowCount {
                guard let number = try found.int32(row, 0) else { continue }
                repeats[slot].insert(asked.items[Int(number) - 1])
            }
        }
        return used.enumerated().map { slot, used in
            let index = used.index
            let fold = BatchFold(
                batch: batch,
                groups: used.groups,
                states: states[slot],
                plan: self.writers[index].plan,
                sources: self.settings.sources,
                truncates: self.writers[index].truncates,
                repeats: repeats[slot]
            )
            var folded = FoldedBatch(index: index, groups: used.groups, states: states[slot], fold: fold)
            folded.report.cacheMisses = locked?.states[index] == nil ? missing[slot].count : used.groups.count
            folded.report.cacheHits = used.groups.count - folded.report.cacheMisses
            return folded
        }
    }

    static func state(_ result: QueryResult, _ row: Int) throws -> EntityState {
        EntityState(
            highWater: try result.bytes(row, 1).map { OrderKey($0) },
            isTouched: try result.bool(row, 2) ?? false,
            isDeleted: try result.bool(row, 3) ?? false,
            columns: try result.text(row, 4).map(ColumnState.init(json:))
        )
    }

    /// Empties the cache and the filters, which may be out of date: another process has written, or this lane got no
    /// answer. Truncates stay: they are a maximum, and only grow.
    func forget() {
        for index in self.writers.indices {
            self.writers[index].cache.removeAll()
            self.writers[index].initialLoad = .none
        }
    }
}
