import LibPQ

/// An error of the store beside those that the server reports.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// Exit 78: the configuration and the database do not match.
        case configuration
        /// Exit 78: the database, or the way to it, cannot be used at all, also by a service that waits for other
        /// conditions.
        case unusableDatabase
        /// Exit 1.
        case failed
        /// Another process has given a projection another definition: the pass is begun again.
        case superseded
        /// Another process has ended the sessions of this one.
        case fenced
        /// A command has changed what the service reads: its pass is begun again.
        case passChanged
        /// One projection cannot be written; the others can.
        case projection(String)
    }

    package var kind: Kind
    package var description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    static let progressMoved = StoreError(
        .failed,
        "another process has moved this replay's progress; nothing was written twice. Start it again; a service goes on by itself"
    )

    static let fenced = StoreError(
        .fenced,
        "this process was silent for longer than its lease (service: lease_ttl), so another one has ended its sessions; "
            + "what it had not committed is not lost. Start it again; a service goes on by itself"
    )

    /// A projection cannot be written, whatever the batch.
    static func projection(_ name: String, _ error: PostgresError) -> StoreError {
        StoreError(.projection(name), "projection \(name) cannot be written: \(error)")
    }

    /// A command has changed what the service reads.
    static let passChanged = StoreError(
        .passChanged,
        "what the service reads was changed (pause, resume, seek, backfill)"
    )

    static func superseded(_ projection: String) -> StoreError {
        StoreError(
            .superseded,
            "another process has given projection \(projection) another definition, or found how its messages are "
                + "to be read (migrate, rebuild, or a replay beside this one)"
        )
    }
}

extension PostgresError {
    /// The read model is ahead of the lane's cache: a row is further (TM001), or exists already.
    var isStale: Bool { self.sqlState == "TM001" || self.isUniqueViolation }

    /// A projection has another revision than the batch was folded for: another process has come, or changed something.
    var hasOtherRevision: Bool { self.sqlState == "TM002" }
}
