import LibPQ

/// What can be wrong between Tidemark and its database, beside what the server itself refuses.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Exit 78: the configuration and the database do not go together.
        case configuration
        /// Exit 1.
        case failed
    }

    package var kind: Kind
    package var description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    static let progressMoved = StoreError(
        .failed,
        "another process has moved this replay's progress; nothing was written twice. Run one at a time"
    )
}

extension PostgresError {
    /// The read model is not what the lane remembers: a row is further (TM001), or there already.
    var isStale: Bool { self.sqlState == "TM001" || self.isUniqueViolation }
}
