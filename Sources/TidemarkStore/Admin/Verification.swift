package import LibPQ
package import TidemarkCore

/// Compares the rows of a projection with the expected ones, value by value. It only reads, and each comparison is one
/// statement, and so one snapshot.
package enum Verification {
    /// A value that differs from the expected one.
    package struct Difference: Sendable, Equatable {
        /// The key's values as a JSON array.
        package var key: String
        /// The column; `(row)` where only one side has the row, `milestone …` for a milestone.
        package var column: String
        package var expected: String?
        package var found: String?
    }

    package struct Outcome: Sendable {
        /// The number of compared entities.
        package var compared: Int64 = 0
        package var differenceCount: Int64 = 0
        /// The first differences, by key.
        package var differences: [Difference] = []

        package init() {}

        package mutating func add(_ other: Outcome) {
            self.differenceCount += other.differenceCount
            self.differences += other.differences
        }
    }

    /// Compares the rows and milestones of a projection with those computed from the timeline.
    /// - Parameter limit: the most differences to list; all are counted.
    /// - Complexity: reads the whole timeline.
    package static func timeline(
        _ plan: ProjectionPlan,
        limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let ddl = ProjectionDDL(plan)
        let keys = plan.keyList.joined(separator: ", ")
        let latest = """
            select \((ddl.versionColumns + ["sequence as _sequence", "event_time as _event_time", "incomplete as _incomplete"]).joined(separator: ", "))
            from (
                select distinct on (\(keys)) * from \(plan.names.versions.sql) order by \(keys), order_key desc
            ) as latest
            where op <> 'd'
            """
        var outcome = try await Self.rows(plan, expected: latest, found: plan.names.orders, limit, on: connection)
        outcome.compared = try await connection.number(
            "select count(*) from (select distinct \(keys) from \(plan.names.eventStorage.sql)) as entities"
        )
        outcome.add(try await Self.milestonesOfTimeline(plan, limit, on: connection))
        if plan.isContiguous { outcome.add(try await Self.versionsSeen(plan, limit, on: connection)) }
        return outcome
    }

    /// Compares a projection with another of the same definition, which a replay of a log made.
    package static func compare(
        _ plan: ProjectionPlan,
        with expected: ProjectionPlan,
        limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        var outcome = try await Self.rows(
            plan,
            expected: "select * from \(expected.names.orders.sql)",
            found: plan.names.orders,
            limit,
            on: connection
        )
        outcome.compared = try await connection.number(
            """
            select count(*) from \(expected.names.entityStorage.sql)
            where _order_key <> \(ProjectionStatements.unmade)
            """
        )
        let milestones = """
            select \(plan.keyList.joined(separator: ", ")), milestone, state, sequence
            from \(expected.names.milestoneStorage.sql)
            """
        outcome.add(try await Self.milestones(plan, expected: milestones, isComplete: true, limit, on: connection))
        if plan.isContiguous { outcome.add(try await Self.versionsSeen(plan, as: expected, limit, on: connection)) }
        return outcome
    }

    // MARK: Rows

    private static func rows(
        _ plan: ProjectionPlan,
        expected: String,
        found: RelationNames.Relation,
        _ limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let keys = plan.keyList
        var columns =
            plan.definition.columns?.map(\.name).filter { !plan.definition.key.contains($0) } ?? ["state", "row"]
        columns += ["_sequence", "_event_time", "_incomplete"]
        let cells = columns.map { column in
            let name = SQLText.identifier(column)
            return "(\(SQLText.literal(column)), expected.\(name)::text, found.\(name)::text)"
        }
        let first = keys[0]
        let isMissing = "(expected.\(first) is null or found.\(first) is null)"
        return try await Self.differences(
            """
            select jsonb_build_array(\(keys.map { "coalesce(expected.\($0), found.\($0))" }.joined(separator: ", ")))::text,
                cell.name, cell.expected, cell.found, count(*) over ()
            from (\(expected)) as expected
            full join \(found.sql) as found using (\(keys.joined(separator: ", ")))
            cross join lateral (
                values
                    (
                        '(row)',
                        case when expected.\(first) is null then 'no row' else 'a row' end,
                        case when found.\(first) is null then 'no row' else 'a row' end
                    ),
                    \(cells.joined(separator: ",\n        "))
            ) as cell(name, expected, found)
            where cell.expected is distinct from cell.found and (\(isMissing) = (cell.name = '(row)'))
            order by \(keys.map { "coalesce(expected.\($0), found.\($0))" }.joined(separator: ", ")), cell.name
            limit $1::bigint
            """,
            limit,
            on: connection
        )
    }

    private static func differences(
        _ sql: String,
        _ limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let result = try await connection.query(sql, [.int64(limit)])
        var outcome = Outcome()
        outcome.differenceCount = result.rowCount > 0 ? try result.int64(0, 4) ?? 0 : 0
        outcome.differences = try result.rows { row in
            Difference(
                key: try result.text(row, 0) ?? "",
                column: try result.text(row, 1) ?? "",
                expected: try result.text(row, 2),
                found: try result.text(row, 3)
            )
        }
        return outcome
    }

    // MARK: Milestones and versions

    /// Checks that every milestone that the timeline implies is reached. Others may be left from a pruned timeline or
    /// an earlier lifecycle.
    private static func milestonesOfTimeline(
        _ plan: ProjectionPlan,
        _ limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        guard let implied = ProjectionStatements.impliedMilestones(plan) else { return Outcome() }
        let keys = plan.keyList.joined(separator: ", ")
        let shape = EventShape(plan)
        let state = shape.state("event")
        let expected = """
            select distinct on (\(keys), implied.milestone) \(keys), implied.milestone, \(state) as state,
                \(shape.sequence("event")) as sequence, event.order_key
            from \(plan.names.eventStorage.sql) as event
            join (values \(implied)) as implied(state, milestone) on implied.state = \(state)
            order by \(keys), implied.milestone, event.order_key
            """
        return try await Self.milestones(plan, expected: expected, isComplete: false, limit, on: connection)
    }

    private static func milestones(
        _ plan: ProjectionPlan,
        expected: String,
        isComplete: Bool,
        _ limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let keys = plan.keyList
        return try await Self.differences(
            """
            select jsonb_build_array(\(keys.joined(separator: ", ")))::text, 'milestone ' || milestone,
                expected.state || ' at ' || expected.sequence, found.state || ' at ' || found.sequence,
                count(*) over ()
            from (\(expected)) as expected
            \(isComplete ? "full" : "left") join \(plan.names.milestoneStorage.sql) as found
                using (\(keys.joined(separator: ", ")), milestone)
            where (expected.state, expected.sequence) is distinct from (found.state, found.sequence)
                and not \(isComplete ? "false" : Self.comesFromLostEvent(plan))
            order by \(keys.joined(separator: ", ")), milestone
            limit $1::bigint
            """,
            limit,
            on: connection
        )
    }

    /// The milestone `found` comes from an event whose state `forget` has erased, or, below all that are left, from one
    /// that `prune` has removed.
    private static func comesFromLostEvent(_ plan: ProjectionPlan) -> String {
        """
        coalesce(
            (
                select \(EventShape(plan).isErased("event"))
                from \(plan.names.eventStorage.sql) as event
                where \(ProjectionStatements.match(plan, "event", "found")) and event.order_key = found.order_key
            ),
            found.order_key < expected.order_key, false
        )
        """
    }

    /// Checks that every version in the timeline is among those seen.
    private static func versionsSeen(
        _ plan: ProjectionPlan,
        _ limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let keys = plan.keyList
        let sequence = EventShape(plan).sequence("event")
        return try await Self.differences(
            """
            select jsonb_build_array(\(keys.map { "event.\($0)" }.joined(separator: ", ")))::text, 'versions seen',
                \(sequence), null, count(*) over ()
            from \(plan.names.eventStorage.sql) as event
            join \(plan.names.entityStorage.sql) as entity using (\(keys.joined(separator: ", ")))
            where not entity._seen @> \(sequence)::numeric
            order by \(keys.map { "event.\($0)" }.joined(separator: ", ")), event.order_key
            limit $1::bigint
            """,
            limit,
            on: connection
        )
    }

    /// Compares the versions seen of each entity with those of another projection.
    private static func versionsSeen(
        _ plan: ProjectionPlan,
        as expected: ProjectionPlan,
        _ limit: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let keys = plan.keyList.joined(separator: ", ")
        func seen(by plan: ProjectionPlan) -> String {
            "select \(keys), _seen from \(plan.names.entityStorage.sql) where not isempty(_seen)"
        }
        return try await Self.differences(
            """
            select jsonb_build_array(\(keys))::text, 'versions seen', expected._seen::text, found._seen::text,
                count(*) over ()
            from (\(seen(by: expected))) as expected
            full join (\(seen(by: plan))) as found using (\(keys))
            where expected._seen is distinct from found._seen
            order by \(keys)
            limit $1::bigint
            """,
            limit,
            on: connection
        )
    }

    // MARK: Checksums

    /// A checksum of each relation of a projection, without the columns about arrival. It is independent of the order
    /// of rows.
    package static func checksums(
        _ plan: ProjectionPlan,
        on connection: Connection
    ) async throws -> [(relation: String, checksum: String)] {
        var relations: [(name: String, sql: String)] = [
            ("rows", "select to_jsonb(t) from \(plan.names.orders.sql) as t"),
            ("milestones", "select to_jsonb(t) - 'reached_at' - 'muted' from \(plan.names.milestones.sql) as t"),
        ]
        if plan.keepsTimeline {
            relations.append(
                ("timeline", "select to_jsonb(t) - 'received_at' - 'late' from \(plan.names.timeline.sql) as t")
            )
            relations.append(("history", "select to_jsonb(t) from \(plan.names.history.sql) as t"))
        }
        if plan.isContiguous { relations.append(("gaps", "select to_jsonb(t) from \(plan.names.gaps.sql) as t")) }
        var checksums: [(relation: String, checksum: String)] = []
        for relation in relations {
            let result = try await connection.query(
                """
                select count(*) || ':' || md5(
                    coalesce(sum(('x' || left(digest, 16))::bit(64)::bigint::numeric), 0) || ' '
                        || coalesce(sum(('x' || right(digest, 16))::bit(64)::bigint::numeric), 0)
                )
                from (select md5(line::text) as digest from (\(relation.sql)) as lines(line)) as digests
                """
            )
            checksums.append((relation.name, try result.text(0, 0) ?? ""))
        }
        return checksums
    }

    // MARK: Throw-away projections

    package static let scratchPrefix = "tidemark_verify_"

    /// Drops the throw-away projections of a comparison, and those that a killed one left.
    package static func removeScratch(_ name: String, on connection: Connection) async throws {
        _ = try await ProjectionRegistry.drop(name, on: connection)
        _ = try await connection.query(
            "delete from tidemark_internal.passes where projections = array[$1::text]",
            [.text(name)]
        )
        _ = try await connection.query(
            """
            delete from tidemark_internal.streams as stream
            where not exists (select from tidemark_internal.leases as l where l.stream_id = stream.id)
                and stream.name like '%/' || $1::text || '/%'
            """,
            [.text(name)]
        )
        try await connection.execute("drop schema if exists \(SQLText.identifier(name))")
    }

    /// Removes what killed comparisons have left: schemas with rows and images of their own.
    package static func removeAbandoned(on connection: Connection) async throws {
        for name in try await Self.abandonedScratch(on: connection) {
            try await Self.removeScratch(name, on: connection)
        }
    }

    /// Names of throw-away projections whose lock is free.
    private static func abandonedScratch(on connection: Connection) async throws -> [String] {
        let found = try await connection.query(
            "select name from tidemark_internal.projections where starts_with(name, $1::text)",
            [.text(Self.scratchPrefix)]
        )
        var names: [String] = []
        for name in try found.texts() {
            let taken = try await connection.query(
                "select pg_try_advisory_lock(1953063021, hashtext($1::text))",
                [.text(name)]
            )
            guard try taken.bool(0, 0) == true else { continue }
            names.append(name)
            _ = try await connection.query("select pg_advisory_unlock(1953063021, hashtext($1::text))", [.text(name)])
        }
        return names
    }
}
