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
        if fresh.count >= Self.copiedEventsMin, !context.isLocked {
            statements.append(.copying(self.statements.copyTimeline, self.timelineRows(fresh, batch, context)))
        } else if !fresh.isEmpty {
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

    /// A COPY takes two more round trips, which pay from some hundred events on.
    private static let copiedEventsMin = 256

    private func timelineRows(_ entries: [BatchFold.TimelineEntry], _ batch: LaneBatch, _ context: Context) -> [UInt8] {
        let bytes = entries.reduce(160 * entries.count) { sum, entry in
            let event = batch[entry.item]
            return sum + Int(event.keyFields.count + event.valueFields.count + event.image.count)
        }
        let told = (self.statements.shape.columns ?? []).count { $0.told != nil }
        var rows = CopyRows(
            fieldCount: self.statements.timelineColumns.count + told,
            trueCount: told,
            expectedBytes: bytes
        )
        self.append(entries, batch, context, to: &rows)
        return rows.finished()
    }

    private func timelineParameters(
        _ entries: [BatchFold.TimelineEntry],
        _ batch: LaneBatch,
        _ context: Context
    ) -> [Parameter] {
        let shape = self.statements.shape
        var own: [UInt32] = [
            OID.bytea, OID.text, OID.char, OID.bool, OID.timestamptz, OID.int4, OID.bytea, OID.text,
        ]
        if shape.holdsState { own.append(OID.text) }
        if shape.holdsImage { own.append(OID.text) }
        let imageBytes = shape.holdsImage ? entries.reduce(0) { $0 + Int(batch[$1.item].image.count) } : 0
        var rows = TimelineArrays(
            self.keyOIDs + (shape.columns ?? []).map(\.type.oid) + own,
            rows: entries.count,
            lastBytes: imageBytes,
            // The arrays of missing columns and of remarks are empty where no event has any: unnest() pads them with nulls.
            hasPartial: entries.contains { batch[$0.item].isPartial },
            hasRemarks: entries.contains { !$0.remarks.isEmpty }
        )
        self.append(entries, batch, context, to: &rows)
        return rows.finished()
    }

    /// Appends events in the order of ``ProjectionStatements/timelineColumns``.
    private func append(
        _ entries: [BatchFold.TimelineEntry],
        _ batch: LaneBatch,
        _ context: Context,
        to rows: inout some TimelineRows
    ) {
        let shape = self.statements.shape
        let values = shape.columns ?? []
        let sequenceField = shape.sequenceColumn.flatMap { column in values.firstIndex { $0.name == column.name } }
        for entry in entries {
            let event = batch[entry.item]
            rows.beginRow()
            batch.withBytes(of: entry.item) { bytes in
                rows.append(fields: event.keyFields, of: bytes)
                if !shape.holdsImage, event.valueFields.isEmpty {
                    rows.appendNulls(values.count)
                } else if !shape.holdsImage {
                    rows.append(fields: event.valueFields, of: bytes)
                }
                rows.append(event.orderKey, of: bytes)
                let isTold = sequenceField.map { Self.carries($0, event, of: bytes) } ?? false
                rows.append(orNull: isTold ? nil : event.sequence, of: bytes)
                rows.append(letter: event.operation.letter)
                rows.append(entry.isLate)
                rows.append(timestamp: event.eventTime)
                context.origins.append(event, of: bytes, to: &rows)
                if shape.holdsState { rows.append(orNull: event.state, of: bytes) }
                if shape.holdsImage { rows.append(orNull: event.image.isEmpty ? nil : event.image, of: bytes) }
            }
            if event.isPartial {
                rows.append(missing: batch.fields(event.missing, of: entry.item), hasNull: event.nullsOthers)
            } else {
                rows.append(missing: nil, hasNull: false)
            }
            rows.append(remarks: entry.remarks.isEmpty ? nil : Int16(entry.remarks.rawValue))
        }
    }

    /// Whether the event has a value in one of its columns beside the key.
    private static func carries(_ column: Int, _ event: EncodedChange, of bytes: UnsafeRawBufferPointer) -> Bool {
        var start = event.valueFields.range.lowerBound
        let end = event.valueFields.range.upperBound
        func length() -> Int? {
            start + 4 <= end ? Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: Int32.self))) : nil
        }
        for _ in 0..<column {
            guard let length = length() else { return false }
            start += 4 + max(0, length)
        }
        return (length() ?? -1) >= 0
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
