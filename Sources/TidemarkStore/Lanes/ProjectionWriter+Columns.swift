import LibPQ
import TidemarkCore

/// Writes rows whose columns come from several events, and the versions seen.
extension ProjectionWriter {
    /// Inserts placeholders for new entities first, so that the same statement patches new and known ones.
    func mergeStatements(_ entities: [BatchFold.Entity], _ batch: LaneBatch, _ context: Context) -> [Statement] {
        var statements: [Statement] = []
        let fresh = entities.filter { !$0.isKnown }
        if !fresh.isEmpty, case .alone = context.access {
            let keys = self.keyParameters(fresh.map(\.keyItem), of: batch)
            statements.append(.prepared(self.name("insertPlaceholder"), keys))
        }
        let values = self.plan.valueList
        let own = ProjectionStatements.patchColumns(self.plan).map { Self.oid(of: $0.type) }
        var rows = ArrayParameters(self.keyOIDs + values.map(\.type.oid) + own, rows: entities.count)
        for index in self.sorted(Array(entities.indices), of: entities, batch) {
            let entity = entities[index]
            guard let merge = entity.merge?.columns else { continue }
            let first = rows.append(fields: batch.bytes(batch[entity.keyItem].keyFields, of: entity.keyItem), from: 0)
            var patch = Patch(entity, merge, self.plan)
            if let columns = self.plan.valueColumns {
                patch.append(columns: columns, of: batch, to: &rows, from: first)
            } else {
                patch.appendWhole(of: batch, to: &rows, at: first)
            }
            self.append(patch, batch, to: &rows, from: first + values.count)
        }
        let counts: [Parameter] = [
            .int64(context.pass), .int64(Int64(entities.count)), .text(self.plan.name),
        ]
        statements.append(.prepared(self.name("patch"), rows.parameters + counts))
        return statements
    }

    /// Looks up which events the timeline has, of those that may have been seen before a column was added; `nil` where
    /// there are none.
    func repeats(
        of groups: EntityGroups,
        _ states: [EntityState],
        in batch: LaneBatch
    ) -> (request: Statement, items: [ItemReference])? {
        guard self.statements.repeats != nil else { return nil }
        var items: [ItemReference] = []
        for group in groups.indices {
            guard let seen = states[group].columns?.seen else { continue }
            items += groups[group].lazy.map(\.reference).filter { item in
                LaneBatch.compare(batch.orderKey(of: item), seen[...]) <= 0
            }
        }
        guard !items.isEmpty else { return nil }
        var rows = ArrayParameters(self.keyOIDs + [OID.bytea], rows: items.count)
        for item in items {
            let column = rows.append(fields: batch.bytes(batch[item].keyFields, of: item), from: 0)
            rows.append(batch.orderKey(of: item), to: column)
        }
        return (.prepared(self.name("repeats"), rows.parameters), items)
    }

    private static func oid(of type: String) -> UInt32 {
        switch type {
        case "bytea": OID.bytea
        case "boolean": OID.bool
        case "timestamptz": OID.timestamptz
        default: OID.text
        }
    }

    /// Appends the columns after the values, in the order of ``ProjectionStatements/patchColumns(_:)``.
    private func append(_ patch: Patch, _ batch: LaneBatch, to rows: inout ArrayParameters, from first: Int) {
        let (entity, merge, extra) = (patch.entity, patch.merge, patch.entity.merge)
        var column = first
        func next() -> Int {
            defer { column += 1 }
            return column
        }
        let state: ItemReference? = if case .item(let item) = merge.originOfState { item } else { nil }
        let keepsState = merge.originOfState == .stored
        let keepsHead = entity.row == nil && extra?.truncate == nil
        rows.append((keepsState ? "k" : "t") + (keepsHead ? "k" : "t") + patch.mask, to: next())
        if self.plan.valueColumns == nil {
            rows.append(merge.base == .stored, to: next())
            rows.append(SQLText.arrayLiteral(merge.stored), to: next())
            rows.append(
                orNull: patch.gone.isEmpty ? nil : Array(SQLText.arrayLiteral(patch.gone).utf8)[...],
                to: next()
            )
            rows.append(patch.fragments[...], to: next())
        }
        rows.append(orNull: state.flatMap { item in batch[item].state.map { batch.bytes($0, of: item) } }, to: next())
        let highWater = entity.after.highWater?.array ?? []
        rows.append(highWater[...], to: next())
        let sequence = entity.row.map { batch.bytes(batch[$0].sequence, of: $0) } ?? extra?.truncate?.sequence[...]
        rows.append(sequence ?? [], to: next())
        rows.append(timestamp: (entity.tieWinner ?? entity.row).flatMap { batch[$0].eventTime }, to: next())
        rows.append(entity.after.isDeleted, to: next())
        rows.append(orNull: entity.after.columns.map { Array($0.json.utf8)[...] }, to: next())
        let incomplete = entity.after.isDeleted ? [] : patch.incomplete
        rows.append(orNull: incomplete.isEmpty ? nil : Array(SQLText.arrayLiteral(incomplete).utf8)[...], to: next())
        rows.append((extra?.known?.array ?? [])[...], to: next())
        if self.plan.truncatesDelete {
            let tables = merge.state.tables.sorted { $0.lexicographicallyPrecedes($1) }
            rows.append(SQLText.arrayLiteral(tables), to: next())
        }
        if self.plan.isContiguous { rows.append(Self.seen(extra?.versions ?? [], batch), to: next()) }
    }

    /// The statements that apply truncates to the rows of their tables; none where truncates are only recorded.
    func truncateStatements(_ item: ItemReference, _ batch: LaneBatch) -> [Statement] {
        let event = batch[item]
        guard self.plan.truncatesDelete else { return [] }
        let scope: [Parameter] = [
            .text(String(decoding: batch.bytes(event.table, of: item), as: UTF8.self)),
            .bytes(Array(batch.bytes(event.orderKey, of: item))),
        ]
        var statements: [Statement] = [.prepared(self.name("dropColumnsBelowTruncate"), scope)]
        if let holds = self.holds {
            statements.append(.prepared(self.name("releaseDeliveries"), scope + [.text(self.plan.name), .text(holds)]))
        }
        // These scan the whole table, which the session's planner settings disable.
        return [.sql("set local enable_seqscan = on")] + statements + [.sql("set local enable_seqscan = off")]
    }

    /// Versions of events that `tags` dropped.
    func seenStatement(_ items: [ItemReference], _ batch: LaneBatch) -> Statement? {
        guard self.plan.isContiguous, !items.isEmpty else { return nil }
        let groups = EntityGroups(items, of: batch)
        var rows = ArrayParameters(self.keyOIDs + [OID.text], rows: groups.count)
        for group in groups.indices {
            let first = groups.first(of: group)
            let column = rows.append(fields: batch.bytes(batch[first].keyFields, of: first), from: 0)
            rows.append(Self.seen(groups[group].map(\.reference), batch), to: column)
            // The statement gives it a row.
            _ = self.initialLoad.isNew(groups.keyHashes[group])
        }
        return .prepared(self.name("seen"), rows.parameters)
    }

    /// The versions of events as a multirange. Each is a half-open range up to the next number, so that neighbours
    /// merge.
    static func seen(_ items: [ItemReference], _ batch: LaneBatch) -> String {
        let ranges = items.map { item in
            let text = String(decoding: batch.bytes(batch[item].sequence, of: item), as: UTF8.self)
            // `ChangeEncoder` refuses all other versions.
            guard let version = Int128(text) else { preconditionFailure("\(text) is no version") }
            return "[\(version),\(version + 1))"
        }
        return "{\(ranges.joined(separator: ","))}"
    }
}

/// The patch of one row that a merge results in.
private struct Patch {
    let entity: BatchFold.Entity
    let merge: ColumnMerge
    /// A letter for each value: `k` keeps the row's, `t` takes the batch's.
    private(set) var mask = ""
    /// Without declared columns: an object of the columns that partial images carry.
    private(set) var fragments: [UInt8] = []
    /// Columns to remove from the row: a complete image lacks them.
    private(set) var gone: [[UInt8]] = []
    private(set) var incomplete: [[UInt8]]

    init(_ entity: BatchFold.Entity, _ merge: ColumnMerge, _ plan: ProjectionPlan) {
        self.entity = entity
        self.merge = merge
        self.incomplete =
            plan.valueColumns.map { $0.map { Array($0.name.utf8) }.filter(merge.lacks) } ?? merge.namedOnly
    }

    mutating func append(
        columns: [ColumnPlan],
        of batch: LaneBatch,
        to rows: inout ArrayParameters,
        from first: Int
    ) {
        var fields: [ItemReference: [ArraySlice<UInt8>?]] = [:]
        for (index, column) in columns.enumerated() {
            switch self.merge.origin(of: Array(column.name.utf8)) {
            case .stored:
                self.mask.append("k")
                rows.appendNulls((first + index)..<(first + index + 1))
            case .unknown:
                self.mask.append("t")
                rows.appendNulls((first + index)..<(first + index + 1))
            case .item(let item):
                self.mask.append("t")
                if fields[item] == nil { fields[item] = Self.values(of: item, batch) }
                rows.append(orNull: fields[item]?[index], to: first + index)
            }
        }
    }

    private static func values(of item: ItemReference, _ batch: LaneBatch) -> [ArraySlice<UInt8>?] {
        var reader = LengthPrefixedReader(batch.bytes(batch[item].valueFields, of: item))
        var values: [ArraySlice<UInt8>?] = []
        while !reader.isAtEnd, let value = try? reader.next() as ArraySlice<UInt8>?? { values.append(value) }
        return values
    }

    mutating func appendWhole(of batch: LaneBatch, to rows: inout ArrayParameters, at column: Int) {
        self.mask.append("t")
        if case .item(let item) = self.merge.base {
            _ = rows.append(fields: batch.bytes(batch[item].valueFields, of: item), from: column)
        } else {
            rows.appendNulls(column..<(column + 1))
        }
        // The stored row may still hold columns that the base lacks and a delete removed.
        if self.merge.base == .stored {
            self.gone = self.merge.state.open.filter { self.merge.origin(of: $0) == .unknown }
        }
        self.fragments.append(UInt8(ascii: "{"))
        for (name, item) in self.merge.taken.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            guard let value = Self.member(name, of: item, batch) else {
                self.gone.append(name)
                continue
            }
            if self.fragments.count > 1 { self.fragments.append(UInt8(ascii: ",")) }
            JSONText.appendString(name.span, to: &self.fragments)
            self.fragments.append(UInt8(ascii: ":"))
            self.fragments.append(contentsOf: value)
        }
        self.fragments.append(UInt8(ascii: "}"))
    }

    /// A column of an image without declared columns, as JSON.
    private static func member(_ name: [UInt8], of item: ItemReference, _ batch: LaneBatch) -> ArraySlice<UInt8>? {
        guard batch[item].isPartial else {
            guard let row = Self.values(of: item, batch).first ?? nil else { return nil }
            // The first byte is the version of the binary form.
            return JSONText.member(name, ofCanonical: row.dropFirst())
        }
        let fields = batch.fields(batch[item].carried, of: item)
        let index = stride(from: 0, to: fields.count, by: 2).first { fields[$0] == name }
        return index.map { fields[$0 + 1][...] }
    }
}
