/// A projection as the user configures it.
public struct ProjectionDefinition: Sendable, Hashable {
    public enum SequencePart: Sendable, Hashable {
        /// A column of the row image; its type when it is declared here and not under `columns`.
        case column(String, type: ColumnType?)
        case position
        case eventTime
        case received

        public var name: String {
            switch self {
            case .column(let name, _): name
            case .position: "$position"
            case .eventTime: "$event_time"
            case .received: "$received"
            }
        }
    }

    public enum Contiguous: String, Sendable, Hashable {
        case no, fromOne, fromFirst
    }

    public enum TruncateRule: String, Sendable, Hashable {
        case record, delete
    }

    /// Where the state is read, and what its values are called.
    public struct StateRule: Sendable, Hashable {
        public var column: String
        public var map: [String: String]

        public init(column: String, map: [String: String] = [:]) {
            self.column = column
            self.map = map
        }
    }

    /// Takes only events whose tag is among `accepted`; `nil` accepts all.
    public struct TagRule: Sendable, Hashable {
        /// The column that holds the tag; without one, the message's own.
        public var column: String?
        public var accepted: Set<String>?

        public init(column: String?, accepted: Set<String>?) {
            self.column = column
            self.accepted = accepted
        }
    }

    public struct Column: Sendable, Hashable {
        public var name: String
        /// The column's name at the source.
        public var from: String
        public var type: ColumnType
        public var encoding: ValueEncoding
        public var isUnsigned: Bool
        /// Stands in for an absent column. `.some(nil)` is null.
        public var absentValue: String??

        public init(
            name: String,
            from: String? = nil,
            type: ColumnType,
            encoding: ValueEncoding = .none,
            isUnsigned: Bool = false,
            absentValue: String?? = nil
        ) {
            self.name = name
            self.from = from ?? name
            self.type = type
            self.encoding = encoding
            self.isUnsigned = isUnsigned
            self.absentValue = absentValue
        }
    }

    /// Which of a projection's milestones go to a notifier, and how much of the row goes with them.
    public struct NotificationRule: Sendable, Hashable {
        /// By column, the values of which it has to have one: JSON scalars, as the row has them.
        public var when: [String: [String]]
        /// The key alone, not the row.
        public var isThin: Bool

        public init(when: [String: [String]] = [:], isThin: Bool = false) {
            self.when = when
            self.isThin = isThin
        }
    }

    /// What `$database` in a key is called in the relations, where names with `_` in front are Tidemark's own.
    public static let databaseColumn = "_database"

    public var name: String
    public var from: [String]
    public var key: [String]
    public var sequence: [SequencePart]
    /// Which kind of position `$position` compares, where it is declared.
    public var positionKind: Position.Kind?
    /// How messages write columns of the sequence that are not among `columns`, by their names.
    public var sequenceEncodings: [String: ValueEncoding] = [:]
    /// The key columns that are headers of a broker's messages, by their names, each as `$header.NAME`.
    public var keyHeaders: [String: String] = [:]
    public var contiguous: Contiguous = .no
    public var state: StateRule?
    public var schema: String
    public var table: String
    public var onTruncate: TruncateRule = .record
    public var tags: TagRule?
    public var timeline = true
    /// `nil` for the form without declared columns: key, state and the row as `jsonb`.
    public var columns: [Column]?
    public var lifecycle: Lifecycle?
    public var milestones: [Milestone] = []
    /// What goes to a notifier, by its name; one that is missing gets everything.
    public var notifications: [String: NotificationRule] = [:]

    public init(
        name: String,
        from: [String],
        key: [String],
        sequence: [SequencePart],
        schema: String = "public",
        table: String? = nil
    ) {
        self.name = name
        self.from = from
        self.key = key
        self.sequence = sequence
        self.schema = schema
        self.table = table ?? name
    }
}

extension ProjectionDefinition {
    /// A column of the sequence: as `columns` declares it, unless the part has a type of its own.
    func sequenceColumn(_ name: String, _ type: ColumnType?) -> Column {
        let declared = self.columns?.first { $0.name == name }
        if let declared, type ?? declared.type == declared.type { return declared }
        return Column(
            name: name,
            from: declared?.from,
            type: type ?? .numeric(precision: nil, scale: 0),
            encoding: self.sequenceEncodings[name] ?? .none
        )
    }
}

/// One column, ready to be looked up and encoded. A class, so that handing it on copies nothing.
package final class ColumnPlan: Sendable {
    package let name: String
    /// UTF-8 of the column's name at the source.
    package let source: [UInt8]
    package let type: ColumnType
    package let encoding: ValueEncoding
    package let isUnsigned: Bool
    package let absentValue: String??
    /// Part of a key. Its numbers have one form, as they have one place in the index: 1.0 and 1.00 are 1.
    package let isKey: Bool
    /// The part of a key that the database is, and no column of the row (`$database`).
    package let isDatabase: Bool
    /// A header of a broker's message (`$header.NAME`).
    package let isHeader: Bool
    /// Tells the columns of one projection's plan apart.
    package let slot: Int
    /// `source` and `type` as the quick path has them.
    let nameKey: NameKey
    let plain: FastPathType

    /// - Parameter usesQuickPath: `false` for tests that hold the quick path against the general one.
    package init(
        _ column: ProjectionDefinition.Column,
        isKey: Bool = false,
        slot: Int = 0,
        usesQuickPath: Bool = true
    ) {
        self.name = column.name
        self.isDatabase = isKey && column.name == ProjectionDefinition.databaseColumn
        self.source = self.isDatabase ? Array("$database".utf8) : Array(column.from.utf8)
        self.isHeader = self.source.starts(with: ProjectionPlan.headerPrefix)
        self.type = column.type
        self.encoding = column.encoding
        self.isUnsigned = column.isUnsigned
        self.absentValue = column.absentValue
        self.isKey = isKey
        self.slot = slot
        self.nameKey = NameKey(self.source)
        self.plain =
            !usesQuickPath || self.isDatabase || isKey && column.type == .numeric(precision: nil, scale: 0)
            ? .other : FastPathType(column.type, encoding: column.encoding, isUnsigned: column.isUnsigned)
    }
}
