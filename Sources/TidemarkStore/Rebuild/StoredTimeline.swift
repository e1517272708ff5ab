import Foundation
package import LibPQ
package import TidemarkCore

/// A moment at which no batch of a projection was being written. Everything that was committed before was received before,
/// and is visible in the snapshot.
package struct TimelineBoundary: Sendable {
    /// As PostgreSQL writes them.
    package var since: String
    package var snapshot: String

    var isBefore: String { "event.received_at < \(SQLText.literal(self.since))::timestamptz" }

    /// Received or changed since. `xmin` has the lower half of a transaction's number.
    var isChanged: String {
        """
        (
            event.received_at >= \(SQLText.literal(self.since))::timestamptz
            or not pg_catalog.pg_visible_in_snapshot(
                (
                    select (
                        (newest.id >> 32) - case when changed.id > newest.id & 4294967295 then 1 else 0 end << 32
                        | changed.id
                    )::text::xid8
                    from (select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint as id) as newest,
                        (select event.xmin::text::bigint as id) as changed
                ),
                \(SQLText.literal(self.snapshot))::pg_snapshot
            )
        )
        """
    }
}

/// Reads a projection's timeline in the order of keys and order keys. What was received before a moment is only pruned and
/// forgotten from, neither of which runs beside a rebuild, so its *n*th event stays the same, and an offset in it is a
/// number.
package struct StoredTimeline: Sendable {
    package let projection: String
    package let mapping: TimelineMapping
    /// The number of events.
    package private(set) var count: Int64
    /// A digest that shows whether an earlier run has read the same timeline.
    package private(set) var digest: String
    /// Names of the sources that events came from.
    package private(set) var sources: [String]
    /// Which of the events are read.
    private var condition: String
    private let key: [StoredDefinition.Part]
    let shape: EventShape
    /// `false` for storage of an earlier version, which has no remarks.
    private let hasRemarks: Bool

    /// Inspects the timeline, and checks that the next version can be made from it.
    /// - Parameters:
    ///   - boundary: only what was received before it is read.
    ///   - configured: the settings of a source; `nil` for one that is no longer configured.
    package init(
        of definition: ProjectionDefinition,
        before boundary: TimelineBoundary,
        sources configured: (String) -> SourceSettings?,
        on connection: Connection
    ) async throws {
        guard let old = try await ProjectionRegistry.stored(definition.name, on: connection) else {
            throw StoreError(
                .failed,
                "there is no projection \"\(definition.name)\" to rebuild; `tidemark replay` makes it"
            )
        }
        let readings = try await PassStore.readings(of: [definition.name], on: connection)
        let kind = readings.positionKinds[definition.name]
        self.mapping = try TimelineMapping(definition, from: old, units: readings.units[definition.name] ?? [:])
        if self.mapping.reading.keptParts > 0, let kind, definition.positionKind ?? kind != kind {
            throw TimelineMapping.lacking(definition.name, "its positions are of another kind, \(kind)")
        }
        self.projection = definition.name
        self.key = old.key
        self.shape = try await EventShape.read(old, of: definition.name, on: connection)
        self.condition = boundary.isBefore
        let events = RelationNames.storage(definition.name + "_events").sql
        let found = try await connection.query(
            """
            select count(*), coalesce(sum(hashtextextended(event::text, 0)), 0)::text,
                count(*) filter (where op = 'd' or \(self.shape.isErased("event"))), count(*) filter (where event_time is null)
            from \(events) as event
            where \(boundary.isBefore)
            """
        )
        self.hasRemarks =
            try await connection.query(
                """
                select from pg_catalog.pg_attribute
                where attrelid = $1::text::regclass and attname = '_remarks' and not attisdropped
                """,
                [.text(events)]
            ).rowCount > 0
        self.count = try found.int64(0, 0) ?? 0
        self.digest = try found.text(0, 1) ?? ""
        if self.mapping.needsImages, try found.int64(0, 2) ?? 0 > 0 {
            throw TimelineMapping.lacking(
                definition.name,
                "its deletes, and events that were erased, do not hold the columns that `sequence` names now"
            )
        }
        if self.mapping.needsEventTime, try found.int64(0, 3) ?? 0 > 0 {
            throw TimelineMapping.lacking(definition.name, "some of its events have no time for $event_time")
        }
        self.sources = []
        self.sources = try await self.counted(on: connection).map(\.source)
        try await self.refuseOtherSources(configured, on: connection)
        try await self.refuseGuessedTimes(definition, on: connection)
        try await self.refusePruned(on: connection)
    }

    /// What has been received or changed since a moment; `nil` where nothing has.
    /// - Complexity: reads the whole timeline.
    package func changes(since boundary: TimelineBoundary, on connection: Connection) async throws -> StoredTimeline? {
        var changes = self
        changes.condition = boundary.isChanged
        let sources = try await changes.counted(on: connection)
        guard !sources.isEmpty else { return nil }
        changes.sources = sources.map(\.source)
        changes.count = sources.reduce(0) { $0 + $1.count }
        // Read once, and never resumed.
        changes.digest = "changes since \(boundary.since)"
        return changes
    }

    /// The sources of the events that are read.
    private func counted(on connection: Connection) async throws -> [(source: String, count: Int64)] {
        let found = try await connection.query(
            """
            select \(self.shape.source("event")) as source, count(*) from \(self.eventStorage) as event
            where \(self.condition)
            group by 1
            order by 1
            """
        )
        return try found.rows { (try found.text($0, 0) ?? "", try found.int64($0, 1) ?? 0) }
    }

    var eventStorage: String { RelationNames.storage(self.projection + "_events").sql }

    private var keyList: [String] { self.key.map { SQLText.identifier($0.name) } }

    /// Refuses a timeline in which the greatest event of a row was pruned.
    private func refusePruned(on connection: Connection) async throws {
        let match = self.keyList.map { "event.\($0) = entity.\($0)" }.joined(separator: " and ")
        let count = try await connection.number(
            """
            select count(*)
            from \(RelationNames.storage(self.projection + "_entities").sql) as entity
            where _order_key <> \(ProjectionStatements.unmade)
                and not exists (
                    select from \(self.eventStorage) as event
                    where \(match) and event.order_key = entity._order_key
                )
                and not exists (
                    select from tidemark_internal.truncates as truncated
                    where truncated.projection = $1::text and truncated.order_key = entity._order_key
                )
            """,
            [.text(self.projection)]
        )
        guard count == 0 else {
            throw TimelineMapping.lacking(
                self.projection,
                "the events that \(count) of its entities show are gone from it (`tidemark prune`)"
            )
        }
    }

    // MARK: Reading

    /// The event of that number, from 1; `nil` for 0.
    package func event(number: Int64, on connection: Connection) async throws -> StoredEvent? {
        guard number > 0 else { return nil }
        let result = try await connection.query(
            "\(self.selection) order by \(self.order) offset $1::bigint limit 1",
            [.int64(number - 1)]
        )
        return result.rowCount == 1 ? try self.event(result, 0) : nil
    }

    /// The events after another, or the first ones.
    package func events(
        behind last: StoredEvent?,
        limit: Int,
        on connection: Connection
    ) async throws -> [StoredEvent] {
        var parameters: [Parameter] = []
        var condition = ""
        if let last {
            let bounds = self.key.enumerated().map { "$\($0.offset + 1)::text::\($0.element.type)" }
            condition = "and (\(self.order)) > (\(bounds.joined(separator: ", ")), $\(bounds.count + 1)::bytea)"
            parameters = last.key.map { .text($0) } + [.bytes(last.orderKey)]
        }
        let result = try await connection.query(
            "\(self.selection) \(condition) order by \(self.order) limit \(limit)",
            parameters
        )
        return try (0..<result.rowCount).map { try self.event(result, $0) }
    }

    /// Qualified names, because a bare name would mean the selected text: pages ordered by texts and bounded by values
    /// would skip events.
    private var order: String {
        (self.keyList + ["order_key"]).map { "event.\($0)" }.joined(separator: ", ")
    }

    /// The declared columns of an event's image; none where images are JSON.
    package var columns: [StoredColumn] {
        (self.shape.columns ?? []).map { StoredColumn($0.name, $0.type) }
    }

    /// The row as it is stored: of declared columns the text of each, and for those that not every event was read with
    /// whether this one was.
    private var selection: String {
        let columns = self.shape.columns ?? []
        let images =
            self.shape.columns == nil
            ? ["event.image::text"]
            : columns.map { Self.text("event.\($0.storage)", $0.type) }
                + columns.compactMap { $0.told.map { "event.\($0)" } }
        return """
            select \(self.keyList.map { "\($0)::text" }.joined(separator: ", ")), order_key,
                \(self.shape.sequence("event")) as sequence, op::text, \(self.shape.state("event")) as state, event_time,
                \(self.shape.source("event")) as source, \(self.shape.position("event")) as position,
                array_to_json(missing)::text, \(self.hasRemarks ? "_remarks" : "0")::int8, \(self.shape.isErased("event")),
                \(images.joined(separator: ",\n            "))
            from \(self.eventStorage) as event
            where \(self.condition)
            """
    }

    /// A value as ``StoredColumn/Form`` says.
    private static func text(_ value: String, _ type: ColumnType) -> String {
        guard case .jsonb = type else { return "\(value)::text" }
        return """
            case jsonb_typeof(\(value)) when 'string' then 's' || (\(value) #>> '{}') else ' ' || \(value)::text end
            """
    }

    private func event(_ result: QueryResult, _ row: Int) throws -> StoredEvent {
        let first = self.key.count
        let missing = try result.text(row, first + 7).map {
            try JSONDecoder().decode([String?].self, from: Data($0.utf8))
        }
        let operation = TidemarkCore.Operation(letter: try result.text(row, first + 2) ?? "u")
        let hasImage = try operation != .delete && result.bool(row, first + 9) != true
        return StoredEvent(
            key: try self.key.indices.map { try result.text(row, $0) ?? "" },
            orderKey: try result.bytes(row, first) ?? [],
            sequence: try result.text(row, first + 1) ?? "",
            operation: operation,
            state: try result.text(row, first + 3),
            eventTime: try result.timestamp(row, first + 4),
            source: try result.text(row, first + 5) ?? "",
            position: try result.text(row, first + 6),
            image: hasImage ? try self.image(result, row, from: first + 10, missing: missing ?? []) : nil,
            missing: missing?.compactMap(\.self),
            nullsOthers: missing?.contains(nil) ?? false,
            remarks: Remarks(rawValue: UInt8(truncatingIfNeeded: try result.int64(row, first + 8) ?? 0))
        )
    }

    /// - Parameters:
    ///   - first: the column of the result from which on it stands.
    ///   - missing: columns that the event does not carry.
    private func image(
        _ result: QueryResult,
        _ row: Int,
        from first: Int,
        missing: [String?]
    ) throws -> StoredImage? {
        guard let columns = self.shape.columns else { return try result.text(row, first).map { .json($0) } }
        var values = StoredValues(columns: columns.count)
        var told = first + columns.count
        for (index, column) in columns.enumerated() {
            var isCarried = true
            if column.told != nil {
                isCarried = try result.bool(row, told) ?? false
                told += 1
            }
            guard isCarried, missing.isEmpty || !missing.contains(column.name) else {
                values.appendAbsent()
                continue
            }
            result.withCell(row, first + index) { cell in
                if let cell { values.append(cell) } else { values.appendNull() }
            }
        }
        return .columns(values)
    }
}

extension TidemarkCore.Operation {
    /// The inverse of ``letter``.
    init(letter: String) {
        switch letter {
        case "d": self = .delete
        case "i": self = .insert
        case "s": self = .snapshot
        default: self = .update
        }
    }
}
