import LibPQ
import TidemarkCore

/// Adds a batch to the timeline, and counts conflicts.
extension ProjectionWriter {
    /// - Parameter undecided: events that are late or repeat one that the timeline holds.
    /// - Returns: also whether the last statement tells how many of those are late.
    func timelineStatements(
        _ timeline: [BatchFold.TimelineEntry],
        _ batch: LaneBatch,
        _ context: Context,
        _ scope: [Parameter],
        undecided: Int
    ) -> (statements: [Statement], endsWithUndecided: Bool) {
        var (fresh, others): ([BatchFold.TimelineEntry], [BatchFold.TimelineEntry]) = ([], [])
        for entry in self.sorted(timeline, batch) {
            if entry.isNew { fresh.append(entry) } else { others.append(entry) }
        }
        var statements: [Statement] = []
        if !fresh.isEmpty {
            let parameters = self.timelineParameters(fresh, batch, context)
            statements.append(.prepared(self.name("appendTimeline"), parameters))
        }
        if !others.isEmpty {
            let parameters = self.timelineParameters(others, batch, context)
            let name = self.name(batch.hasReceipts ? "timelineReport" : "timeline")
            statements.append(.prepared(name, parameters + scope + [.int64(Int64(undecided))]))
        }
        return (statements, !others.isEmpty)
    }

    private func timelineParameters(
        _ entries: [BatchFold.TimelineEntry],
        _ batch: LaneBatch,
        _ context: Context
    ) -> [Parameter] {
        let own: [UInt32] = [
            OID.bytea, OID.text, OID.char, OID.bool, OID.text, OID.timestamptz, OID.text, OID.text, OID.text,
        ]
        let first = self.plan.keyColumns.count
        let sources = context.sources.map { Array($0.utf8) }
        let imageBytes = entries.reduce(0) { $0 + Int(batch[$1.item].image.count) }
        var rows = ArrayParameters(self.keyOIDs + own, rows: entries.count, lastBytes: imageBytes)
        // The arrays of missing columns and of remarks are empty where no event has any: unnest() pads them with nulls.
        let hasPartial = entries.contains { batch[$0.item].isPartial }
        var missing = BinaryArray(elementOID: OID.text, expectedCount: hasPartial ? entries.count : 0)
        let hasRemarks = entries.contains { !$0.remarks.isEmpty }
        var remarks = BinaryArray(elementOID: OID.int2, expectedCount: hasRemarks ? entries.count : 0)
        for entry in entries {
            let item = entry.item
            let event = batch[item]
            batch.withBytes(of: item) { bytes in
                _ = rows.append(fields: event.keyFields, of: bytes, from: 0)
                rows.append(event.orderKey, of: bytes, to: first)
                rows.append(event.sequence, of: bytes, to: first + 1)
                rows.append(orNull: event.state, of: bytes, to: first + 4)
                rows.append(orNull: event.position.isEmpty ? nil : event.position, of: bytes, to: first + 7)
                rows.append(orNull: event.image.isEmpty ? nil : event.image, of: bytes, to: first + 8)
            }
            rows.append(event.operation.letter, to: first + 2)
            rows.append(entry.isLate, to: first + 3)
            rows.append(timestamp: event.eventTime, to: first + 5)
            rows.append(sources[Int(event.source)][...], to: first + 6)
            if hasRemarks { remarks.append(Int16(entry.remarks.rawValue)) }
            guard hasPartial else { continue }
            if event.isPartial {
                let names = batch.fields(event.missing, of: item)
                missing.append(SQLText.arrayLiteral(names, hasNull: event.nullsOthers))
            } else {
                missing.appendNull()
            }
        }
        return rows.parameters + [
            hasPartial ? missing.parameter(arrayOID: OID.textArray) : .null,
            hasRemarks ? remarks.parameter(arrayOID: OID.int2Array) : .null,
        ]
    }

    /// Only an event that is late or at the sequence of the high-water mark can conflict.
    func conflictStatement(
        _ timeline: [BatchFold.TimelineEntry],
        _ batch: LaneBatch,
        _ scope: [Parameter]
    ) -> Statement? {
        let contested = timeline.lazy.filter(\.isContested).map(\.item)
        var rows = ArrayParameters(self.keyOIDs + [OID.bytea], rows: timeline.count)
        var seen: Set<[UInt8]> = []
        for item in contested {
            let event = batch[item]
            let prefix = batch.sequenceBytes(of: item)
            guard seen.insert(Array(batch.bytes(event.keyFields, of: item)) + prefix).inserted else { continue }
            let column = rows.append(fields: batch.bytes(event.keyFields, of: item), from: 0)
            rows.append(prefix, to: column)
        }
        guard !seen.isEmpty else { return nil }
        return .prepared(self.name("conflicts"), rows.parameters + scope)
    }

    private func sorted(_ entries: [BatchFold.TimelineEntry], _ batch: LaneBatch) -> [BatchFold.TimelineEntry] {
        Self.order(of: entries.map { $0.item }, batch).map { entries[$0] }
    }
}
