package import LibPQ
import TidemarkCore

/// Turns a timeline of the form that versions before the twentieth of the schema made, with texts and JSON images, into
/// one with a column for each declared column and numbers for origins.
///
/// The events are copied into a table beside it in transactions of some thousands each, in the order of the primary key;
/// a conversion that was interrupted goes on behind the last one. Then, with batches waiting, what was written meanwhile is
/// copied, and the tables change places. Readers are locked out for that last moment alone.
package struct TimelineConversion {
    private let projection: String
    private let stored: StoredDefinition
    /// Columns that are configured no more are among them.
    private let columns: [EventShape.Column]
    private let shape: EventShape
    private let hasRemarks: Bool
    var copy: TimelineCopy

    private var old: String { self.copy.old }
    private var new: String { self.copy.new.sql }

    /// - Returns: `nil` where there is nothing to convert.
    package init?(_ projection: String, on connection: Connection) async throws {
        guard try await EventShape.isFormer(projection, on: connection),
            let stored = try await ProjectionRegistry.stored(projection, on: connection), stored.timeline
        else { return nil }
        let own = try await Self.columns(of: RelationNames.storage(projection + "_events").sql, on: connection)
        self.projection = projection
        self.stored = stored
        self.hasRemarks = own.contains { $0.name == "_remarks" }
        self.shape = EventShape(stored)
        self.copy = TimelineCopy(projection, stored, for: .conversion)
        guard let declared = stored.columns else {
            self.columns = []
            return
        }
        let known = Set(declared.map(\.name) + stored.key.map(\.name))
        let rows = try await Self.columns(of: RelationNames.storage(projection + "_entities").sql, on: connection)
        let retired = rows.filter { !$0.name.hasPrefix("_") && !known.contains($0.name) }
        self.columns =
            (self.shape.columns ?? [])
            + retired.map { name, type in
                EventShape.Column(
                    name: name,
                    type: ColumnType(type) ?? .text,
                    storage: EventShape.storage(of: name),
                    told: EventShape.told(name)
                )
            }
    }

    private static func columns(of table: String, on connection: Connection) async throws -> [(
        name: String, type: String
    )] {
        let found = try await connection.query(
            """
            select attname::text, replace(format_type(atttypid, atttypmod), 'character varying', 'varchar')
            from pg_catalog.pg_attribute
            where attrelid = to_regclass($1::text) and attnum > 0 and not attisdropped
            order by attnum
            """,
            [.text(table)]
        )
        return try found.rows { (try found.text($0, 0) ?? "", try found.text($0, 1) ?? "") }
    }

    private var keys: [String] { self.copy.keys }

    // MARK: Copying

    /// Copies all but what is written meanwhile, outside of a transaction.
    package func copyEvents(on connection: Connection) async throws {
        try await connection.transaction("begin; \(Migrator.lock)") {
            // Another process may have converted it meanwhile.
            guard try await EventShape.isFormer(self.projection, on: connection) else { return }
            guard try await !self.copy.isThere(on: connection) else { return }
            try await self.copy.create(self.create, on: connection)
        }
        while try await EventShape.isFormer(self.projection, on: connection) {
            let page = try await self.copy.nextPage(on: connection)
            _ = try await connection.query(self.origins(of: page.events), page.parameters)
            let copied = try await connection.query(self.insert(from: page.events), page.parameters)
            guard copied.affectedRows > 0 else { break }
        }
    }

    private var create: String {
        let keys = self.stored.key.map { part in
            let collation = ColumnType(part.type)?.baseSQL == "text" ? " collate \"C\"" : ""
            return "\(SQLText.identifier(part.name)) \(part.type)\(collation) not null"
        }
        let table = ProjectionDDL.eventStorage(self.new, keys, self.keys, self.shape, self.columns)
        let countsIgnored = self.stored.sequence.first?.name == "$position"
        return countsIgnored ? table + ";\n" + ProjectionDDL.ignoredIndex(on: self.new) : table
    }

    /// Copies events.
    /// - Parameter source: the events, as a relation or a subquery.
    private func insert(from source: String) -> String {
        var names = self.keys
        var values = self.keys.map { "event.\($0)" }
        for column in self.columns {
            let literal = SQLText.literal(column.name)
            names.append(column.storage)
            values.append(
                column.type == .jsonb
                    ? "tidemark_internal.json_column(parsed.image -> \(literal))"
                    : "(parsed.image ->> \(literal))::\(column.type.sql)"
            )
            guard let told = column.told else { continue }
            names.append(told)
            values.append("nullif(parsed.image ? \(literal), false)")
        }
        if self.shape.holdsImage {
            names.append("image")
            values.append("event.image")
        }
        names += [
            "state", "sequence", "order_key", "op", "late", "event_time", "received_at", "_origin", "position",
            "_position", "missing", "_remarks",
        ]
        let remarks = self.hasRemarks ? "event._remarks" : "null::smallint"
        values += [
            self.state, self.sequence, "event.order_key", "event.op", "event.late",
            "event.event_time", "event.received_at", "coalesce(origin.id, whole.id)",
            """
            case when origin.id is not null
                then tidemark_internal.pack_position(substr(event.position, length(origin.prefix) + 1)) end
            """,
            "case when origin.id is null then event.position end", "event.missing",
            """
            case
                when event.op <> 'd' and event.image is null then coalesce(\(remarks), 0) | \(Remarks.erased.rawValue)
                else \(remarks)
            end
            """,
        ]
        return """
            insert into \(self.new) (\(names.joined(separator: ", ")))
            select \(values.joined(separator: ", "))
            from \(source) as event
            \(self.shape.holdsImage ? "" : "cross join lateral (select event.image::jsonb as image offset 0) as parsed")
            left join tidemark_internal.origins as origin
                on origin.source = event.source and origin.prefix = tidemark_internal.position_prefix(event.position)
            join tidemark_internal.origins as whole on whole.source = event.source and whole.prefix = ''
            on conflict do nothing
            """
    }

    /// Null where the event's own column tells the state: a column that was configured late does not tell that of the
    /// events before.
    private var state: String {
        guard let column = self.shape.stateColumn else { return "event.state" }
        return "nullif(event.state, parsed.image ->> \(SQLText.literal(column.name)))"
    }

    /// Null where the event's own column tells the sequence.
    private var sequence: String {
        guard let column = self.shape.sequenceColumn else { return "event.sequence" }
        return "nullif(event.sequence, parsed.image ->> \(SQLText.literal(column.name)))"
    }

    /// Numbers the origins of events, before they are copied.
    private func origins(of source: String) -> String {
        """
        select tidemark_internal.origin(source, prefix)
        from (
            select event.source, tidemark_internal.position_prefix(event.position) as prefix from \(source) as event
            union
            select event.source, '' from \(source) as event
        ) as named
        where prefix is not null
        """
    }

    // MARK: Taking the place

    /// Copies what was written, pruned and forgotten meanwhile. Batches of the projection wait from here until the end of
    /// the transaction; readers do not.
    func catchUp(on connection: Connection) async throws {
        try await ProjectionLocks.lockOperationsWithin(self.projection, on: connection)
        try await ProjectionLocks.raiseRevision(self.projection, on: connection)
        let match = self.copy.match("kept", "event")
        let missing =
            "(select * from \(self.old) as event where not exists (select from \(self.new) as kept where \(match)))"
        let remarks = self.hasRemarks ? "event._remarks" : "null::smallint"
        try await connection.execute(
            """
            delete from \(self.new) as kept
            where not exists (
                select from \(self.old) as event
                where \(match)
                    and (
                        event.op = 'd' or event.image is not null
                        or coalesce(kept._remarks, 0) & \(Remarks.erased.rawValue) <> 0
                    )
            );
            select tidemark_internal.origin(source, '') from (select distinct source from \(self.old)) as named;
            \(self.origins(of: missing));
            \(self.insert(from: missing));
            -- Of a repeated event the earliest copy is shown.
            update \(self.new) as kept
            set (event_time, op, _origin, position, _position) = (event.event_time, event.op, whole.id, null, event.position),
                _remarks = nullif(coalesce(kept._remarks, 0) | coalesce(\(remarks), 0), 0)
            from \(self.old) as event
            join tidemark_internal.origins as whole on whole.source = event.source and whole.prefix = ''
            where \(match)
                and (
                    (kept.event_time, kept.op, \(self.shape.source("kept")), \(self.shape.position("kept")))
                        is distinct from (event.event_time, event.op, event.source, event.position)
                    or coalesce(kept._remarks, 0) | coalesce(\(remarks), 0) <> coalesce(kept._remarks, 0)
                );
            analyze \(self.new)
            """
        )
    }
}
