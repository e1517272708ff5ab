import Foundation
import TidemarkCore

/// The stored settings that decide what a projection's rows mean. A change of any needs a rebuild, so that one table
/// never mixes two meanings.
struct StoredDefinition: Codable, Equatable {
    struct Part: Codable, Equatable {
        var name: String
        var type: String
    }

    struct State: Codable, Equatable {
        var place: Int
        var milestones: [String]
    }

    /// A column of the digest.
    struct DigestColumn: Codable, Equatable {
        var name: String
        var from: String
        var type: String
        var encoding: String
        var isUnsigned: Bool
        var hasDefault: Bool
        var defaultValue: String?

        init(_ column: ProjectionDefinition.Column) {
            self.name = column.name
            self.from = column.from
            self.type = column.type.sql
            self.encoding = column.encoding.rawValue
            self.isUnsigned = column.isUnsigned
            self.hasDefault = column.absentValue != nil
            self.defaultValue = column.absentValue ?? nil
        }

        var column: ProjectionDefinition.Column {
            ProjectionDefinition.Column(
                name: self.name,
                from: self.from,
                type: ColumnType(self.type) ?? .text,
                encoding: ValueEncoding(rawValue: self.encoding) ?? .none,
                isUnsigned: self.isUnsigned,
                absentValue: self.hasDefault ? .some(self.defaultValue) : nil
            )
        }
    }

    /// ``ReadingRules/version`` of the stored rows.
    var rules: Int?
    /// The member in which versions before the third stored it; `nil` once read.
    private var layout: Int?
    /// How numbers in order keys are laid out; absent for ``NumberLayout/wide``, which was the only one.
    var numbers: String?
    var table: String
    var key: [Part]
    var sequence: [Part]
    var state: String?
    var stateNames: [String: String]
    /// `nil` for the form without declared columns.
    var columns: [Part]?
    /// The columns in the digest: those with which the projection was last built.
    var digest: [DigestColumn]?
    /// Columns that were configured after events had been seen, in name order, until the projection is rebuilt. Earlier
    /// events do not carry them.
    var late: [String]?
    /// How values are read; `nil` of rules before the third, which stored less of it.
    var readings: StoredReadings?
    var timeline: Bool
    var contiguous: String?
    var onTruncate: String?
    /// Truncates delete the rows of one database's table, and are stored with the database's name; absent for `false`,
    /// and where truncates do not delete. Entities name their tables alike, so a change makes truncates miss them.
    var distinguishesDatabases: Bool?
    /// The rank of each known state in the lifecycle, and the milestones it implies.
    var lifecycle: [String: State]

    /// A plan's, with what a stored one has that no configuration says.
    init(_ plan: ProjectionPlan, keeping stored: StoredDefinition) {
        self.init(plan)
        (self.digest, self.late, self.numbers) = (stored.digest, stored.late, stored.numbers)
        self.readings?.keepRetired(of: stored.readings)
    }

    init(_ plan: ProjectionPlan) {
        let definition = plan.definition
        self.rules = ReadingRules.version
        self.numbers = plan.numbers == .wide ? nil : plan.numbers.rawValue
        self.table = "\(definition.schema).\(definition.table)"
        self.key = plan.keyColumns.map { Part(name: $0.name, type: $0.type.sql) }
        self.sequence = zip(definition.sequence, plan.sequence).map { part, planned in
            switch planned {
            case .column(_, let kind): Part(name: part.name, type: "\(kind)")
            case .position, .eventTime, .received: Part(name: part.name, type: "")
            }
        }
        self.state = definition.state?.column
        self.stateNames = definition.state?.map ?? [:]
        self.columns = definition.columns.map { columns in
            columns.map { Part(name: $0.name, type: $0.type.sql) }.sorted { $0.name < $1.name }
        }
        self.digest = definition.columns.map { $0.map(DigestColumn.init) }
        self.readings = StoredReadings(plan)
        self.timeline = definition.timeline
        self.contiguous = definition.contiguous.rawValue
        self.onTruncate = definition.onTruncate.rawValue
        self.distinguishesDatabases = plan.truncatesDelete && plan.distinguishesDatabases ? true : nil
        var states: [String: State] = [:]
        for state in (definition.lifecycle?.states ?? []).union(plan.milestones.map(\.state)) {
            let info = plan.describe(state: Array(state.utf8))
            let implied = plan.milestones.enumerated().filter { info.milestones & (1 << UInt64($0.offset)) != 0 }
            states[state] = State(place: Int(info.rank), milestones: implied.map(\.element.name).sorted())
        }
        self.lifecycle = states
    }

    /// Decodes a definition that this or an earlier version of Tidemark has stored.
    init(json: String) throws {
        self = try JSONDecoder().decode(StoredDefinition.self, from: Data(json.utf8))
        self.rules = self.rules ?? self.layout ?? 1
        self.layout = nil
    }

    var numberLayout: NumberLayout { self.numbers.flatMap(NumberLayout.init) ?? .wide }

    /// Whether the encoding of a part of the sequence differs from that of earlier reading rules: `$position`,
    /// `$received`, or a column that is a time.
    var holdsRelaidPart: Bool {
        let coordinates = [ProjectionDefinition.SequencePart.position, .received].map(\.name)
        return self.sequence.contains { coordinates.contains($0.name) || $0.type == "\(SequenceValueKind.timestamp)" }
    }

    /// The columns beside the key that another definition has and this one lacks.
    func columnsAdded(by new: StoredDefinition) -> [String] {
        guard let columns = self.columns else { return [] }
        let known = Set(columns.map(\.name) + new.key.map(\.name))
        return (new.columns ?? []).map(\.name).filter { !known.contains($0) }
    }

    /// The value of ``late`` after a change to the columns of another definition.
    func late(with new: StoredDefinition) -> [String]? {
        let late = Set((self.late ?? []) + self.columnsAdded(by: new))
        return late.isEmpty ? nil : late.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The changes that give the rows another meaning, by the configuration's keys.
    /// - Parameter units: the units found for numbers.
    func changes(to new: StoredDefinition, units: ColumnUnits) -> [String] {
        var changes: [String] = []
        func note(_ what: String, _ old: String, _ new: String) {
            if old != new { changes.append("\(what) (was \(old), is \(new))") }
        }
        if let stored = self.rules, let current = new.rules, stored != current {
            changes.append("the reading rules (version \(stored) in the database, \(current) in this Tidemark)")
        }
        note("table", self.table, new.table)
        note("key", Self.shown(self.key), Self.shown(new.key))
        note("sequence", Self.shown(self.sequence), Self.shown(new.sequence))
        note("state", self.state ?? "none", new.state ?? "none")
        note("state map", Self.shown(self.stateNames), Self.shown(new.stateNames))
        note("timeline", "\(self.timeline)", "\(new.timeline)")
        // The start of counting concerns only the view; whether versions are stored does not.
        let no = ProjectionDefinition.Contiguous.no.rawValue
        note("contiguous", "\((self.contiguous ?? no) != no)", "\((new.contiguous ?? no) != no)")
        note("on_truncate", self.onTruncate ?? "record", new.onTruncate ?? "record")
        // Another key (with or without $database) and another on_truncate are noted above.
        if self.onTruncate == new.onTruncate, self.key == new.key {
            note("from", Self.shown(self.distinguishesDatabases), Self.shown(new.distinguishesDatabases))
        }
        note("columns", self.columns == nil ? "none" : "declared", new.columns == nil ? "none" : "declared")
        if let before = self.readings, let now = new.readings { changes += before.changes(to: now, units: units) }
        // A state that is new, or no longer configured, has no stored consequence.
        for (state, known) in self.lifecycle where new.lifecycle[state].map({ $0 != known }) ?? false {
            changes.append("lifecycle or milestones (what state \"\(state)\" means)")
            break
        }
        return changes
    }

    private static func shown(_ distinguishesDatabases: Bool?) -> String {
        distinguishesDatabases ?? false ? "with the database" : "without the database"
    }

    private static func shown(_ parts: [Part]) -> String {
        parts.map { $0.type.isEmpty ? $0.name : "\($0.name) \($0.type)" }.joined(separator: " and ")
    }

    private static func shown(_ map: [String: String]) -> String {
        map.isEmpty ? "none" : map.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ")
    }
}
