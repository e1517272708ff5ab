package import LibPQ

/// The queries of `status`, `show` and the lists. The database formats all values as text or JSON.
package enum Inspection {
    /// A query's rows as text, `nil` for null, with the names of the columns.
    package struct Rows: Sendable {
        package var columns: [String]
        package var rows: [[String?]]
    }

    // MARK: Status

    package static func projections(on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select p.name, p.definition ->> 'table' as "table",
                coalesce(c.reltuples, 0)::bigint::text as estimated_entities,
                array_to_string(array(select jsonb_array_elements_text(p.definition -> 'late')), ', ') as late,
                coalesce(p.definition -> 'late', '[]')::text as late_json
            from tidemark.projections as p
            left join pg_catalog.pg_class as c
                on c.oid = to_regclass(format('tidemark_internal.%I', p.name || '_entities'))
            order by p.name
            """,
            on: connection
        )
    }

    /// Disabled notifiers, which get no deliveries until they are enabled by hand.
    package static func disabledNotifiers(on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select notifier, to_char(disabled_at, 'YYYY-MM-DD HH24:MI:SS') as disabled_at, reason
            from tidemark.disabled_notifiers order by notifier
            """,
            on: connection
        )
    }

    /// The newest replays with their counters.
    package static func replays(limit: Int64, on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select r.id::text as replay, case when r.finished_at is null then 'unfinished' else 'finished' end as status,
                to_char(r.started_at, 'YYYY-MM-DD HH24:MI:SS') as started_at,
                sum(c.messages)::bigint::text as messages, sum(c.applied)::bigint::text as applied,
                sum(c.late)::bigint::text as late, sum(c.duplicate)::bigint::text as duplicate,
                sum(c.dead_letters)::bigint::text as dead_letters
            from tidemark_internal.passes as r
            join tidemark_internal.counters as c on c.pass_id = r.id
            group by r.id order by r.id desc limit $1::bigint
            """,
            [.int64(limit)],
            on: connection
        )
    }

    /// How many replays ``replays(limit:on:)`` chooses from.
    package static func replayCount(on connection: Connection) async throws -> Int64 {
        try await connection.query("select count(distinct pass_id) from tidemark_internal.counters").int64(0, 0) ?? 0
    }

    // MARK: One entity

    /// A projection's key columns and types, as stored.
    package static func key(
        of projection: String,
        on connection: Connection
    ) async throws -> (table: String, columns: [(name: String, type: String)], hasTimeline: Bool)? {
        let definition = try await connection.query(
            """
            select definition ->> 'table', (definition ->> 'timeline')::boolean
            from tidemark.projections where name = $1::text
            """,
            [.text(projection)]
        )
        guard definition.rowCount == 1 else { return nil }
        let parts = try await connection.query(
            """
            select part ->> 'name', part ->> 'type'
            from tidemark.projections, jsonb_array_elements(definition -> 'key') with ordinality as parts(part, part_index)
            where name = $1::text order by part_index
            """,
            [.text(projection)]
        )
        let columns = try parts.rows { (name: try parts.text($0, 0) ?? "", type: try parts.text($0, 1) ?? "text") }
        return (try definition.text(0, 0) ?? "", columns, try definition.bool(0, 1) ?? false)
    }

    package static func unknown(_ projection: String) -> StoreError {
        StoreError(.failed, "there is no projection \"\(projection)\"; `tidemark status` lists them")
    }
}
