import TidemarkCore

/// The relations that were empty when a pass began and no other process wrote them, by projection.
package struct EmptyRelations: Sendable, Equatable {
    package var rows: Set<String> = []
    package var timelines: Set<String> = []

    package init() {}
}

/// Loads a projection into relations that were empty when the pass began, while no other
/// process writes them. Rows that the lane
/// has not written do not exist then, so the look-ups are skipped: they are most of the work for late events, and a
/// round trip for each batch with new entities.
struct InitialLoad {
    /// Entities whose rows were written; `nil` where the relation may have others.
    private var entities: SeenFilter?
    /// Sequences of entities that were added to the timeline; `nil` where it may have others.
    private var sequences: SeenFilter?

    /// The filters' memory as a share of the cache's, beside it: one entry for each event, or one for each entity.
    private static let (sequencesPart, entitiesPart) = (8, 32)

    /// Any other load: the database is always asked.
    static var none: Self { Self() }

    private init() {}

    /// - Throws: `.configuration`, when the system refuses the memory.
    init(of projection: String, into empty: EmptyRelations, cacheBytes: Int) throws(StoreError) {
        guard cacheBytes > 0 else { return }
        if empty.rows.contains(projection) {
            self.entities = try SeenFilter(byteCount: cacheBytes / Self.entitiesPart)
        }
        if empty.timelines.contains(projection) {
            self.sequences = try SeenFilter(byteCount: cacheBytes / Self.sequencesPart)
        }
    }

    /// Whether the entity certainly has no row. It counts as written from now on.
    @inline(__always)
    func isNew(_ entity: KeyHash) -> Bool {
        if let seen = self.entities?.note(entity) { !seen } else { false }
    }

    /// The entries, with those that are certainly not in the timeline as new: nor can those conflict with another. They
    /// count as written from now on.
    func markingNew(_ entries: [BatchFold.TimelineEntry], of batch: LaneBatch) -> [BatchFold.TimelineEntry] {
        guard let sequences else { return entries }
        var entries = entries
        for index in entries.indices {
            let item = entries[index].item
            guard !sequences.note(batch.sequenceBytes(of: item), of: batch[item].keyHash) else { continue }
            entries[index].isNew = true
            entries[index].isContested = false
        }
        return entries
    }
}
