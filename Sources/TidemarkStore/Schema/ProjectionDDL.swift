package import TidemarkCore

/// The statements that create a projection's relations.
package struct ProjectionDDL {
    let plan: ProjectionPlan
    let names: RelationNames
    let shape: EventShape

    /// - Parameter names: relation names other than the plan's own.
    package init(_ plan: ProjectionPlan, names: RelationNames? = nil) {
        self.plan = plan
        self.names = names ?? plan.names
        self.shape = EventShape(plan)
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

    var keys: String { self.plan.keyList.joined(separator: ", ") }

    /// Creates the schema of the projection's table if it is missing.
    package var createSchema: String { SQLText.createMissing(schema: self.plan.definition.schema) }

    /// Creates storage and views, in the order of their dependencies.
    package var create: [String] {
        var statements = [self.entityStorage, self.milestoneStorage]
        if self.plan.keepsTimeline { statements.append(self.eventStorage) }
        if self.plan.canIgnoreSnapshots { statements.append(Self.ignoredIndex(on: self.names.eventStorage.sql)) }
        return statements + self.views + self.functions
    }

    /// The views alone: replaced when a column has been added.
    package var views: [String] {
        var statements = [self.orders, self.milestones]
        if self.plan.isContiguous { statements.append(self.gaps) }
        if self.plan.keepsTimeline {
            statements += [
                self.gathering, self.owningGathering, self.timeline, self.versions, self.history, self.anomalies,
            ]
        }
        let shown = self.names.views(of: self.plan).filter { $0.schema != RelationNames.storageSchema }
        return statements + shown.map { Self.readOnly($0.sql) } + self.comments
    }

    package func addColumn(_ name: String, _ type: ColumnType) -> String {
        let row = "alter table \(self.names.entityStorage.sql) add column \(SQLText.identifier(name)) \(type.sql)"
        guard self.plan.keepsTimeline else { return row }
        return row
            + ";\nalter table \(self.names.eventStorage.sql) add column \(EventShape.storage(of: name)) \(type.sql)"
    }

    /// Marks the events that are seen from now on as read with a column.
    func markLate(_ name: String) -> String {
        "alter table \(self.names.eventStorage.sql) add column if not exists \(EventShape.told(name)) boolean"
    }

    /// Keeps the sequences of events whose column is about to tell them no more, because it gets another type or is
    /// configured no more.
    func keepSequences(of name: String) -> String {
        let column = EventShape.storage(of: name)
        return """
            update \(self.names.eventStorage.sql) set sequence = \(column)::text
            where sequence is null and \(column) is not null
            """
    }

    /// Keeps the states of events whose column is about to be configured no more.
    func keepStates(of name: String) -> String {
        let column = EventShape.storage(of: name)
        return
            "update \(self.names.eventStorage.sql) set state = \(column) where state is null and \(column) is not null"
    }

    /// Marks the events that have been seen so far as read with a column, before it is configured no more. No row is
    /// rewritten for it.
    func markRetired(_ name: String) -> String {
        let (events, told) = (self.names.eventStorage.sql, EventShape.told(name))
        return """
            alter table \(events) add column if not exists \(told) boolean default true;
            alter table \(events) alter column \(told) drop default
            """
    }

    package func alterColumn(_ name: String, _ type: ColumnType) -> String {
        let row =
            "alter table \(self.names.entityStorage.sql) alter column \(SQLText.identifier(name)) type \(type.sql)"
        guard self.plan.keepsTimeline else { return row }
        let events = self.names.eventStorage.sql
        return row + ";\nalter table \(events) alter column \(EventShape.storage(of: name)) type \(type.sql)"
    }

    private var entityStorage: String {
        let values = self.plan.valueList
        // Columns of fixed width first, because their offsets are constant only before the first text.
        let fixed = values.filter { $0.type.isFixedWidth }
        let ordered = fixed + values.filter { !$0.type.isFixedWidth }
        let declarations = ordered.map { self.declaration($0.name, $0.type, isKey: false) + ",\n    " }
        var own: [String] = []
        if self.plan.isContiguous {
            own += [
                "-- Versions seen; each is the range up to the next one.", "_seen nummultirange not null default '{}',",
            ]
        }
        if self.plan.truncatesDelete {
            own += ["-- The source tables of the entity's events: a truncate of one is a delete.", "_tables text[],"]
        }
        return """
            create table \(self.names.entityStorage.sql) (
                \(self.keyDeclarations),
                -- The pass that touched the entity last.
                _last_pass_id bigint not null,
                _event_time timestamptz,
                _deleted boolean not null,
                -- The high-water mark: the greatest order key seen.
                _order_key bytea not null,
                _sequence text not null,
                _state text,
                -- The origin event of each column, where it is not that of the high-water mark.
                _column_keys jsonb,
                _incomplete text[],
                \(own.map { $0 + "\n    " }.joined())\(declarations.joined())primary key (\(self.keys))
            )
            -- Room for a new version of each row: one batch may update all rows of a page, and HOT needs them on it.
            with (fillfactor = 50)
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

    /// A partial index with few rows, by which `status` counts ignored snapshot rows without reading the timeline.
    static func ignoredIndex(on events: String) -> String {
        "create index on \(events) (order_key) where \(ProjectionStatements.isIgnored)"
    }

    private var eventStorage: String {
        let keys = self.plan.keyColumns.map { self.declaration($0.name, $0.type, isKey: true) + " not null" }
        let shape = self.shape
        return Self.eventStorage(self.names.eventStorage.sql, keys, self.plan.keyList, shape, shape.columns ?? [])
    }

    /// - Parameters:
    ///   - keys: the declarations of the key's columns.
    ///   - keyList: their names, quoted.
    static func eventStorage(
        _ table: String,
        _ keys: [String],
        _ keyList: [String],
        _ shape: EventShape,
        _ columns: [EventShape.Column]
    ) -> String {
        func declarations(_ isChosen: (Int?) -> Bool) -> String {
            columns.filter { isChosen($0.type.alignment) }.map { "\($0.storage) \($0.type.sql),\n    " }.joined()
        }
        let told = columns.compactMap(\.told).map { "\($0) boolean,\n    " }.joined()
        return """
            create table \(table) (
                \(keys.joined(separator: ",\n    ")),
                event_time timestamptz,
                received_at timestamptz not null default now(),
                -- What the event carries, in the order that leaves no gaps: a column for each that is configured.
                \(declarations { $0 == 8 })\(declarations { $0 == 4 })-- In tidemark_internal.origins.
                _origin integer not null,
                -- Remarks on the event: bit 0, a doubtful delete; bit 1, an ignored snapshot row; bit 2, erased. Null without
                -- remarks, which takes no space.
                _remarks smallint,
                \(declarations { $0 == 2 })-- d, i, s or u: delete, insert, snapshot, update.
                op "char" not null,
                late boolean not null,
                \(declarations { $0 == 1 })\(told)order_key bytea not null,
                -- Where a column tells the sequence, null.
                sequence text,
                -- Where a column tells the state, null.
                state text,
                -- The half bytes behind the origin's prefix; or the position whole, where it cannot be packed.
                position bytea,
                _position text,
                \(declarations { $0 == nil })\(shape.holdsImage
                    ? "-- Canonical JSON as text, which is cheaper to write than jsonb; readers parse it.\n    image text,\n    " : "")\
            -- The columns that the event lacks. Null for a complete one.
                missing text[],
                primary key (\(keyList.joined(separator: ", ")), order_key)
            )
            """
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
