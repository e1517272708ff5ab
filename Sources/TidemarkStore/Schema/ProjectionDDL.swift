package import TidemarkCore

/// The statements that create a projection's relations.
package struct ProjectionDDL {
    let plan: ProjectionPlan
    let names: RelationNames

    /// - Parameter names: relation names other than the plan's own.
    package init(_ plan: ProjectionPlan, names: RelationNames? = nil) {
        self.plan = plan
        self.names = names ?? plan.names
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
        if self.plan.canIgnoreSnapshots { statements.append(self.ignoredIndex) }
        return statements + self.views + self.functions
    }

    /// The views alone: replaced when a column has been added.
    package var views: [String] {
        var statements = [self.orders, self.milestones]
        if self.plan.isContiguous { statements.append(self.gaps) }
        if self.plan.keepsTimeline { statements += [self.timeline, self.versions, self.history, self.anomalies] }
        let shown = self.names.views(of: self.plan).filter { $0.schema != RelationNames.storageSchema }
        return statements + shown.map { Self.readOnly($0.sql) } + self.comments
    }

    package func addColumn(_ name: String, _ type: ColumnType) -> String {
        "alter table \(self.names.entityStorage.sql) add column \(SQLText.identifier(name)) \(type.sql)"
    }

    package func alterColumn(_ name: String, _ type: ColumnType) -> String {
        "alter table \(self.names.entityStorage.sql) alter column \(SQLText.identifier(name)) type \(type.sql)"
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
    private var ignoredIndex: String {
        "create index on \(self.names.eventStorage.sql) (order_key) where \(ProjectionStatements.isIgnored)"
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
            -- Remarks on the event: bit 0, a doubtful delete; bit 1, an ignored snapshot row. Null without remarks,
            -- which takes no space.
            _remarks smallint,
            state text,
            event_time timestamptz,
            received_at timestamptz not null default now(),
            source text not null,
            position text,
            -- Canonical JSON as text, which is cheaper to write than jsonb; readers parse it.
            image text,
            -- The columns that the image lacks. Null for a complete one.
            missing text[],
            primary key (\(self.keys), order_key)
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
