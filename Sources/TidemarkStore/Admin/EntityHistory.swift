package import LibPQ

/// The history of one entity: its row, events, milestones and deliveries.
package struct EntityHistory: Sendable {
    /// A value of a column that an event changed, both in JSON; `old` is missing where the column was not there before.
    package struct Change: Sendable, Hashable {
        package var column: String
        package var old: String?
        package var new: String?
    }

    /// Times are ISO 8601 in UTC.
    package struct Event: Sendable {
        package var orderKey: String
        package var sequence: String
        package var operation: String
        package var state: String?
        package var eventTime: String?
        /// `nil`, as are the other members about arrival, for a truncate of the table.
        package var receivedAt: String?
        /// Rank in the order of arrival, from 1.
        package var arrival: Int?
        package var isLate: Bool
        package var source: String?
        package var position: String?
        /// The columns that the event carries, in JSON.
        package var image: String?
        /// The columns that the event lacks, as a JSON array; `nil` when it carries all.
        package var missing: String?
        /// The changes compared with the event before it in the order of order keys.
        package var changes: [Change] = []
    }

    package struct Milestone: Sendable {
        package var name: String
        package var state: String?
        package var sequence: String
        package var reachedAt: String
        package var isMuted: Bool
        package var deliveries: [Delivery] = []
    }

    package struct Delivery: Sendable {
        package var id: String
        package var milestone: String
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
        let questions = EntityQuestions(projection: projection, table: table, key: columns)
        do throws(PostgresError) {
            return try await questions.answer(key, hasTimeline: hasTimeline, on: connection)
        } catch {
            guard error.isDataException else { throw error }
            let types = columns.map { "\($0.name) \($0.type)" }.joined(separator: ", ")
            throw StoreError(.failed, "the key given is none of this projection's: its parts are (\(types))")
        }
    }
}

/// The queries about one entity, with the names of its projection.
private struct EntityQuestions {
    let projection: String
    let view: String
    private let key: [(name: String, type: String)]

    init(projection: String, table: String, key: [(name: String, type: String)]) {
        self.projection = projection
        self.view = table.split(separator: ".", maxSplits: 1).map { SQLText.identifier(String($0)) }
            .joined(separator: ".")
        self.key = key
    }

    private func storage(_ suffix: String) -> String {
        SQLText.identifier(RelationNames.storageSchema) + "." + SQLText.identifier(self.projection + suffix)
    }

    private func matching(_ alias: String) -> String {
        self.key.enumerated().map { index, column in
            "\(alias).\(SQLText.identifier(column.name)) = $\(index + 1)::text::\(column.type)"
        }.joined(separator: " and ")
    }

    private static func time(_ column: String) -> String { "to_jsonb(\(column)) #>> '{}'" }

    func answer(
        _ key: [String],
        hasTimeline: Bool,
        on connection: Connection
    ) async throws(PostgresError) -> EntityHistory? {
        let parameters: [Parameter] = key.map { .text($0) }
        let keyList = self.key.map { "entity.\(SQLText.identifier($0.name))" }.joined(separator: ", ")
        let found = try await connection.query(
            """
            select jsonb_build_array(\(keyList))::text, _deleted, _state, _sequence, _order_key::text
            from \(self.storage("_entities")) as entity where \(self.matching("entity"))
            """,
            parameters
        )
        guard found.rowCount == 1 else { return nil }
        var entity = EntityHistory(
            projection: self.projection,
            key: try found.text(0, 0) ?? "[]",
            isDeleted: try found.bool(0, 1) ?? false,
            state: try found.text(0, 2),
            sequence: try found.text(0, 3) ?? "",
            orderKey: try found.text(0, 4) ?? ""
        )
        entity.row = try await self.row(parameters, on: connection)
        if hasTimeline { entity.events = try await self.events(parameters, on: connection) }
        entity.milestones = try await self.milestones(parameters, key: entity.key, on: connection)
        return entity
    }

    private func row(
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws(PostgresError) -> [(column: String, value: String)]? {
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
        var cells: [(column: String, value: String)] = []
        for row in 0..<found.rowCount {
            let column = try found.text(row, 0) ?? ""
            let value = try found.text(row, 1) ?? "null"
            cells.append((column, json[column] ?? value))
        }
        return cells
    }

    /// The row's `jsonb` columns whose JSON is ambiguous, in the form that images have: JSON null as `{"$json":null}`.
    private func jsonColumns(
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws(PostgresError) -> [String: String] {
        let found = try await connection.query(
            """
            select attname::text from pg_catalog.pg_attribute
            where attrelid = $1::text::regclass and attnum > 0 and atttypid = 'jsonb'::regtype
            """,
            [.text(self.view)]
        )
        var columns: [String: String] = [:]
        for row in 0..<found.rowCount {
            let name = try found.text(row, 0) ?? ""
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

    // MARK: Events

    private func events(
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws(PostgresError) -> [EntityHistory.Event] {
        let keys = self.key.map { SQLText.identifier($0.name) }.joined(separator: ", ")
        // The events of one commit were written in the order of their arrival.
        let found = try await connection.query(
            """
            select version.order_key::text, version.sequence,
                case version.op when 'd' then 'delete' when 'i' then 'insert' when 's' then 'snapshot' else 'update' end,
                event.state, \(Self.time("version.event_time")), \(Self.time("event.received_at")),
                case when event.order_key is not null then
                    row_number() over (order by event.received_at, event.ctid)
                end,
                coalesce(event.late, false), event.source, event.position, event.image, to_jsonb(array_remove(event.missing, null))::text
            from \(self.storage("_versions")) as version
            left join \(self.storage("_events")) as event using (\(keys), order_key)
            where \(self.matching("version"))
            order by version.order_key
            """,
            parameters
        )
        var events: [EntityHistory.Event] = []
        var indices: [String: Int] = [:]
        for row in 0..<found.rowCount {
            let orderKey = try found.text(row, 0) ?? ""
            indices[orderKey] = events.count
            events.append(
                EntityHistory.Event(
                    orderKey: orderKey,
                    sequence: try found.text(row, 1) ?? "",
                    operation: try found.text(row, 2) ?? "",
                    state: try found.text(row, 3),
                    eventTime: try found.text(row, 4),
                    receivedAt: try found.text(row, 5),
                    arrival: try found.int64(row, 6).map { Int($0) },
                    isLate: try found.bool(row, 7) ?? false,
                    source: try found.text(row, 8),
                    position: try found.text(row, 9),
                    image: try found.text(row, 10),
                    missing: try found.text(row, 11)
                )
            )
        }
        for (orderKey, change) in try await self.changes(parameters, on: connection) {
            guard let index = indices[orderKey] else { continue }
            events[index].changes.append(change)
        }
        return events
    }

    /// The changes of each event: the row after it compared with the row before it.
    private func changes(
        _ parameters: [Parameter],
        on connection: Connection
    ) async throws(PostgresError) -> [(orderKey: String, change: EntityHistory.Change)] {
        let found = try await connection.query(
            """
            select order_key::text, name, old.value::text, new.value::text
            from (
                select version.order_key, version.op, version.image,
                    lag(version.image) over (order by version.order_key) as former
                from \(self.storage("_versions")) as version
                where \(self.matching("version"))
            ) as step
            cross join lateral (
                select jsonb_object_keys(coalesce(step.former, '{}'))
                union
                select jsonb_object_keys(coalesce(step.image, '{}'))
            ) as names(name)
            cross join lateral (select step.former -> name) as old(value)
            cross join lateral (select step.image -> name) as new(value)
            where step.op <> 'd' and old.value is distinct from new.value
            order by step.order_key, name
            """,
            parameters
        )
        var changes: [(orderKey: String, change: EntityHistory.Change)] = []
        for row in 0..<found.rowCount {
            let change = EntityHistory.Change(
                column: try found.text(row, 1) ?? "",
                old: try found.text(row, 2),
                new: try found.text(row, 3)
            )
            changes.append((try found.text(row, 0) ?? "", change))
        }
        return changes
    }

    // MARK: Milestones

    private func milestones(
        _ parameters: [Parameter],
        key: String,
        on connection: Connection
    ) async throws(PostgresError) -> [EntityHistory.Milestone] {
        let found = try await connection.query(
            """
            select milestone, state, sequence, \(Self.time("reached_at")), muted
            from \(self.storage("_milestones")) as reached where \(self.matching("reached"))
            order by order_key, milestone
            """,
            parameters
        )
        let deliveries = try await self.deliveries(key: key, on: connection)
        var milestones: [EntityHistory.Milestone] = []
        for row in 0..<found.rowCount {
            let name = try found.text(row, 0) ?? ""
            milestones.append(
                EntityHistory.Milestone(
                    name: name,
                    state: try found.text(row, 1),
                    sequence: try found.text(row, 2) ?? "",
                    reachedAt: try found.text(row, 3) ?? "",
                    isMuted: try found.bool(row, 4) ?? false,
                    deliveries: deliveries.filter { $0.milestone == name }
                )
            )
        }
        return milestones
    }

    private func deliveries(
        key: String,
        on connection: Connection
    ) async throws(PostgresError) -> [EntityHistory.Delivery] {
        let found = try await connection.query(
            """
            select id::text, milestone, notifier, status, attempts, \(Self.time("next_attempt_at")), last_error,
                \(Self.time("created_at")), \(Self.time("delivered_at"))
            from tidemark_internal.deliveries
            where projection = $1::text and key = $2::text::jsonb
            order by seq
            """,
            [.text(self.projection), .text(key)]
        )
        var deliveries: [EntityHistory.Delivery] = []
        for row in 0..<found.rowCount {
            deliveries.append(
                EntityHistory.Delivery(
                    id: try found.text(row, 0) ?? "",
                    milestone: try found.text(row, 1) ?? "",
                    notifier: try found.text(row, 2) ?? "",
                    status: try found.text(row, 3) ?? "",
                    attempts: Int(try found.int32(row, 4) ?? 0),
                    nextAttemptAt: try found.text(row, 5),
                    lastError: try found.text(row, 6),
                    createdAt: try found.text(row, 7) ?? "",
                    deliveredAt: try found.text(row, 8)
                )
            )
        }
        return deliveries
    }
}
