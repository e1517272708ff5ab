/// What a milestone that was reached adds to the outbox.
extension ProjectionStatements {
    static let outboxColumns = "(id, projection, key, milestone, notifier, status, next_attempt_at, body)"

    /// The row for a milestone in `batch` and a `target` that is told, of an `entity` whose row is `shown`.
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
                    'milestone', batch.milestone,
                    'state', batch.state,
                    'sequence', batch.sequence,
                    'row', to_jsonb(shown)
                )
            )::text
        """
    }
}
