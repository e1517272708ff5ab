package import TidemarkCore

/// The statements that create a projection's relations.
package struct ProjectionDDL {
    private let plan: ProjectionPlan
    private let names: RelationNames

    package init(_ plan: ProjectionPlan) {
        self.plan = plan
        self.names = plan.names
    }

    /// Key columns in text compare by bytes, whatever the database's collation.
    private func declaration(_ name: String, _ type: ColumnType, isKey: Bool) -> String {
        let collation = isKey && (type.baseSQL == "text") ? " collate \"C\"" : ""
        return "\(SQLText.identifier(name)) \(type.sql)\(collation)"
    }

    private var keyDeclarations: String {
        self.plan.keyColumns.map { self.declaration($0.name, $0.type, isKey: true) + " not null" }
            .joined(separator: ",\n    ")
    }

    private var keys: String { self.plan.keyList.joined(separator: ", ") }

    /// Everything, storage and views, in the order of creation.
    package var create: [String] {
        var statements = ["create schema if not exists \(SQLText.identifier(self.plan.definition.schema))"]
        statements += [self.entityStorage, self.milestoneStorage]
        if self.plan.keepsTimeline { statements.append(self.eventStorage) }
        return statements + self.views
    }

    /// The views alone: replaced when a column has been added.
    package var views: [String] {
        var statements = [self.orders, self.milestones]
        if self.plan.keepsTimeline { statements += [self.timeline, self.history, self.anomalies] }
        return statements + self.comments
    }

    package var dropViews: [String] {
        let views = [
            self.names.anomalies, self.names.history, self.names.timeline, self.names.milestones, self.names.orders,
        ]
        return views.map { "drop view if exists \($0.sql)" }
    }

    package func addColumn(_ name: String, _ type: ColumnType) -> String {
        "alter table \(self.names.entityStorage.sql) add column \(SQLText.identifier(name)) \(type.sql)"
    }

    private var entityStorage: String {
        let values = self.plan.valueList
        // Columns of fixed width first: what stands behind a text is found only by walking over it.
        let fixed = values.filter { $0.type.isFixedWidth }
        let ordered = fixed + values.filter { !$0.type.isFixedWidth }
        let declarations = ordered.map { self.declaration($0.name, $0.type, isKey: false) + ",\n    " }
        return """
            create table \(self.names.entityStorage.sql) (
                \(self.keyDeclarations),
                -- The replay that touched the entity last.
                _replay bigint not null,
                _event_time timestamptz,
                _deleted boolean not null,
                -- The high-water mark: the greatest order key seen.
                _order_key bytea not null,
                _sequence text not null,
                _state text,
                \(declarations.joined())primary key (\(self.keys))
            ) with (fillfactor = 70)
            """
    }

    private var milestoneStorage: String {
        """
        create table \(self.names.milestoneStorage.sql) (
            \(self.keyDeclarations),
            milestone text not null,
            state text,
            sequence text not null,
            order_key bytea not null,
            reached_at timestamptz not null default now(),
            muted boolean not null,
            primary key (\(self.keys), milestone)
        )
        """
    }

    private var eventStorage: String {
        """
        create table \(self.names.eventStorage.sql) (
            \(self.keyDeclarations),
            order_key bytea not null,
            sequence text not null,
            -- d, i, s or u: delete, insert, snapshot, update.
            op "char" not null,
            late boolean not null,
            state text,
            event_time timestamptz,
            received_at timestamptz not null default now(),
            source text not null,
            position text,
            -- Canonical JSON, kept as it was built: parsing it is left to whoever reads it.
            image text,
            primary key (\(self.keys), order_key)
        )
        """
    }

    // MARK: Views

    /// The configured columns in their configured order, the key first where the configuration does not place it.
    private var shownColumns: [String] {
        guard let columns = self.plan.definition.columns else { return self.plan.keyList }
        let configured = columns.map(\.name)
        let missing = self.plan.definition.key.filter { !configured.contains($0) }
        return (missing + configured).map(SQLText.identifier)
    }

    private var orders: String {
        var columns = self.shownColumns
        if self.plan.definition.columns == nil { columns += ["_state as state", "\"row\""] }
        columns += ["_sequence", "_event_time", "'{}'::text[] as _incomplete"]
        return """
            create or replace view \(self.names.orders.sql) as
            select \(columns.joined(separator: ", "))
            from \(self.names.entityStorage.sql)
            where not _deleted
            """
    }

    private var milestones: String {
        """
        create or replace view \(self.names.milestones.sql) as
        select \(self.keys), milestone, state, sequence, reached_at, muted
        from \(self.names.milestoneStorage.sql)
        """
    }

    private static let operation =
        "case op when 'd' then 'delete' when 'i' then 'insert' when 's' then 'snapshot' else 'update' end"

    private var timeline: String {
        """
        create or replace view \(self.names.timeline.sql) as
        select \(self.keys), sequence, order_key, \(Self.operation) as op, state, event_time, received_at, late, source,
            position, image::jsonb as image
        from \(self.names.eventStorage.sql)
        """
    }

    /// A column of a version, read back from the image of its event.
    private func imageColumn(_ name: String, _ type: ColumnType) -> String {
        let literal = SQLText.literal(name)
        // A JSON null is SQL's null here too, as it is in the row.
        return type == .jsonb
            ? "nullif(image -> \(literal), 'null'::jsonb) as \(SQLText.identifier(name))"
            : "(image ->> \(literal))::\(type.sql) as \(SQLText.identifier(name))"
    }

    private var history: String {
        let keys = Set(self.plan.definition.key)
        var columns: [String] = []
        if let configured = self.plan.definition.columns {
            columns = self.plan.definition.key.filter { key in !configured.contains { $0.name == key } }
                .map(SQLText.identifier)
            columns += configured.map {
                keys.contains($0.name) ? SQLText.identifier($0.name) : self.imageColumn($0.name, $0.type)
            }
        } else {
            columns = self.plan.keyList + ["state", "image as \"row\""]
        }
        columns += ["sequence as _sequence", "event_time as _event_time", "'{}'::text[] as _incomplete"]
        return """
            create or replace view \(self.names.history.sql) as
            select \(columns.joined(separator: ", ")), valid_from, valid_to
            from (
                select dated.*, lead(valid_from) over (partition by \(self.keys) order by order_key) as valid_to
                from (
                    select \(self.keys), order_key, sequence, op, state, event_time, image::jsonb as image,
                        max(event_time) over (partition by \(self.keys) order by order_key) as valid_from
                    from \(self.names.eventStorage.sql)
                ) as dated
            ) as versions
            where op <> 'd'
            """
    }

    /// Views over what is kept, so that they converge: events at one sequence that differ, and states outside the
    /// lifecycle.
    private var anomalies: String {
        let keyJSON = "jsonb_build_array(\(self.keys))"
        let name = SQLText.literal(self.plan.name)
        let own = self.plan.keyList.map { "event.\($0)" }
        var parts = [
            """
            select \(name)::text as projection, jsonb_build_array(\(own.joined(separator: ", "))) as key,
                'conflict'::text as kind, event.sequence,
                'events at this sequence differ; the one with the greatest order key counts' as detail
            from \(self.names.eventStorage.sql) as event
            join \(self.names.eventStorage.sql) as other
                on \(self.plan.keyList.map { "other.\($0) = event.\($0)" }.joined(separator: " and "))
                and other.sequence = event.sequence and other.order_key > event.order_key
            where event.op <> 'd' and other.op <> 'd'
                and (
                    event.state is distinct from other.state
                    or tidemark_internal.differ(event.image, other.image)
                )
            group by \(own.joined(separator: ", ")), event.sequence
            """
        ]
        if let states = self.plan.definition.lifecycle?.states {
            let known = states.sorted().map(SQLText.literal).joined(separator: ", ")
            parts.append(
                """
                select \(name)::text, \(keyJSON), 'unknown_state'::text, sequence,
                    'state ' || state || ' is not in the lifecycle'
                from \(self.names.eventStorage.sql)
                where state <> all (array[\(known)]::text[])
                """
            )
        }
        return "create or replace view \(self.names.anomalies.sql) as\n" + parts.joined(separator: "\nunion all\n")
    }

    private var comments: [String] {
        let name = SQLText.literal(self.plan.name).dropFirst().dropLast()
        var comments = [
            "comment on view \(self.names.orders.sql) is 'Tidemark projection \(name): the live entities, each as its greatest event left it.'",
            "comment on column \(self.names.orders.sql)._sequence is 'The sequence of the event that the row shows.'",
            "comment on column \(self.names.orders.sql)._event_time is 'The producer''s timestamp of that event.'",
            "comment on column \(self.names.orders.sql)._incomplete is 'Columns that no event has carried yet.'",
            "comment on view \(self.names.milestones.sql) is 'Tidemark projection \(name): milestones reached, each once and for ever; sequence is that of the least event known to imply it.'",
            "comment on table \(self.names.entityStorage.sql) is 'Tidemark projection \(name): storage of every entity, deleted ones included.'",
            "comment on table \(self.names.milestoneStorage.sql) is 'Tidemark projection \(name): storage of milestones.'",
        ]
        if self.plan.keepsTimeline {
            comments += [
                "comment on view \(self.names.timeline.sql) is 'Tidemark projection \(name): every distinct event seen. Order by the key and order_key for the order that counts, by received_at for the order of arrival.'",
                "comment on view \(self.names.history.sql) is 'Tidemark projection \(name): the versions of each entity in order-key order, each with the time it was valid.'",
                "comment on table \(self.names.eventStorage.sql) is 'Tidemark projection \(name): storage of the timeline.'",
            ]
        }
        return comments
    }
}

extension ColumnType {
    var isFixedWidth: Bool {
        switch self {
        case .numeric, .text, .varchar, .jsonb, .bytea: false
        default: true
        }
    }
}
