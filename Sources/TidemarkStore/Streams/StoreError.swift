import LibPQ

/// An error of the store beside those that the server reports.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Exit 78: the configuration and the database do not match.
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
    /// The read model is ahead of the lane's cache: a row is further (TM001), or exists already.
    var isStale: Bool { self.sqlState == "TM001" || self.isUniqueViolation }
}
