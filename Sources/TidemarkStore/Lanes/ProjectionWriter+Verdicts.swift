import LibPQ
import TidemarkCore

/// What the events of a batch come to: for receipts by segment, for metrics in all.
extension ProjectionWriter {
    /// What writes a fold.
    struct Writing {
        /// In the order in which they must run.
        var statements: [Statement] = []
        /// What the events come to. Those that may be late count as duplicates until ``lateStatement`` has answered.
        var counts: CommitReport.Projection
        /// The same by segment; empty unless the batch has receipts.
        var verdicts: [MessageCounts] = []
        /// The index of the statement that tells how many were late; where there are segments, by the order keys of
        /// those that were, of which each is in one of them.
        var lateStatement: (index: Int, segments: [[UInt8]: Int]?)?
        /// The index of the statement that returns the milestones that were newly reached.
        var milestoneStatement: Int?

        init(counts: CommitReport.Projection) { self.counts = counts }

        /// Completes the counts.
        /// - Parameter results: of all statements, and whatever came before them.
        mutating func read(_ results: [QueryResult], from start: Int) throws(PostgresError) {
            if let late = self.lateStatement {
                let result = results[start + late.index]
                var count = Int64(result.rowCount)
                if let segments = late.segments {
                    for row in 0..<result.rowCount {
                        guard let segment = segments[try result.bytes(row, 0) ?? []] else { continue }
                        self.verdicts[segment].late += 1
                        self.verdicts[segment].duplicate -= 1
                    }
                } else if count > 0 {
                    count = try result.int64(0, 0) ?? 0
                }
                self.counts.late += count
                self.counts.duplicate -= count
            }
            guard let milestoneStatement else { return }
            let reached = results[start + milestoneStatement]
            for row in 0..<reached.rowCount {
                guard let name = try reached.text(row, 0) else { continue }
                self.counts.milestones[name] = try reached.int64(row, 1)
            }
        }
    }

    /// What is known of the verdicts before the batch is written.
    func verdicts(_ fold: BatchFold, _ timeline: [BatchFold.TimelineEntry]) -> [MessageCounts] {
        var verdicts = fold.verdicts
        for segment in verdicts.indices {
            if self.plan.keepsTimeline {
                verdicts[segment].duplicate += fold.belowOf[segment]
            } else {
                verdicts[segment].late += fold.belowOf[segment]
            }
        }
        guard !verdicts.isEmpty, self.plan.keepsTimeline else { return verdicts }
        for entry in timeline where entry.isLate && entry.isNew {
            verdicts[Int(entry.item.segment)].late += 1
            verdicts[Int(entry.item.segment)].duplicate -= 1
        }
        return verdicts
    }
}
