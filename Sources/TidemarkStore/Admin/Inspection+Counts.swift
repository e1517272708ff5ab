package import LibPQ

/// The numbers of `status`. Small tables are counted; of large ones the numbers are estimates, from statistics that the
/// server keeps anyway, so that a look costs the same whatever the tables hold.
extension Inspection {
    /// A table up to this size is counted, which takes some milliseconds.
    package static let countedBytes: Int64 = 16 << 20
    /// So many open deliveries are counted at most.
    static let openDeliveriesMax = 100_000

    package struct EntityCounts: Sendable {
        package var live: Int64
        package var deleted: Int64
        package var isEstimate = false
    }

    /// How many entities of a projection there are.
    /// - Parameter countedBytes: a larger table is not counted.
    package static func entityCounts(
        of projection: String,
        countedBytes: Int64 = Self.countedBytes,
        on connection: Connection
    ) async throws -> EntityCounts {
        let storage = Self.storage(projection + "_entities")
        guard try await Self.size(of: storage, on: connection) > countedBytes else {
            let result = try await connection.query(
                """
                select count(*) filter (where not _deleted), count(*) filter (where _deleted and _order_key <> '')
                from \(storage)
                """
            )
            return EntityCounts(live: try result.int64(0, 0) ?? 0, deleted: try result.int64(0, 1) ?? 0)
        }
        let rows = try await Self.estimatedRows(of: storage, on: connection)
        let shares = try await Self.shares(of: "_deleted", in: projection + "_entities", on: connection)
        let deleted = Int64((Double(rows) * (shares["t"] ?? 0)).rounded())
        return EntityCounts(live: rows - deleted, deleted: deleted, isEstimate: true)
    }

    /// How many entities have reached each milestone: its name, and the number.
    package static func milestoneCounts(
        of projection: String,
        countedBytes: Int64 = Self.countedBytes,
        on connection: Connection
    ) async throws -> (rows: [(milestone: String, reached: Int64)], isEstimate: Bool) {
        let storage = Self.storage(projection + "_milestones")
        guard try await Self.size(of: storage, on: connection) > countedBytes else {
            let found = try await connection.query(
                "select milestone, count(*) from \(storage) group by milestone order by milestone"
            )
            return (try found.rows { (try found.text($0, 0) ?? "", try found.int64($0, 1) ?? 0) }, false)
        }
        let rows = try await Self.estimatedRows(of: storage, on: connection)
        let shares = try await Self.shares(of: "milestone", in: projection + "_milestones", on: connection)
        return (
            shares.sorted { $0.key < $1.key }.map { ($0.key, Int64((Double(rows) * $0.value).rounded())) }, true
        )
    }

    /// Deliveries by projection, notifier and status. Of a large outbox those that are open, and about how many others.
    package static func deliveryCounts(
        countedBytes: Int64 = Self.countedBytes,
        on connection: Connection
    ) async throws -> (rows: Rows, isEstimate: Bool) {
        let outbox = "tidemark_internal.deliveries"
        guard try await Self.size(of: outbox, on: connection) > countedBytes else {
            let rows = try await Self.rows(
                """
                select projection, notifier, status, count(*)::text as count
                from tidemark_internal.deliveries group by projection, notifier, status order by 1, 2, 3
                """,
                [],
                on: connection
            )
            return (rows, false)
        }
        var open = try await Self.rows(
            """
            select projection, notifier, status, count(*)::text as count
            from (
                select projection, notifier, status from tidemark_internal.deliveries
                where status in ('due', 'held', 'dead')
                limit \(Self.openDeliveriesMax)
            ) as open
            group by projection, notifier, status order by 1, 2, 3
            """,
            [],
            on: connection
        )
        let counted = open.rows.reduce(0) { $0 + (Int64($1[3] ?? "") ?? 0) }
        let rest = max(0, try await Self.estimatedRows(of: outbox, on: connection) - counted)
        open.rows.append([nil, nil, counted < Self.openDeliveriesMax ? "delivered or muted" : "others", "\(rest)"])
        return (open, true)
    }

    /// Dead letters by projection and reason; of very many only about how many for each reason.
    package static func deadLetterCounts(
        countedBytes: Int64 = Self.countedBytes,
        on connection: Connection
    ) async throws -> (rows: Rows, isEstimate: Bool) {
        let letters = "tidemark_internal.dead_letters"
        guard try await Self.size(of: letters, on: connection) > countedBytes else {
            let rows = try await Self.rows(
                """
                select coalesce(projection, '') as projection, reason, count(*)::text as messages,
                    sum(count)::bigint::text as occurrences
                from tidemark.dead_letters group by 1, 2 order by 1, 2
                """,
                [],
                on: connection
            )
            return (rows, false)
        }
        let count = try await Self.estimatedRows(of: letters, on: connection)
        let shares = try await Self.shares(of: "reason", in: "dead_letters", on: connection)
        let rows = shares.sorted { $0.key < $1.key }.map { reason, share in
            [nil, reason, "\(Int64((Double(count) * share).rounded()))", nil]
        }
        return (Rows(columns: ["projection", "reason", "messages", "occurrences"], rows: rows), true)
    }

    /// What all passes have counted, and when, in seconds: for rates.
    package static func totals(on connection: Connection) async throws -> (counts: [(String, Int64)], seconds: Double) {
        let names = ["messages", "applied", "late", "duplicate", "dead_letters"]
        let found = try await connection.query(
            """
            select extract(epoch from clock_timestamp())::double precision,
                \(names.map { "coalesce(sum(\($0)), 0)::bigint" }.joined(separator: ", "))
            from tidemark_internal.counters
            """
        )
        let counts = try names.enumerated().map { ($1, try found.int64(0, $0 + 1) ?? 0) }
        return (counts, try found.double(0, 0) ?? 0)
    }

    // MARK: Statistics of the server

    static func storage(_ relation: String) -> String {
        SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(relation)
    }

    static func size(of relation: String, on connection: Connection) async throws -> Int64 {
        try await connection.query("select pg_relation_size($1::regclass)", [.text(relation)]).int64(0, 0) ?? 0
    }

    /// About how many rows: as counted by commits; after a crash of the server, which forgets that, as the last VACUUM or
    /// ANALYZE found.
    private static func estimatedRows(of relation: String, on connection: Connection) async throws -> Int64 {
        let found = try await connection.query(
            """
            select coalesce(nullif(pg_stat_get_live_tuples(oid), 0), greatest(reltuples, 0)::bigint)
            from pg_catalog.pg_class where oid = $1::regclass
            """,
            [.text(relation)]
        )
        return try found.int64(0, 0) ?? 0
    }

    /// The share of each common value of a column, as the last ANALYZE found.
    private static func shares(
        of column: String,
        in relation: String,
        on connection: Connection
    ) async throws -> [String: Double] {
        let found = try await connection.query(
            """
            select common.value, common.share::double precision
            from pg_catalog.pg_stats
            cross join lateral unnest(most_common_vals::text::text[], most_common_freqs) as common (value, share)
            where schemaname = $1::text and tablename = $2::text and attname = $3::text and not inherited
            """,
            [.text(RelationNames.storageSchema), .text(relation), .text(column)]
        )
        var shares: [String: Double] = [:]
        for row in 0..<found.rowCount { shares[try found.text(row, 0) ?? ""] = try found.double(row, 1) }
        return shares
    }
}
