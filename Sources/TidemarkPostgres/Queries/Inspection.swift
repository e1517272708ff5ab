package import LibPQ

/// What `status`, `show` and the lists look at: everything as text or JSON, made by the database.
package enum Inspection {
    /// A query's rows as text, `nil` for null, with the names of the columns.
    package struct Rows: Sendable {
        package var columns: [String]
        package var rows: [[String?]]
    }

    private static func rows(
        _ sql: String,
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws -> Rows {
        let result = try await connection.query(sql, parameters)
        let columns = (0..<result.columnCount).map { result.columnName($0) }
        var rows: [[String?]] = []
        for row in 0..<result.rowCount {
            var cells: [String?] = []
            for column in columns.indices { cells.append(try result.text(row, column)) }
            rows.append(cells)
        }
        return Rows(columns: columns, rows: rows)
    }

    private static func optional(_ text: String?) -> Parameter { text.map { .text($0) } ?? .null }

    // MARK: Lists

    package struct DeadLetterFilter: Sendable {
        package var reason: String?
        package var projection: String?
        package var source: String?
        package var limit: Int64 = 100

        package init() {}
    }

    /// Dead letters, the newest first, without their raw bytes.
    package static func deadLetters(_ filter: DeadLetterFilter, on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select id::text, coalesce(projection, '') as projection, reason, source, position, "row"::text,
                count::text, to_char(first_seen, 'YYYY-MM-DD HH24:MI:SS') as first_seen,
                to_char(last_seen, 'YYYY-MM-DD HH24:MI:SS') as last_seen, detail
            from tidemark.dead_letters
            where ($1::text is null or reason = $1) and ($2::text is null or projection = $2)
                and ($3::text is null or source = $3)
            order by id desc
            limit $4::bigint
            """,
            [
                Self.optional(filter.reason), Self.optional(filter.projection), Self.optional(filter.source),
                .int64(filter.limit),
            ],
            on: connection
        )
    }

    // MARK: Status

    package static func projections(on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select p.name, p.definition ->> 'table' as "table",
                coalesce(c.reltuples, 0)::bigint::text as estimated_entities
            from tidemark.projections as p
            left join pg_catalog.pg_class as c
                on c.oid = to_regclass(format('tidemark_internal.%I', p.name || '_entities'))
            order by p.name
            """,
            [],
            on: connection
        )
    }

    /// Live and deleted entities of one projection, counted.
    package static func entityCounts(
        of projection: String,
        on connection: Connection
    ) async throws -> (live: Int64, deleted: Int64) {
        let storage =
            SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(projection + "_entities")
        let result = try await connection.query(
            "select count(*) filter (where not _deleted), count(*) filter (where _deleted) from \(storage)"
        )
        return (try result.int64(0, 0) ?? 0, try result.int64(0, 1) ?? 0)
    }

    package static func milestoneCounts(of projection: String, on connection: Connection) async throws -> Rows {
        let storage =
            SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(projection + "_milestones")
        return try await Self.rows(
            "select milestone, count(*)::text as reached from \(storage) group by milestone order by milestone",
            [],
            on: connection
        )
    }

    package static func deliveryCounts(on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select projection, notifier, status, count(*)::text as count
            from tidemark.deliveries group by projection, notifier, status order by 1, 2, 3
            """,
            [],
            on: connection
        )
    }

    /// Notifiers that nothing is delivered to until they are enabled by hand.
    package static func disabledNotifiers(on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select notifier, to_char(disabled_at, 'YYYY-MM-DD HH24:MI:SS') as disabled_at, reason
            from tidemark.disabled_notifiers order by notifier
            """,
            [],
            on: connection
        )
    }

    package static func deadLetterCounts(on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select coalesce(projection, '') as projection, reason, count(*)::text as messages,
                sum(count)::bigint::text as occurrences
            from tidemark.dead_letters group by 1, 2 order by 1, 2
            """,
            [],
            on: connection
        )
    }

    /// The newest replays, with what they counted.
    package static func replays(limit: Int64, on connection: Connection) async throws -> Rows {
        try await Self.rows(
            """
            select r.id::text as replay, case when r.finished_at is null then 'unfinished' else 'finished' end as status,
                to_char(r.started_at, 'YYYY-MM-DD HH24:MI:SS') as started_at,
                sum(c.messages)::bigint::text as messages, sum(c.applied)::bigint::text as applied,
                sum(c.late)::bigint::text as late, sum(c.duplicate)::bigint::text as duplicate,
                sum(c.dead_letters)::bigint::text as dead_letters
            from tidemark_internal.replays as r
            join tidemark_internal.counters as c on c.replay_id = r.id
            group by r.id order by r.id desc limit $1::bigint
            """,
            [.int64(limit)],
            on: connection
        )
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
            from tidemark.projections, jsonb_array_elements(definition -> 'key') with ordinality as parts(part, place)
            where name = $1::text order by place
            """,
            [.text(projection)]
        )
        var columns: [(name: String, type: String)] = []
        for row in 0..<parts.rowCount {
            columns.append((try parts.text(row, 0) ?? "", try parts.text(row, 1) ?? "text"))
        }
        return (try definition.text(0, 0) ?? "", columns, try definition.bool(0, 1) ?? false)
    }

    /// Everything known of one entity, as one JSON object: row, events in the order that counts, each with its place in
    /// the order of arrival, milestones and their deliveries.
    package static func entity(
        _ key: [String],
        of projection: String,
        on connection: Connection
    ) async throws -> String? {
        guard let (table, columns, hasTimeline) = try await Self.key(of: projection, on: connection) else {
            throw StoreError(.failed, "there is no projection \"\(projection)\"; `tidemark status` lists them")
        }
        guard key.count == columns.count else {
            let names = columns.map(\.name).joined(separator: ", ")
            throw StoreError(
                .failed,
                "the key of \(projection) has \(columns.count) parts (\(names)), not \(key.count)"
            )
        }
        func storage(_ suffix: String) -> String {
            SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(projection + suffix)
        }
        let parts = table.split(separator: ".", maxSplits: 1).map(String.init)
        let view = parts.map(SQLText.identifier).joined(separator: ".")
        func matching(_ alias: String) -> String {
            columns.enumerated().map { index, column in
                "\(alias).\(SQLText.identifier(column.name)) = $\(index + 1)::text::\(column.type)"
            }.joined(separator: " and ")
        }
        let keyList = columns.map { "entity.\(SQLText.identifier($0.name))" }.joined(separator: ", ")
        let events =
            hasTimeline
            ? """
            (
                select coalesce(jsonb_agg(to_jsonb(event) order by event.order_key), '[]'::jsonb)
                from (
                    select e.order_key::text as order_key, e.sequence,
                        case e.op
                            when 'd' then 'delete' when 'i' then 'insert' when 's' then 'snapshot' else 'update'
                        end as op,
                        e.state, e.event_time, e.received_at, e.late, e.source, e.position, e.image::jsonb as image,
                        rank() over (order by e.received_at) as arrival
                    from \(storage("_events")) as e where \(matching("e"))
                ) as event
            )
            """ : "null::jsonb"
        let result = try await Self.query(
            """
            select jsonb_build_object(
                'projection', $\(columns.count + 1)::text,
                'key', jsonb_build_array(\(keyList)),
                'deleted', entity._deleted,
                'state', entity._state,
                'sequence', entity._sequence,
                'order_key', entity._order_key::text,
                'row', (select to_jsonb(shown) from \(view) as shown where \(matching("shown"))),
                'events', \(events),
                'milestones', (
                    select coalesce(jsonb_agg(to_jsonb(reached) - 'order_key' order by reached.order_key), '[]'::jsonb)
                    from \(storage("_milestones")) as reached where \(matching("reached"))
                ),
                'deliveries', (
                    select coalesce(jsonb_agg(to_jsonb(delivery)), '[]'::jsonb)
                    from tidemark.deliveries as delivery
                    where delivery.projection = $\(columns.count + 1)::text
                        and delivery.key = jsonb_build_array(\(keyList))
                )
            )::text
            from \(storage("_entities")) as entity
            where \(matching("entity"))
            """,
            key.map { .text($0) } + [.text(projection)],
            of: columns,
            on: connection
        )
        return result.rowCount == 1 ? try result.text(0, 0) : nil
    }

    /// A query by key; a key that its columns cannot hold is the asker's mistake.
    private static func query(
        _ sql: String,
        _ parameters: [Parameter],
        of columns: [(name: String, type: String)],
        on connection: Connection
    ) async throws -> QueryResult {
        do {
            return try await connection.query(sql, parameters)
        } catch {
            guard error.isDataException else { throw error }
            let types = columns.map { "\($0.name) \($0.type)" }.joined(separator: ", ")
            throw StoreError(.failed, "the key given is none of this projection's: its parts are (\(types))")
        }
    }
}
