package import LibPQ

/// What a filter names, and the names that the database has of it. Projections that were dropped count while dead letters
/// or deliveries of theirs are left.
package enum StoredNames: String, Sendable {
    case projection, source, reason, milestone, notifier

    private var sql: String {
        switch self {
        case .projection:
            """
            select name from tidemark.projections
            union all select projection from tidemark_internal.dead_letters
            union all select projection from tidemark_internal.deliveries
            """
        case .source:
            """
            select name from tidemark.sources
            union all select source from tidemark_internal.dead_letters
            """
        case .reason: "select reason as name from tidemark_internal.dead_letters"
        case .milestone: "select milestone as name from tidemark_internal.deliveries"
        case .notifier:
            """
            select notifier as name from tidemark_internal.disabled_notifiers
            union all select notifier from tidemark_internal.deliveries
            """
        }
    }

    /// Ends at the first row with the name.
    package func contains(_ name: String, on connection: Connection) async throws(PostgresError) -> Bool {
        let found = try await connection.query(
            "select exists (select from (\(self.sql)) as known where name = $1::text)",
            [.text(name)]
        )
        return try found.bool(0, 0) ?? false
    }

    /// - Complexity: O(dead letters and deliveries).
    package func all(on connection: Connection) async throws(PostgresError) -> [String] {
        try await connection.query("select distinct name from (\(self.sql)) as known where name <> ''").texts()
    }
}
