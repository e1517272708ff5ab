import TidemarkCore

/// Adds the deliveries of reached milestones to the outbox.
extension ProjectionStatements {
    static let outboxColumns = "(id, projection, key, milestone, notifier, status, next_attempt_at, body)"

    /// The outbox row for a milestone in `batch` and its notifier in `target`; `content.shown` is the row of `entity`.
    /// The body is `json`, because `jsonb` takes twice as long to build.
    /// - Parameters:
    ///   - projection: the projection's name, as SQL.
    ///   - holds: the states that hold each milestone, as `jsonb`.
    static func outboxRow(_ plan: ProjectionPlan, projection: String, holds: String) -> String {
        let held = Self.holds(plan) != nil ? "when \(holds) -> batch.milestone ? entity._state then 'held'" : ""
        let told = """
            'projection', \(projection), 'key', batch._key::json, 'milestone', batch.milestone
            """
        return """
            batch._id, \(projection), batch._key::jsonb, batch.milestone, target.notifier,
                case
                    when batch.muted then 'muted'
                    \(held)
                    else 'due'
                end,
                case when not batch.muted then now() end,
                json_build_object(
                    'type', \(projection) || '.' || batch.milestone,
                    'timestamp', (select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                    'data', case
                        when target.is_thin then json_build_object(\(told))
                        else json_build_object(
                            \(told), 'state', batch.state, 'sequence', batch.sequence, 'row', content.shown
                        )
                    end
                )::text
            """
    }

    /// The states that hold each milestone's delivery, in JSON by milestone; `nil` when no state does, and then the
    /// statements have no parameter for it.
    static func holds(_ plan: ProjectionPlan) -> String? {
        let holding = plan.milestones.filter { !$0.unless.isEmpty }
        guard !holding.isEmpty else { return nil }
        return JSONOutput.object(holding.map { ($0.name, JSONOutput.array($0.unless)) })
    }

    /// Joins `batch` with the notifiers of its milestones. As in `fetch`, rows are looked up one by one regardless of
    /// the statistics.
    /// - Parameter first: the first of four parameters, as ``ProjectionWriter/outboxTargets(_:)`` gives them.
    static func outboxTargets(_ plan: ProjectionPlan, _ names: RelationNames, from first: Int) -> String {
        // Without declared columns the row is in the column "row".
        let image = plan.definition.columns == nil ? " -> 'row'" : ""
        let entity =
            Self.holds(plan) != nil
            ? """
            cross join lateral (
                select stored._state from \(names.entityStorage.sql) as stored
                where \(Self.match(plan, "stored", "batch")) offset 0
            ) as entity
            """ : ""
        return """
            join unnest($\(first)::text[], $\(first + 1)::text[], $\(first + 2)::text[], $\(first + 3)::boolean[])
                as target(milestone, notifier, conditions, is_thin)
                on target.milestone = batch.milestone
            \(entity)
            left join lateral (
                select row_to_json(_visible) as shown from \(names.orders.sql) as _visible
                where \(Self.match(plan, "_visible", "batch")) offset 0
            ) as content on true
            where target.conditions = '{}'
                or tidemark_internal.row_matches(target.conditions::jsonb, content.shown::jsonb\(image))
            """
    }
}
