package import TidemarkCore

/// Maps a stored timeline to another definition: the stored column and form of each new column, and the parts of the
/// order keys that stay. What the timeline does not hold is an error here, before anything is built: the rebuild then
/// needs the files.
package struct TimelineMapping: Sendable {
    package let reading: StoredEventReading
    /// Whether a part of the sequence is read from the images, which deletes do not have.
    let needsImages: Bool
    /// Whether `$event_time` is a new part of the sequence.
    let needsEventTime: Bool
    let old: StoredDefinition

    /// - Parameter units: the units found for numbers of the stored events.
    init(_ definition: ProjectionDefinition, from old: StoredDefinition, units: ColumnUnits) throws {
        self.old = old
        let projection = definition.name
        guard old.timeline else { throw Self.lacking(projection, "it was kept without a timeline") }
        guard old.key.map(\.name) == definition.key else {
            throw Self.lacking(projection, "with another key, events that change the key mean something else")
        }
        guard definition.onTruncate == .record else {
            throw Self.lacking(
                projection,
                "it does not say which source table an event came from (on_truncate: delete)"
            )
        }
        let isWhole = old.columns == nil
        let hasJSON = definition.columns?.contains { $0.type == .jsonb } ?? false
        guard !isWhole || !hasJSON else {
            throw Self.lacking(projection, "it does not say how JSON was written at the source")
        }
        guard isWhole || definition.columns != nil else {
            throw Self.lacking(projection, "it holds the declared columns only")
        }
        var reading = definition.nextVersion
        // The timeline holds only events that `tags` accepted.
        reading.tags = nil
        if !isWhole {
            reading.columns = try definition.columns?.map {
                try Self.refuseOtherReading($0, from: old, units: units, of: projection)
                return try Self.reading($0, from: old, of: projection)
            }
        }
        let stateName: String?
        (reading.state, stateName) = try Self.state(of: definition, from: old, reading: reading)
        let plan = ProjectionPlan(definition)
        let keptParts = Self.keptParts(of: plan, from: old, units: units)
        try Self.refuseOtherState(of: plan, from: old, units: units, isAdded: stateName != nil)
        let added = definition.sequence.dropFirst(keptParts)
        for part in added { try Self.check(part, of: definition, from: old, reading: reading) }
        self.needsImages = added.contains { part in
            if case .column(let name, _) = part { return !definition.key.contains(name) }
            return false
        }
        self.needsEventTime = added.contains(.eventTime)
        let kept = old.rules == ReadingRules.version ? old.columns ?? [] : []
        self.reading = StoredEventReading(
            definition: reading,
            keptParts: keptParts,
            keepsDigests: Self.keepsDigests(of: plan, from: old),
            jsonColumns: kept.filter { $0.type == "jsonb" }.map(\.name),
            stateName: stateName,
            isWhole: isWhole
        )
    }

    static func lacking(_ projection: String, _ why: String) -> StoreError {
        StoreError(
            .configuration,
            "projection \(projection) cannot be rebuilt from its timeline: \(why); name the files: "
                + "tidemark rebuild \(projection) FILE…"
        )
    }

    // MARK: Columns

    /// The column's name in the stored images; its own name if they do not hold it.
    private static func reading(
        _ column: ProjectionDefinition.Column,
        from old: StoredDefinition,
        of projection: String
    ) throws -> ProjectionDefinition.Column {
        let key = old.key.first { $0.name == column.name }
        guard let stored = key ?? Self.stored(column, in: old) else {
            return .init(name: column.name, type: column.type)
        }
        let before = ColumnType(stored.type) ?? .text
        if before.widens(to: column.type) {
            let encoding = column.type == .bytea ? ValueEncoding.hex : .none
            return .init(name: column.name, from: stored.name, type: column.type, encoding: encoding)
        }
        // A text is stored as the source sent it.
        guard before.baseSQL == "text", column.type != .jsonb else {
            throw Self.lacking(
                projection,
                "column \"\(column.name)\" was kept as \(stored.type), and not as the source sent it, so nothing makes "
                    + "it \(column.type.sql)"
            )
        }
        return .init(
            name: column.name,
            from: stored.name,
            type: column.type,
            encoding: column.encoding,
            isUnsigned: column.isUnsigned
        )
    }

    /// The stored readings of columns; before the third version of the rules, only of those in the digest.
    private static func readings(of old: StoredDefinition) -> [StoredReadings.Column] {
        old.readings.map { $0.columns } ?? old.digest ?? []
    }

    /// Refuses a column whose stored values differ from what the messages would give today. One that is kept as text is
    /// as the source sent it, but for defaults of absent values.
    private static func refuseOtherReading(
        _ column: ProjectionDefinition.Column,
        from old: StoredDefinition,
        units: ColumnUnits,
        of projection: String
    ) throws {
        let key = old.key.first { $0.name == column.name }
        guard let stored = key ?? Self.stored(column, in: old),
            let before = Self.readings(of: old).first(where: { $0.name == stored.name })
        else { return }
        let isText = ColumnType(stored.type)?.baseSQL == "text"
        let changes = before.differences(from: .init(column), unit: units[stored.name]).filter { change in
            !change.hasPrefix("from ") && (!isText || change.hasPrefix("default "))
        }
        guard changes.isEmpty else {
            throw Self.lacking(
                projection,
                "column \"\(column.name)\" was read otherwise, \(changes.joined(separator: ", ")), and it does not hold "
                    + "what the messages said"
            )
        }
    }

    /// Refuses a stored state whose reading has changed.
    /// - Parameter isAdded: the state is taken from the timeline's column, and not from the images.
    private static func refuseOtherState(
        of plan: ProjectionPlan,
        from old: StoredDefinition,
        units: ColumnUnits,
        isAdded: Bool
    ) throws {
        guard isAdded, let before = old.readings?.state, let now = plan.stateColumn.map(StoredReadings.Column.init)
        else { return }
        let changes = before.differences(from: now, unit: units[now.name])
        guard changes.isEmpty else {
            throw Self.lacking(plan.name, "the state was read otherwise, \(changes.joined(separator: ", "))")
        }
    }

    /// The stored column of the same name, unless it came from another column of the source; else the one that came
    /// from the same column.
    private static func stored(
        _ column: ProjectionDefinition.Column,
        in old: StoredDefinition
    ) -> StoredDefinition.Part? {
        let kept = old.columns ?? []
        func source(of name: String) -> String? { old.digest?.first { $0.name == name }?.from }
        if let same = kept.first(where: { $0.name == column.name }), source(of: same.name) ?? column.from == column.from
        {
            return same
        }
        return kept.first { source(of: $0.name) == column.from }
    }

    // MARK: State and sequence

    /// - Returns: the rule of the state, and the name under which to add it to the images.
    private static func state(
        of definition: ProjectionDefinition,
        from old: StoredDefinition,
        reading: ProjectionDefinition
    ) throws -> (ProjectionDefinition.StateRule?, String?) {
        guard let state = definition.state, old.columns != nil else { return (definition.state, nil) }
        if definition.columns?.contains(where: { $0.name == state.column }) ?? false { return (state, nil) }
        if old.columns?.contains(where: { $0.name == state.column }) ?? false { return (state, nil) }
        guard old.state == state.column, old.stateNames == state.map || old.stateNames.isEmpty else {
            throw Self.lacking(definition.name, "it does not hold column \"\(state.column)\" as the source sent it")
        }
        // The timeline stores states after `map`.
        let map = old.stateNames.isEmpty ? state.map : [:]
        return (.init(column: state.column, map: map), state.column)
    }

    /// The whole stored sequence, if the new one equals or begins with it, and the encoding of its bytes is unchanged.
    private static func keptParts(
        of plan: ProjectionPlan,
        from old: StoredDefinition,
        units: ColumnUnits
    ) -> Int {
        let new = StoredDefinition(plan)
        let keepsBytes = ReadingRules.keepsSequence(from: old.rules ?? 1, holdsRelaidPart: old.holdsRelaidPart)
        let isReadAlike = (old.readings?.sequence ?? []).allSatisfy { before in
            new.readings?.sequence.first { $0.name == before.name }
                .map { before.differences(from: $0, unit: units[before.name]).isEmpty } ?? true
        }
        return keepsBytes && isReadAlike && new.sequence.starts(with: old.sequence) ? old.sequence.count : 0
    }

    /// Whether digests stay: they cover the columns of the digest, or the whole row, and the state if it is beside
    /// them.
    private static func keepsDigests(of plan: ProjectionPlan, from old: StoredDefinition) -> Bool {
        let new = StoredDefinition(plan)
        func inNameOrder(_ columns: [StoredDefinition.DigestColumn]?) -> [StoredDefinition.DigestColumn]? {
            columns?.sorted { $0.name < $1.name }
        }
        guard new.rules == old.rules, (new.columns == nil) == (old.columns == nil),
            inNameOrder(new.digest) == inNameOrder(old.digest)
        else { return false }
        return new.state == old.state && new.stateNames == old.stateNames
    }

    private static func check(
        _ part: ProjectionDefinition.SequencePart,
        of definition: ProjectionDefinition,
        from old: StoredDefinition,
        reading: ProjectionDefinition
    ) throws {
        switch part {
        case .eventTime: return
        case .position, .received:
            throw Self.lacking(definition.name, "it does not hold \(part.name) in a form that can be compared")
        case .column(let name, let type):
            guard let kept = old.columns else { return }
            let source = reading.columns?.first { $0.name == name }?.from ?? name
            guard let stored = (kept + old.key).first(where: { $0.name == source }) else {
                throw Self.lacking(definition.name, "it does not hold column \"\(name)\", which `sequence` names")
            }
            let wanted = type ?? reading.columns?.first { $0.name == name }?.type
            let kind = (wanted ?? .numeric(precision: nil, scale: 0)).sequenceKind
            let before = ColumnType(stored.type) ?? .text
            guard before.sequenceKind == kind || before.baseSQL == "text" else {
                throw Self.lacking(
                    definition.name,
                    "column \"\(name)\", which `sequence` names, was kept as \(stored.type)"
                )
            }
        }
    }
}
