package import LibPQ

/// Prunes old tombstones, events and deliveries that no row or milestone needs.
package enum Pruning {
    /// The counts of what was pruned, or would be.
    package struct Outcome: Sendable, Equatable {
        package var tombstones: Int64 = 0
        package var events: Int64 = 0
        package var deliveries: Int64 = 0
    }

    /// Prunes one projection in one transaction. Milestones stay, so that none is reached again.
    ///
    /// - A tombstone goes when its delete is older than `cutoff`. A late event can then revive its key, and those that
    ///   may have done so are counted (`revived`).
    /// - An event of the timeline goes when it is older, unless the row or a milestone comes from it. Read again, it
    ///   counts as late again and comes back.
    /// - A delivery goes when it was delivered before.
    /// - Parameter cutoff: microseconds since 1970.
    /// - Parameter isDry: only counts.
    package static func prune(
        _ projection: String,
        before cutoff: Int64,
        isDry: Bool,
        on connection: Connection
    ) async throws -> Outcome {
        guard let (_, columns, hasTimeline) = try await Inspection.key(of: projection, on: connection) else {
            throw StoreError(.failed, "there is no projection \"\(projection)\"; `tidemark status` lists them")
        }
        func storage(_ suffix: String) -> String {
            SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(projection + suffix)
        }
        let keys = columns.map { SQLText.identifier($0.name) }.joined(separator: ", ")
        func matching(_ row: String) -> String {
            columns.map { "\(row).\(SQLText.identifier($0.name)) = event.\(SQLText.identifier($0.name))" }
                .joined(separator: " and ")
        }
        try await connection.execute("begin")
        do {
            var outcome = Outcome()
            let instant = Parameter.int64(cutoff)
            if hasTimeline {
                // Before the tombstones, whose column keys tell what is needed.
                outcome.events = try await Self.count(
                    """
                    with gone as (
                        delete from \(storage("_events")) as event
                        where exists (
                            -- All events of a pruned tombstone go: without it they would make a live row.
                            select from \(storage("_entities")) as entity
                            where \(matching("entity")) and entity._deleted
                                and entity._event_time < to_timestamp($1::bigint / 1000000.0)
                        )
                        or coalesce(event_time, received_at) < to_timestamp($1::bigint / 1000000.0)
                            and not exists (
                                select from \(storage("_entities")) as entity
                                where \(matching("entity")) and (
                                    entity._order_key = event.order_key
                                    -- `_column_keys` has the order keys of the row's other events in hexadecimal
                                    -- digits.
                                    or position(encode(event.order_key, 'hex') in entity._column_keys::text) > 0
                                )
                            )
                            and not exists (
                                select from \(storage("_milestones")) as reached
                                where \(matching("reached")) and reached.order_key = event.order_key
                            )
                        returning \(keys)
                    )
                    select count(*) from gone
                    """,
                    [instant],
                    on: connection
                )
            }
            outcome.tombstones = try await Self.count(
                """
                with gone as (
                    delete from \(storage("_entities"))
                    where _deleted and _order_key <> \(ProjectionStatements.unmade)
                        and _event_time < to_timestamp($1::bigint / 1000000.0)
                    returning 1
                )
                select count(*) from gone
                """,
                [instant],
                on: connection
            )
            outcome.deliveries = try await Self.count(
                """
                with gone as (
                    delete from tidemark_internal.deliveries
                    where projection = $2::text and status = 'delivered'
                        and delivered_at < to_timestamp($1::bigint / 1000000.0)
                    returning 1
                )
                select count(*) from gone
                """,
                [instant, .text(projection)],
                on: connection
            )
            if outcome.tombstones > 0 {
                _ = try await connection.query(
                    """
                    update tidemark_internal.projections
                    set pruned_before = greatest(pruned_before, to_timestamp($1::bigint / 1000000.0))
                    where name = $2::text
                    """,
                    [instant, .text(projection)]
                )
            }
            try await connection.execute(isDry ? "rollback" : "commit")
            return outcome
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    private static func count(
        _ sql: String,
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws -> Int64 {
        try await connection.query(sql, parameters).int64(0, 0) ?? 0
    }

    /// The cutoff before which tombstones were pruned, in microseconds since 1970; `nil` when none were.
    static func prunedBefore(_ projection: String, on connection: Connection) async throws -> Int64? {
        let result = try await connection.query(
            """
            select (extract(epoch from pruned_before) * 1000000)::bigint
            from tidemark_internal.projections where name = $1::text
            """,
            [.text(projection)]
        )
        return result.rowCount == 1 ? try result.int64(0, 0) : nil
    }
}

extension Inspection {
    /// Counts gaps between versions, and keys that pruning may have revived.
    package struct Holes: Sendable {
        /// The number of versions not seen; `nil` unless `contiguous`.
        package var missingVersions: String?
        package var entitiesWithGaps: Int64 = 0
        /// Keys that were inserted with an event older than the pruned tombstones.
        package var revived: Int64 = 0
    }

    /// - Complexity: reads every entity where versions are counted.
    package static func holes(of projection: String, on connection: Connection) async throws -> Holes {
        var holes = Holes()
        let found = try await connection.query(
            """
            select p.revived, r.schema_name, r.relation_name
            from tidemark_internal.projections as p
            left join tidemark_internal.relations as r
                on r.projection = p.name and r.relation_name = split_part(p.definition ->> 'table', '.', 2) || '_gaps'
            where p.name = $1::text
            """,
            [.text(projection)]
        )
        guard found.rowCount > 0 else { return holes }
        holes.revived = try found.int64(0, 0) ?? 0
        guard let schema = try found.text(0, 1), let name = try found.text(0, 2),
            let (_, columns, _) = try await Self.key(of: projection, on: connection)
        else { return holes }
        let keys = columns.map { SQLText.identifier($0.name) }.joined(separator: ", ")
        let totals = try await connection.query(
            """
            select coalesce(sum(last - first + 1), 0)::text, count(distinct (\(keys)))
            from \(SQLText.identifier(schema)).\(SQLText.identifier(name))
            """
        )
        holes.missingVersions = try totals.text(0, 0)
        holes.entitiesWithGaps = try totals.int64(0, 1) ?? 0
        return holes
    }

    /// Counts snapshot rows that were ignored on arrival because of a streamed event with a lower LSN.
    package static func ignoredSnapshots(of projection: String, on connection: Connection) async throws -> Int64 {
        let events = SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(projection + "_events")
        // Only projections by LSN have such rows and their index; storage of an earlier version has neither.
        let found = try await connection.query(
            """
            select from tidemark_internal.projections as p
            join pg_catalog.pg_attribute as a on a.attrelid = to_regclass($2::text) and a.attname = '_remarks'
            where p.name = $1::text and p.definition -> 'sequence' -> 0 ->> 'name' = '$position'
            """,
            [.text(projection), .text(events)]
        )
        guard found.rowCount > 0 else { return 0 }
        let count = try await connection.query(
            "select count(*) from \(events) where \(ProjectionStatements.isIgnored)"
        )
        return try count.int64(0, 0) ?? 0
    }
}
