import TidemarkCore

/// What a milestone that was reached adds to the outbox.
extension ProjectionStatements {
    static let outboxColumns = "(id, projection, key, milestone, notifier, status, next_attempt_at, body)"

    /// The row for a milestone in `batch` and a `target` that is told, of an `entity` whose row is `content.shown`.
    /// - Parameters:
    ///   - projection: the projection's name, as SQL.
    ///   - holds: the states that hold each milestone, as `jsonb`.
    static func outboxRow(projection: String, holds: String) -> String {
        """
        batch._id, \(projection), batch._key::jsonb, batch.milestone, target.notifier,
            case
                when batch.muted then 'muted'
                when \(holds) -> batch.milestone ? entity._state then 'held'
                else 'due'
            end,
            case when not batch.muted then now() end,
            jsonb_build_object(
                'type', \(projection) || '.' || batch.milestone,
                'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'data', jsonb_build_object(
                    'projection', \(projection),
                    'key', batch._key::jsonb,
                    'milestone', batch.milestone
                ) || case when target.is_thin then '{}' else jsonb_build_object(
                    'state', batch.state,
                    'sequence', batch.sequence,
                    'row', content.shown
                ) end
            )::text
        """
    }

    /// Joins `batch` with whoever is told of its milestones.
    /// - Parameter first: the first of four parameters, as ``ProjectionWriter/outboxTargets(_:)`` gives them.
    static func outboxTargets(_ plan: ProjectionPlan, _ names: RelationNames, from first: Int) -> String {
        // Without columns of its own the row is one of them.
        let image = plan.definition.columns == nil ? " -> 'row'" : ""
        return """
            join unnest($\(first)::text[], $\(first + 1)::text[], $\(first + 2)::text[], $\(first + 3)::boolean[])
                as target(milestone, notifier, conditions, is_thin)
                on target.milestone = batch.milestone
            join \(names.entityStorage.sql) as entity on \(Self.match(plan, "entity", "batch"))
            left join \(names.orders.sql) as shown on \(Self.match(plan, "shown", "batch"))
            cross join lateral (select to_jsonb(shown) as shown) as content
            where target.conditions = '{}'
                or tidemark_internal.row_matches(target.conditions::jsonb, content.shown\(image))
            """
    }
}
