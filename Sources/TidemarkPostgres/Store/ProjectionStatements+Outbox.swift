import LibPQ
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

    /// Who is told of the milestones in `batch`, with the entity and its row.
    /// - Parameter first: the first of the four parameters that ``outboxTargets(_:)`` makes.
    static func outboxJoins(_ plan: ProjectionPlan, _ names: RelationNames, from first: Int) -> String {
        // Without columns of its own the row is one of them.
        let image = plan.definition.columns == nil ? " -> 'row'" : ""
        return """
            join unnest($\(first)::text[], $\(first + 1)::text[], $\(first + 2)::text[], $\(first + 3)::boolean[])
                as target(milestone, notifier, conditions, is_thin)
                on target.milestone = batch.milestone
            join \(names.entityStorage.sql) as entity on \(Self.match(plan, "entity", "batch"))
            left join \(names.orders.sql) as shown on \(Self.match(plan, "shown", "batch"))
            cross join lateral (select to_jsonb(shown) as shown) as content
            where (
                target.conditions = '{}'
                or tidemark_internal.row_matches(target.conditions::jsonb, content.shown\(image))
            )
            """
    }

    /// Pairs of milestone and notifier, with what each asks of a row and how much of it is told.
    static func outboxTargets(_ plan: ProjectionPlan) -> [Parameter] {
        let pairs = plan.milestones.flatMap { milestone in milestone.notify.map { (milestone.name, $0) } }
        var targets = ArrayParameters([OID.text, OID.text, OID.text, OID.bool], rows: pairs.count)
        for (milestone, notifier) in pairs {
            let rule = plan.definition.notifications[notifier] ?? .init()
            let conditions = rule.when.sorted { $0.key < $1.key }.map { column, values in
                (name: column, json: "[\(values.joined(separator: ","))]")
            }
            targets.append(milestone, to: 0)
            targets.append(notifier, to: 1)
            targets.append(JSONOutput.object(conditions), to: 2)
            targets.append(rule.isThin, to: 3)
        }
        return targets.parameters
    }
}
