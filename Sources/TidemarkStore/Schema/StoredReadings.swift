import TidemarkCore

/// How a projection's values are read from messages: the source column and the encoding of each column.
///
/// It is stored with the projection, because a change of any of it gives the same message another value, and one table
/// would mix two readings.
struct StoredReadings: Codable, Equatable {
    typealias Column = StoredDefinition.DigestColumn

    /// Configured and formerly configured columns.
    var columns: [Column]
    /// Columns by role, also where `columns` does not declare them, as below.
    var key: [Column]
    var sequence: [Column]
    var state: Column?
    var tag: Column?

    init(_ plan: ProjectionPlan) {
        self.columns = (plan.definition.columns ?? []).map(Column.init)
        self.key = plan.keyColumns.map(Column.init)
        self.sequence = plan.sequence.compactMap { part in
            if case .column(let column, _) = part { Column(column) } else { nil }
        }
        self.state = plan.stateColumn.map(Column.init)
        self.tag = plan.tagColumn.map(Column.init)
    }

    /// Adds formerly configured columns: one that is configured again must be read as before.
    mutating func keepRetired(of old: StoredReadings?) {
        let names = Set(self.columns.map(\.name))
        self.columns += (old?.columns ?? []).filter { !names.contains($0.name) }
    }

    /// The changed readings, by the configuration's keys. A new column is no change.
    /// - Parameter units: the units found for numbers; configuring the same unit is no change.
    func changes(to new: StoredReadings, units: ColumnUnits) -> [String] {
        var changes: [String] = []
        func compare(_ old: [Column], _ new: [Column], _ what: String) {
            for column in new {
                guard let before = old.first(where: { $0.name == column.name }) else { continue }
                let found = before.differences(from: column, unit: units[column.name])
                // A column in two roles is reported once.
                changes += found.map { "\(what) \"\(column.name)\": \($0)" }
                    .filter { change in !changes.contains { $0.hasSuffix(change.drop { $0 != "\"" }) } }
            }
        }
        compare(self.columns, new.columns, "column")
        compare(self.key, new.key, "key column")
        compare(self.sequence, new.sequence, "sequence column")
        compare([self.state].compactMap { $0 }, [new.state].compactMap { $0 }, "state column")
        compare([self.tag].compactMap { $0 }, [new.tag].compactMap { $0 }, "tag column")
        return changes
    }
}

extension StoredDefinition.DigestColumn {
    init(_ plan: ColumnPlan) {
        self.init(
            ProjectionDefinition.Column(
                name: plan.name,
                from: String(decoding: plan.source, as: UTF8.self),
                type: plan.type,
                encoding: plan.encoding,
                isUnsigned: plan.isUnsigned,
                absentValue: plan.absentValue
            )
        )
    }

    private var shownDefault: String {
        self.hasDefault ? self.defaultValue.map { "\"\($0)\"" } ?? "null" : "none"
    }

    /// Whether an encoding gives values of this column the meaning that another one gives them.
    private func isSame(_ old: String, _ new: String) -> Bool {
        let type = ColumnType(self.type) ?? .text
        let none = ValueEncoding.none.rawValue
        // Numbers without a unit were never read; bytes without an encoding are base64.
        if !type.timeUnits.isEmpty { return old == none || old == new }
        let form = type == .bytea ? ValueEncoding.base64.rawValue : none
        return (old == none ? form : old) == (new == none ? form : new)
    }

    /// The differences between the readings of this column and of `new`.
    /// - Parameter unit: the unit found for its numbers.
    func differences(from new: StoredDefinition.DigestColumn, unit: ValueEncoding?) -> [String] {
        var found: [String] = []
        func note(_ what: String, _ old: String, _ new: String) {
            if old != new { found.append("\(what) (was \(old), is \(new))") }
        }
        note("from", self.from, new.from)
        let none = ValueEncoding.none.rawValue
        func effective(_ encoding: String) -> String { encoding == none ? unit?.rawValue ?? none : encoding }
        let (old, now) = (effective(self.encoding), effective(new.encoding))
        if !new.isSame(old, now) { note("encoding", old, now) }
        note("unsigned", "\(self.isUnsigned)", "\(new.isUnsigned)")
        note("default", self.shownDefault, new.shownDefault)
        return found
    }
}

/// The settings of a source that decide what its messages' values mean.
///
/// `epoch`, `gtid_order`, `snapshots`, `format` and `replica_identity` are not among them: they decide the order of
/// later messages, or which can be read, and may change while rows stay.
struct SourceReading: Codable, Equatable {
    var timezone: String
    var absent: String
    var rowImage: String

    enum CodingKeys: String, CodingKey {
        case timezone, absent
        case rowImage = "row_image"
    }

    init(_ settings: SourceSettings) {
        self.timezone = settings.zoneName
        self.absent = settings.absent.rawValue
        self.rowImage = settings.sendsMinimalImages ? "minimal" : "full"
    }

    /// The differences between these settings and `new`.
    /// - Parameter keepsWhole: rows are kept without declared columns, so that only `row_image` tells what an image
    ///   lacks.
    func differences(from new: SourceReading, keepsWhole: Bool) -> [String] {
        var found: [String] = []
        func note(_ what: String, _ old: String, _ new: String) {
            if old != new { found.append("\(what) (was \(old), is \(new))") }
        }
        note("timezone", self.timezone, new.timezone)
        note("absent", self.absent, new.absent)
        if keepsWhole { note("row_image", self.rowImage, new.rowImage) }
        return found
    }
}
