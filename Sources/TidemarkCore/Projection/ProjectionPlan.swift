/// A projection's definition, worked out once so that events only look things up. A class, since everybody who has to do
/// with an event holds it: as a value, passing it on would copy it.
package final class ProjectionPlan: Sendable {
    package enum SequencePlan: Sendable {
        case column(ColumnPlan, SequenceValueKind)
        case position, eventTime, received
    }

    package struct StateInfo: Sendable {
        package var rank: UInt16
        package var milestones: UInt64
    }

    /// A kept column and the role it plays in the read model.
    package final class KeptColumn: Sendable {
        package let column: ColumnPlan
        /// The column's index in the key, when it is part of it: then it stands among the key columns, not the values.
        package let keyPart: Int?
        /// `false` for a column that is configured no more: it goes on taking part in the digest, and in nothing else.
        package let isShown: Bool
        /// `false` for a column that was added after the projection was built.
        package let isInDigest: Bool

        init(_ column: ColumnPlan, keyPart: Int?, isShown: Bool, isInDigest: Bool) {
            self.column = column
            self.keyPart = keyPart
            self.isShown = isShown
            self.isInDigest = isInDigest
        }
    }

    package let definition: ProjectionDefinition
    private let tables: [TablePattern]
    private let digest: [ProjectionDefinition.Column]?
    private let late: [String]
    /// How numbers in its order keys are laid out.
    package let numbers: NumberLayout
    private let usesQuickPath: Bool
    package let keyColumns: [ColumnPlan]
    /// Columns of the read model beside the key, in name order; `nil` for the form that keeps the row as `jsonb`.
    package let valueColumns: [ColumnPlan]?
    /// All configured columns in name order: what the digest holds. `nil` for every column there is.
    package let keptColumns: [KeptColumn]?
    package let sequence: [SequencePlan]
    package let stateColumn: ColumnPlan?
    /// The state is read from a column that is not among the configured ones.
    package let keepsStateBesideColumns: Bool
    package let tagColumn: ColumnPlan?
    /// Names of columns that were configured after events had been seen: what was seen before does not carry them.
    package let lateColumns: Set<[UInt8]>
    /// Events with other tags are dropped; `nil` drops none. Few, so they are compared one by one, each in the canonical
    /// text of the tag column's type.
    let acceptedTags: [[UInt8]]?
    /// Tables of one name in several databases are several tables: the key holds `$database`, or `from` names one.
    package let distinguishesDatabases: Bool
    /// In the order in which several that are reached at once follow each other: a dominator first.
    package let milestones: [Milestone]
    /// Slots of ``ColumnPlan`` are below it.
    let slotCount: Int
    private let states: [[UInt8]: StateInfo]
    private let stateNames: [[UInt8]: [UInt8]]

    package var name: String { self.definition.name }
    package var keepsTimeline: Bool { self.definition.timeline }
    /// Whether a snapshot row can give way to a streamed event with a lower LSN.
    package var canIgnoreSnapshots: Bool { self.keepsTimeline && self.definition.sequence.first == .position }
    package var isContiguous: Bool { self.definition.contiguous != .no }
    /// A truncate of a source table deletes its entities.
    package var truncatesDelete: Bool { self.definition.onTruncate == .delete }

    /// - Parameters:
    ///   - digest: the columns that take part in the digest since the projection was built, when some have been added or
    ///     taken away since; `nil` for those that are configured.
    ///   - late: the columns that were configured after events had been seen.
    ///   - numbers: the layout with which the projection was created.
    ///   - usesQuickPath: `false` for tests that hold the quick path against the general one.
    package init(
        _ definition: ProjectionDefinition,
        digest: [ProjectionDefinition.Column]? = nil,
        late: [String] = [],
        numbers: NumberLayout = .current,
        usesQuickPath: Bool = true
    ) {
        self.definition = definition
        self.tables = definition.from.map { text in
            guard let pattern = try? TablePattern(text) else {
                preconditionFailure("`from` is checked before there is a plan: \(text)")
            }
            return pattern
        }
        self.digest = digest
        self.late = late
        self.numbers = numbers
        self.usesQuickPath = usesQuickPath
        let declared = Dictionary((definition.columns ?? []).map { ($0.name, $0) }) { first, _ in first }
        var slots = 0
        func plan(_ column: ProjectionDefinition.Column, isKey: Bool = false) -> ColumnPlan {
            defer { slots += 1 }
            return ColumnPlan(column, isKey: isKey, slot: slots, usesQuickPath: usesQuickPath)
        }
        func plan(_ name: String, else type: ColumnType) -> ColumnPlan {
            plan(declared[name] ?? .init(name: name, type: type))
        }
        self.lateColumns = Set(late.filter { declared[$0] != nil }.map { Array($0.utf8) })
        self.keyColumns = definition.key.map { name in
            plan(declared[name] ?? .init(name: name, from: definition.keyHeaders[name], type: .text), isKey: true)
        }
        self.distinguishesDatabases =
            self.keyColumns.contains(where: \.isDatabase) || self.tables.contains { $0.partCount == TableName.partsMax }
        let keys = Set(definition.key)
        let ordered = definition.columns.map(Self.inNameOrder)
        self.valueColumns = ordered?.filter { !keys.contains($0.name) }.map { plan($0) }
        let shown = Set((ordered ?? []).map(\.name))
        let retired = (digest ?? []).filter { !shown.contains($0.name) }
        let digested = Set((digest ?? ordered ?? []).map(\.name))
        let all = ordered.map { Self.inNameOrder($0 + retired) }
        self.keptColumns = all?.map { column in
            KeptColumn(
                plan(column),
                keyPart: definition.key.firstIndex(of: column.name),
                isShown: shown.contains(column.name),
                isInDigest: digested.contains(column.name)
            )
        }
        self.sequence = definition.sequence.map { part in
            switch part {
            case .column(let name, let type):
                let column = plan(definition.sequenceColumn(name, type))
                return .column(column, column.type.sequenceKind ?? .number)
            case .position: return .position
            case .eventTime: return .eventTime
            case .received: return .received
            }
        }
        self.stateColumn = definition.state.map { plan($0.column, else: .text) }
        self.keepsStateBesideColumns =
            definition.columns != nil && (definition.state.map { declared[$0.column] == nil } ?? false)
        self.tagColumn = definition.tags?.column.map { plan($0, else: .text) }
        self.acceptedTags = Self.acceptedTags(definition.tags, self.tagColumn)
        self.stateNames = Dictionary(
            uniqueKeysWithValues: (definition.state?.map ?? [:]).map { (Array($0.key.utf8), Array($0.value.utf8)) }
        )
        self.slotCount = slots
        self.milestones = Self.ordered(definition.milestones, by: definition.lifecycle)
        self.states = Self.describe(self.milestones, definition.lifecycle)
    }

    /// A tag that its column's type does not hold is kept as it is written: no value equals it.
    private static func acceptedTags(_ rule: ProjectionDefinition.TagRule?, _ column: ColumnPlan?) -> [[UInt8]]? {
        rule?.accepted?.sorted().map { tag in
            let bytes = Array(tag.utf8)
            guard let column else { return bytes }
            var encoder = ValueEncoder()
            let field = Field(name: .empty, value: ByteRange(start: 0, end: bytes.count), kind: .string)
            guard (try? encoder.encode(field, of: bytes.span, as: column, in: ValueEncoder.Context())) != nil else {
                return bytes
            }
            return encoder.text
        }
    }

    private static func inNameOrder(_ columns: [ProjectionDefinition.Column]) -> [ProjectionDefinition.Column] {
        columns.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
    }

    /// Dominators come first: a milestone that more milestones dominate is further back.
    private static func ordered(_ milestones: [Milestone], by lifecycle: Lifecycle?) -> [Milestone] {
        func rank(_ milestone: Milestone) -> (Int, UInt16) {
            let dominators = milestones.count { lifecycle?.implies(milestone.state, $0.state) ?? false }
            return (dominators, lifecycle?.rank(of: milestone.state) ?? 0)
        }
        return milestones.enumerated().sorted { left, right in
            let (first, second) = (rank(left.element), rank(right.element))
            return first == second ? left.offset < right.offset : first < second
        }.map(\.element)
    }

    private static func describe(_ milestones: [Milestone], _ lifecycle: Lifecycle?) -> [[UInt8]: StateInfo] {
        var states: [[UInt8]: StateInfo] = [:]
        for state in (lifecycle?.states ?? []).union(milestones.map(\.state)) {
            var mask: UInt64 = 0
            for (bit, milestone) in milestones.enumerated()
            where lifecycle?.implies(state, milestone.state) ?? (state == milestone.state) {
                mask |= 1 << UInt64(bit)
            }
            states[Array(state.utf8)] = StateInfo(rank: lifecycle?.rank(of: state) ?? 0, milestones: mask)
        }
        return states
    }

    /// The plan with the units that its columns' numbers were found to count.
    package func with(_ units: ColumnUnits) -> ProjectionPlan {
        guard !units.isEmpty else { return self }
        return ProjectionPlan(
            self.definition.declaring(units),
            digest: self.digest?.declaring(units),
            late: self.late,
            numbers: self.numbers,
            usesQuickPath: self.usesQuickPath
        )
    }

    /// Columns of dates and times whose unit the configuration does not say, each once.
    package var columnsOfUnknownUnit: [ColumnPlan] {
        var found: [ColumnPlan] = []
        for column in self.allColumns where !column.type.timeUnits.isEmpty && column.encoding == .none {
            if !found.contains(where: { $0.name == column.name }) { found.append(column) }
        }
        return found
    }

    /// Every column that is looked for in messages; some stand there in two roles.
    package var allColumns: [ColumnPlan] {
        let sequence = self.sequence.compactMap { part in
            if case .column(let column, _) = part { column } else { nil as ColumnPlan? }
        }
        return self.keyColumns + (self.keptColumns?.map(\.column) ?? []) + sequence
    }

    /// What the name of a header begins with where it stands for a column.
    package static let headerPrefix = Array("$header.".utf8)

    /// The headers of messages that are looked for, each as `$header.NAME`.
    package var headerNames: [[UInt8]] {
        let columns = self.allColumns + [self.stateColumn, self.tagColumn].compactMap { $0 }
        let names = Set(columns.map(\.source).filter { $0.starts(with: Self.headerPrefix) })
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    package func describe(state: [UInt8]) -> StateInfo {
        self.states[state] ?? StateInfo(rank: 0, milestones: 0)
    }

    /// The state's name behind what the column holds.
    package func stateName(_ value: [UInt8]) -> [UInt8] {
        self.stateNames.isEmpty ? value : self.stateNames[value] ?? value
    }

    /// Whether the projection takes the event's table.
    package func takes(_ event: ChangeEvent, of message: DecodedMessage) -> Bool {
        self.takes(table: String(decoding: message.fullTable(of: event), as: UTF8.self))
    }

    /// Whether the projection takes the table.
    /// - Parameter table: the text of a ``TableName``.
    package func takes(table: String) -> Bool {
        guard let name = TableName(table) else { return false }
        return self.tables.contains { $0.matches(name) }
    }
}
