package import LibPQ

/// The history of one entity: its row, events, milestones and deliveries.
package struct EntityHistory: Sendable {
    /// A value of a column that an event changed, both in JSON; `old` is missing where the column was not there before.
    package struct Change: Sendable, Hashable, Decodable {
        package var column: String
        package var old: String?
        package var new: String?
    }

    /// Times are ISO 8601 in UTC.
    package struct Event: Sendable, Decodable {
        package var orderKey: String
        package var sequence: String
        package var operation: String
        package var state: String?
        package var eventTime: String?
        /// `nil`, as are the other members about arrival, for a truncate of the table.
        package var receivedAt: String?
        /// Rank in the order of arrival, from 1. Events of one commit have one time: where one of them was late their
        /// order is not known, and each has the range from the first to the last of them.
        package var arrival: Int?
        package var lastArrival: Int?
        package var isLate: Bool
        package var source: String?
        package var position: String?
        /// The columns that the event carries, in JSON.
        package var image: String?
        /// The columns that the event lacks, as a JSON array; `nil` when it carries all.
        package var missing: String?
        /// The changes compared with the event before it in the order of order keys.
        package var changes: [Change]
    }

    package struct Milestone: Sendable, Decodable {
        package var name: String
        package var state: String?
        package var sequence: String
        package var reachedAt: String
        package var isMuted: Bool
        package var deliveries: [Delivery]
    }

    package struct Delivery: Sendable, Decodable {
        package var id: String
        package var notifier: String
        package var status: String
        package var attempts: Int
        package var nextAttemptAt: String?
        package var lastError: String?
        package var createdAt: String
        package var deliveredAt: String?
    }

    package var projection: String
    /// The key's values as a JSON array.
    package var key: String
    package var isDeleted: Bool
    package var state: String?
    package var sequence: String
    package var orderKey: String
    /// The row of the view as JSON, its columns in their order; `nil` for a deleted entity.
    package var row: [(column: String, value: String)]?
    /// In the order of order keys; `nil` without a timeline.
    package var events: [Event]?
    package var milestones: [Milestone] = []

    /// - Throws: `StoreError` for a projection that does not exist, or a key of another type.
    /// - Returns: `nil` for a key without events.
    package static func find(
        _ key: [String],
        of projection: String,
        on connection: Connection
    ) async throws -> EntityHistory? {
        guard let (table, columns, hasTimeline) = try await Inspection.key(of: projection, on: connection) else {
            throw Inspection.unknown(projection)
        }
        guard key.count == columns.count else {
            let names = columns.map(\.name).joined(separator: ", ")
            throw StoreError(
                .failed,
                "the key of \(projection) has \(columns.count) parts (\(names)), not \(key.count)"
            )
        }
        let view = table.split(separator: ".", maxSplits: 1).map { SQLText.identifier(String($0)) }
            .joined(separator: ".")
        guard let stored = try await ProjectionRegistry.stored(projection, on: connection) else {
            throw Inspection.unknown(projection)
        }
        let shape = try await EventShape.read(stored, of: projection, on: connection)
        let questions = EntityQuestions(projection: projection, view: view, key: columns, shape: shape)
        do {
            return try await questions.answer(key, hasTimeline: hasTimeline, on: connection)
        } catch let error as PostgresError where error.isDataException {
            let types = columns.map { "\($0.name) \($0.type)" }.joined(separator: ", ")
            throw StoreError(.failed, "the key given is none of this projection's: its parts are (\(types))")
        }
    }
}

/// The queries about one entity, with the names of its projection. Their parameters are the key's parts as text.
private struct EntityQuestions {
    private struct Head: Decodable {
        var key: String
        var isDeleted: Bool
        var state: String?
        var sequence: String
        var orderKey: String
    }

    let projection: String
    let view: String
    let key: [(name: String, type: String)]
    let shape: EventShape

    private func storage(_ suffix: String) -> String { RelationNames.storage(self.projection + suffix).sql }

    private func matching(_ alias: String) -> String { SQLText.match(self.key, of: alias) }

    private func keys(of alias: String) -> String {
        self.key.map { "\(alias).\(SQLText.identifier($0.name))" }.joined(separator: ", ")
    }

    func answer(_ key: [String], hasTimeline: Bool, on connection: Connection) async throws -> EntityHistory? {
        let parameters: [Parameter] = key.map { .text($0) }
        let found = try await connection.decode(
            """
            select jsonb_build_array(\(self.keys(of: "entity")))::text as key, _deleted as is_deleted, _state as state,
                _sequence as sequence, _order_key::text as order_key
            from \(self.storage("_entities")) as entity where \(self.matching("entity"))
            """,
            parameters,
            as: Head.self
        )
        guard let head = found.first else { return nil }
        var entity = EntityHistory(
            projection: self.projection,
            key: head.key,
            isDeleted: head.isDeleted,
            state: head.state,
            sequence: head.sequence,
            orderKey: head.orderKey
        )
        entity.row = try await self.row(parameters, on: connection)
        if hasTimeline { entity.events = try await connection.decode(self.events, parameters) }
        entity.milestones = try await connection.decode(self.milestones, parameters)
        return entity
    }

    private func row(
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws -> [(column: String, value: String)]? {
        // json, because jsonb loses the order of the columns.
        let found = try await connection.query(
            """
            select cell.key, cell.value::text from \(self.view) as shown
            cross join lateral json_each(to_json(shown)) with ordinality as cell(key, value, column_index)
            where \(self.matching("shown")) order by column_index
            """,
            parameters
        )
        guard found.rowCount > 0 else { return nil }
        let json = try await self.jsonColumns(parameters, on: connection)
        return try found.rows { row in
            let column = try found.text(row, 0) ?? ""
            return (column, try json[column] ?? found.text(row, 1) ?? "null")
        }
    }

    /// The row's `jsonb` columns whose JSON is ambiguous, in the form that images have: JSON null as `{"$json":null}`.
    private func jsonColumns(
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws -> [String: String] {
        let found = try await connection.query(
            """
            select attname::text from pg_catalog.pg_attribute
            where attrelid = $1::text::regclass and attnum > 0 and atttypid = 'jsonb'::regtype
            """,
            [.text(self.view)]
        )
        var columns: [String: String] = [:]
        for name in try found.texts() {
            let column = SQLText.identifier(name)
            let value = try await connection.query(
                """
                select '{"$json":' || \(column)::text || '}' from \(self.view) as shown
                where \(self.matching("shown"))
                    and \(column) is distinct from tidemark_internal.json_column(\(column))
                """,
                parameters
            )
            if value.rowCount == 1, let text = try value.text(0, 0) { columns[name] = text }
        }
        return columns
    }

    /// The events in the order of order keys, each with the row after it compared with the row before it. Those of one
    /// commit that were all applied arrived in this order too.
    private var events: String {
        let keys = self.key.map { SQLText.identifier($0.name) }.joined(separator: ", ")
        return """
            select version.order_key::text as order_key, version.sequence, \(ProjectionDDL.operation("version.op")) as operation,
                \(self.shape.state("event")) as state, version.event_time, event.received_at,
                case when event.order_key is not null then
                    rank() over (order by event.received_at)
                        + case when bool_or(event.late) over received then 0 else row_number() over ordered - 1 end
                end as arrival,
                case when event.order_key is not null then
                    rank() over (order by event.received_at) - 1
                        + case when bool_or(event.late) over received then count(*) over received else row_number() over ordered end
                end as last_arrival,
                coalesce(event.late, false) as is_late, \(self.shape.source("event")) as source, \(self.shape.position("event")) as position, (\(self.shape.image("event")))::text as image,
                to_jsonb(array_remove(event.missing, null))::text as missing,
                (
                    select coalesce(
                        json_agg(
                            json_build_object('column', name, 'old', old.value::text, 'new', new.value::text) order by name
                        ),
                        '[]'
                    )
                    from (
                        select jsonb_object_keys(coalesce(version.former, '{}'))
                        union
                        select jsonb_object_keys(coalesce(version.image, '{}'))
                    ) as names(name)
                    cross join lateral (select version.former -> name) as old(value)
                    cross join lateral (select version.image -> name) as new(value)
                    where version.op <> 'd' and old.value is distinct from new.value
                ) as changes
            from (
                select version.*, lag(version.image) over (order by version.order_key) as former
                from \(self.storage("_versions")) as version where \(self.matching("version"))
            ) as version
            left join \(self.storage("_events")) as event using (\(keys), order_key)
            window received as (partition by event.received_at), ordered as (received order by version.order_key)
            order by version.order_key
            """
    }

    private var milestones: String {
        """
        select reached.milestone as name, reached.state, reached.sequence, reached.reached_at, reached.muted as is_muted,
            (
                select coalesce(json_agg(sent order by sent.seq), '[]')
                from (
                    select seq, id, notifier, status, attempts, next_attempt_at, last_error, created_at, delivered_at
                    from tidemark_internal.deliveries
                    where projection = \(SQLText.literal(self.projection)) and milestone = reached.milestone
                        and key = jsonb_build_array(\(self.keys(of: "reached")))
                ) as sent
            ) as deliveries
        from \(self.storage("_milestones")) as reached where \(self.matching("reached"))
        order by reached.order_key, reached.milestone
        """
    }
}
