import LibPQ
import TidemarkCore

/// Rows that are compared with what the lane knows, where other processes write them too.
extension ProjectionWriter {
    /// Replaces known rows, and locks those of the other entities that stay as they are. Only the first waits for other
    /// batches, in the order of keys, so that no two wait for each other.
    /// - Parameters:
    ///   - known: the entities whose rows are replaced.
    ///   - before: each entity's high-water mark before the batch.
    func comparedStatements(
        _ known: [Int],
        _ before: [OrderKey?],
        _ fold: BatchFold,
        _ batch: LaneBatch,
        _ context: Context
    ) -> [Statement] {
        func compared(_ chosen: [Int]) -> [Parameter] {
            var rows = ArrayParameters([OID.bytea], rows: chosen.count)
            for index in chosen { rows.append((before[index]?.array ?? [])[...], to: 0) }
            return rows.parameters
        }
        func expected(_ count: Int) -> [Parameter] { [.int64(Int64(count)), .text(self.plan.name)] }
        var statements: [Statement] = []
        if !known.isEmpty {
            let sorted = self.sorted(known, of: fold.entities, batch)
            let rows = self.rowParameters(sorted, of: fold.entities, batch) + compared(sorted)
            let own: [Parameter] = [.int64(context.pass)] + expected(known.count)
            statements.append(.prepared(self.name("advanceExactly"), rows + own))
        }
        let unchanged = fold.entities.indices.filter { fold.entities[$0].row == nil }
        if !unchanged.isEmpty {
            let sorted = self.sorted(unchanged, of: fold.entities, batch)
            let keys = self.keyParameters(sorted.map { fold.entities[$0].keyItem }, of: batch)
            let parameters = keys + compared(sorted) + expected(unchanged.count)
            statements.append(.prepared(self.name("lockUnchanged"), parameters))
        }
        return statements + [.sql(ProjectionStatements.noteLocks)]
    }

    /// Each entity's high-water mark before the batch, in the order of the fold.
    static func marksBefore(_ fold: BatchFold, _ groups: EntityGroups, _ states: [EntityState]) -> [OrderKey?] {
        var marks: [OrderKey?] = []
        marks.reserveCapacity(fold.entities.count)
        var group = 0
        for index in fold.entities.indices {
            // Entities are in the order of groups; those that nothing was learnt of have none.
            while groups.first(of: group) != fold.entities[index].keyItem { group += 1 }
            marks.append(states[group].highWater)
        }
        return marks
    }
}
