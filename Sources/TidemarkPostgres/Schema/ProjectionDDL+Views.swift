import TidemarkCore

/// The views that users query, and those that they are made of.
extension ProjectionDDL {
    /// The configured columns in their configured order, the key first where the configuration does not place it.
    private var shownColumns: [String] {
        guard let columns = self.plan.definition.columns else { return self.plan.keyList }
        let configured = columns.map(\.name)
        let missing = self.plan.definition.key.filter { !configured.contains($0) }
        return (missing + configured).map(SQLText.identifier)
    }

    private func matching(_ left: String, _ right: String) -> String {
        self.plan.keyList.map { "\(left).\($0) = \(right).\($0)" }.joined(separator: " and ")
    }

    private func keys(of row: String) -> String {
        self.plan.keyList.map { "\(row).\($0)" }.joined(separator: ", ")
    }

    /// The truncates of the tables that an entity's events came from.
    private func truncates(of entity: String) -> String {
        """
        from tidemark_internal.truncates as truncated
        where truncated.projection = \(SQLText.literal(self.plan.name))
            and truncated.source_table = any (\(entity)._tables)
        """
    }

    var orders: String {
        var columns = self.shownColumns
        if self.plan.definition.columns == nil { columns += ["_state as state", "\"row\""] }
        columns += ["_sequence", "_event_time", "coalesce(_incomplete, '{}') as _incomplete"]
        let truncates =
            self.plan.truncatesDelete
            ? "\n    and not exists (\n        select \(self.truncates(of: "entity"))"
                + "\n            and truncated.order_key > entity._order_key\n    )" : ""
        return """
            create or replace view \(self.names.orders.sql) as
            select \(columns.joined(separator: ", "))
            from \(self.names.entityStorage.sql) as entity
            where not _deleted\(truncates)
            """
    }

    var milestones: String {
        """
        create or replace view \(self.names.milestones.sql) as
        select \(self.keys), milestone, state, sequence, reached_at, muted
        from \(self.names.milestoneStorage.sql)
        """
    }

    /// What is missing between the first version that counts and the greatest seen.
    var gaps: String {
        let first = self.plan.definition.contiguous == .fromFirst ? "lower(_seen)" : "1"
        return """
            create or replace view \(self.names.gaps.sql) as
            select \(self.keys), lower(gap) as first, upper(gap) - 1 as last
            from \(self.names.entityStorage.sql),
                unnest(nummultirange(numrange(\(first), greatest(\(first), upper(_seen)))) - _seen) as gap
            where _order_key <> \(ProjectionStatements.unmade)
            """
    }

    private static let operation =
        "case op when 'd' then 'delete' when 'i' then 'insert' when 's' then 'snapshot' else 'update' end"

    var timeline: String {
        """
        create or replace view \(self.names.timeline.sql) as
        select \(self.keys), sequence, order_key, \(Self.operation) as op, state, event_time, received_at, late, source,
            position, image::jsonb as image
        from \(self.names.eventStorage.sql)
        """
    }

    // MARK: Versions

    /// The image of each event; where it lacks columns, completed from the events below it, down to the last delete or
    /// complete image. A delete, and a truncate that is one, is a version without an image.
    var versions: String {
        let columns = "\(self.keys), order_key, sequence, op, event_time"
        let truncates =
            self.plan.truncatesDelete
            ? """

            union all
            select \(self.keys(of: "entity")), truncated.order_key, truncated.position, 'd', truncated.event_time, null, null, '{}'
            from \(self.names.entityStorage.sql) as entity
            cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
            where truncated.order_key is not null
            """ : ""
        return """
            create or replace view \(self.names.versions.sql) as
            select \(columns),
                case when missing is null then state else merged ->> 'state' end as state,
                case when missing is null then image::jsonb else merged -> 'image' end as image,
                case
                    when missing is null then '{}'
                    else array(select jsonb_array_elements_text(merged -> 'incomplete'))
                end as incomplete
            from (
                select event.*, case when event.missing is not null then (\(self.merged)) end as merged
                from \(self.names.eventStorage.sql) as event
            ) as events\(truncates)
            """
    }

    /// The columns of the event and of those below it, each from the greatest that carries it.
    private var merged: String {
        let truncated =
            self.plan.truncatesDelete
            ? """
            (
                select truncated.order_key
                from \(self.names.entityStorage.sql) as entity
                cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
                where \(self.matching("entity", "event")) and truncated.order_key < event.order_key
                order by truncated.order_key desc
                limit 1
            )
            """ : "null"
        let incomplete =
            self.plan.valueColumns.map { columns in
                "select name from unnest(array[\(columns.map { SQLText.literal($0.name) }.joined(separator: ", "))]::text[]) as name"
            } ?? "select distinct unnest(missing) as name from life"
        let state =
            self.plan.stateColumn.map { column in
                """
                (
                    select state from life where \(SQLText.literal(column.name)) <> all (coalesce(missing, '{}'))
                    order by order_key desc limit 1
                )
                """
            } ?? "null"
        return """
            with base as (
                -- The last event that leaves nothing below it to look for.
                select below.order_key, below.op <> 'd' as is_image
                from \(self.names.eventStorage.sql) as below
                where \(self.matching("below", "event")) and below.order_key <= event.order_key
                    and (below.op = 'd' or below.missing is null)
                order by below.order_key desc
                limit 1
            ),
            floor as (
                select greatest(
                    coalesce((select order_key from base), '\\x'::bytea), coalesce(\(truncated), '\\x'::bytea)
                ) as order_key
            ),
            life as (
                select below.*
                from \(self.names.eventStorage.sql) as below, floor
                where \(self.matching("below", "event")) and below.order_key <= event.order_key
                    and below.order_key >= floor.order_key and below.op <> 'd'
            ),
            field as (
                select distinct on (carried.key) carried.key as name, carried.value
                from life
                cross join lateral jsonb_each(life.image::jsonb) as carried
                order by carried.key, life.order_key desc
            )
            select jsonb_build_object(
                'image', (select coalesce(jsonb_object_agg(name, value), '{}') from field),
                'state', \(state),
                'incomplete', (
                    select coalesce(jsonb_agg(name order by name collate "C"), '[]')
                    from (\(incomplete)) as wanted
                    where not exists (select from life where life.missing is null)
                        and name not in (select name from field)
                )
            )
            """
    }

    /// A column of a version, read back from the image of its event.
    func imageColumn(_ name: String, _ type: ColumnType) -> String {
        let literal = SQLText.literal(name)
        // A JSON null is SQL's null here too, as it is in the row.
        return type == .jsonb
            ? "nullif(image -> \(literal), 'null'::jsonb) as \(SQLText.identifier(name))"
            : "(image ->> \(literal))::\(type.sql) as \(SQLText.identifier(name))"
    }

    /// The columns of the read model as a version has them.
    var versionColumns: [String] {
        let keys = Set(self.plan.definition.key)
        guard let configured = self.plan.definition.columns else {
            return self.plan.keyList + ["state", "image as \"row\""]
        }
        return self.plan.definition.key.filter { key in !configured.contains { $0.name == key } }
            .map(SQLText.identifier)
            + configured.map {
                keys.contains($0.name) ? SQLText.identifier($0.name) : self.imageColumn($0.name, $0.type)
            }
    }

    var history: String {
        let columns =
            self.versionColumns
            + ["sequence as _sequence", "event_time as _event_time", "incomplete as _incomplete"]
        return """
            create or replace view \(self.names.history.sql) as
            select \(columns.joined(separator: ", ")), valid_from, valid_to
            from (
                select dated.*, lead(valid_from) over (partition by \(self.keys) order by order_key) as valid_to
                from (
                    select version.*, max(event_time) over (partition by \(self.keys) order by order_key) as valid_from
                    from \(self.names.versions.sql) as version
                ) as dated
            ) as versions
            where op <> 'd'
            """
    }

    // MARK: Anomalies

    /// Views over what is kept, so that they converge: events at one sequence that differ, states outside the lifecycle,
    /// and steps that the lifecycle does not have.
    var anomalies: String {
        var parts = [self.conflicts]
        if let states = self.plan.definition.lifecycle?.states {
            let known = states.sorted().map(SQLText.literal).joined(separator: ", ")
            parts.append(
                """
                select \(SQLText.literal(self.plan.name))::text, jsonb_build_array(\(self.keys)), 'unknown_state'::text,
                    sequence, 'state ' || state || ' is not in the lifecycle'
                from \(self.names.eventStorage.sql)
                where state <> all (array[\(known)]::text[])
                """
            )
        }
        if let lifecycle = self.plan.definition.lifecycle, self.plan.isContiguous {
            parts.append(self.illegalSteps(lifecycle))
        }
        return "create or replace view \(self.names.anomalies.sql) as\n" + parts.joined(separator: "\nunion all\n")
    }

    private var conflicts: String {
        """
        select \(SQLText.literal(self.plan.name))::text as projection, jsonb_build_array(\(self.keys(of: "event"))) as key,
            'conflict'::text as kind, event.sequence,
            'events at this sequence differ; the one with the greatest order key counts' as detail
        from \(self.names.eventStorage.sql) as event
        join \(self.names.eventStorage.sql) as other
            on \(self.matching("other", "event"))
            and other.sequence = event.sequence and other.order_key > event.order_key
        where event.op <> 'd' and other.op <> 'd'
            and \(ProjectionStatements.contradict(self.plan, "event", "other"))
        group by \(self.keys(of: "event")), event.sequence
        """
    }

    /// Between a version and the very next one. Of several events at one version the greatest counts.
    private func illegalSteps(_ lifecycle: Lifecycle) -> String {
        let transitions = JSONOutput.object(
            lifecycle.transitions.sorted { $0.key < $1.key }.map { ($0.key, JSONOutput.array($0.value)) }
        )
        return """
            select \(SQLText.literal(self.plan.name))::text, jsonb_build_array(\(self.keys)), 'illegal_step'::text, sequence,
                'from state ' || state_before || ' to ' || state || ' is no transition of the lifecycle'
            from (
                select counted.*, lag(version) over steps as version_before, lag(op) over steps as op_before,
                    lag(state) over steps as state_before
                from (
                    select distinct on (\(self.keys), version) version.*, version.sequence::numeric as version
                    from \(self.names.versions.sql) as version
                    order by \(self.keys), version, order_key desc
                ) as counted
                window steps as (partition by \(self.keys) order by version)
            ) as step
            where version = version_before + 1 and op <> 'd' and op_before <> 'd' and state <> state_before
                and not coalesce(\(SQLText.literal(transitions))::jsonb -> state_before ? state, false)
            """
    }

    // MARK: Comments

    var comments: [String] {
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
        if self.plan.isContiguous {
            comments.append(
                "comment on view \(self.names.gaps.sql) is 'Tidemark projection \(name): ranges of versions that have not been seen, first to last.'"
            )
        }
        if self.plan.keepsTimeline {
            comments += [
                "comment on view \(self.names.versions.sql) is 'Tidemark projection \(name): each event with the columns that its entity had behind it.'",
                "comment on view \(self.names.timeline.sql) is 'Tidemark projection \(name): every distinct event seen. Order by the key and order_key for the order that counts, by received_at for the order of arrival.'",
                "comment on view \(self.names.history.sql) is 'Tidemark projection \(name): the versions of each entity in order-key order, each with the time it was valid.'",
                "comment on table \(self.names.eventStorage.sql) is 'Tidemark projection \(name): storage of the timeline.'",
            ]
        }
        return comments
    }
}
