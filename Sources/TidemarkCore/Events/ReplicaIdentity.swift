/// Which columns of the former row a PostgreSQL source logs with a delete, and with an update that changes them.
/// Debezium fills the other columns with null or a default, so they must not be believed.
public enum ReplicaIdentity: Sendable, Hashable {
    /// The primary key.
    case `default`
    /// The whole row.
    case full
    /// Those of an index (`REPLICA IDENTITY USING INDEX`), by their names at the source.
    case columns([String])
}

/// The replica identity of each table of a source. A class, so that handing on a source's settings copies one reference.
public final class ReplicaIdentities: Sendable {
    /// What is said of tables by a pattern.
    package struct Rule: Sendable {
        package var pattern: TablePattern
        package var identity: ReplicaIdentity

        package init(pattern: TablePattern, identity: ReplicaIdentity) {
            self.pattern = pattern
            self.identity = identity
        }
    }

    /// In the order of the configuration: the first that matches a table counts.
    package let rules: [Rule]
    /// Of tables that no rule matches.
    public let rest: ReplicaIdentity
    /// Of each rule, and behind them of the rest: the columns that it names, as UTF-8.
    package let columns: [[[UInt8]]]
    /// A rule names columns.
    package let namesColumns: Bool

    package init(rules: [Rule] = [], rest: ReplicaIdentity = .default) {
        self.rules = rules
        self.rest = rest
        self.columns = (rules.map(\.identity) + [rest]).map { identity in
            if case .columns(let names) = identity { names.map { Array($0.utf8) } } else { [] }
        }
        self.namesColumns = self.columns.contains { !$0.isEmpty }
    }

    /// The index into `columns` of what is said of a table; `nil` stands for one whose name cannot be read.
    package func index(of table: TableName?) -> Int {
        guard let table else { return self.rules.count }
        return self.rules.firstIndex { $0.pattern.matches(table) } ?? self.rules.count
    }

    /// - Parameter index: from ``index(of:)``.
    package subscript(index: Int) -> ReplicaIdentity {
        index < self.rules.count ? self.rules[index].identity : self.rest
    }
}

/// How far the image of the row before a change can be believed.
package enum BeforeTrust: UInt8, Sendable, Hashable {
    /// What it holds is the row's.
    case whole
    /// The same, of a PostgreSQL source, because its settings say so (`replica_identity: full`).
    case full
    /// The key columns are the row's; the others may be defaults.
    case key
    /// The columns that the settings name are the row's; the others may be defaults.
    case columns
}
