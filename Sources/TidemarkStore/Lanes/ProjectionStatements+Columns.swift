import TidemarkCore

/// Statements for rows whose columns come from several events, and for versions.
extension ProjectionStatements {
    static let addSeen = "_seen = entity._seen + batch._seen::nummultirange"

    /// The order key of a placeholder row, below all others.
    static let unmade = "''::bytea"

    /// Inserts rows below every event, which no view shows, for entities whose columns come from several events.
    package var insertPlaceholder: String {
        let keys = self.plan.keyList.joined(separator: ", ")
        return """
            insert into \(self.names.entityStorage.sql) (\(keys), _last_pass_id, _deleted, _order_key, _sequence)
            select \(keys), 0, true, \(Self.unmade), ''
            from \(Self.rows(self.keyRows))
            on conflict do nothing
            """
    }

    /// Finds the events that the timeline has, by their indices in the request; `nil` where no column was added after
    /// events had been seen.
    var repeats: String? {
        guard self.plan.keepsTimeline, !self.plan.lateColumns.isEmpty else { return nil }
        let columns = self.keyRows + [("order_key", "bytea")]
        return """
            select batch._index
            from \(Self.rows(columns, ordinality: true))
            where exists (
                select from \(self.names.eventStorage.sql) as event
                where \(Self.match(self.plan, "event", "batch")) and event.order_key = batch.order_key
            )
            """
    }

    /// Stores versions of events that `tags` dropped; `nil` unless versions are contiguous.
    /// Stores versions of events that are not kept. No view shows an entity that has nothing else.
    package var seen: String? {
        guard self.plan.isContiguous else { return nil }
        let columns = self.keyRows + [("_seen", "text")]
        let keys = self.plan.keyList.joined(separator: ", ")
        return """
            insert into \(self.names.entityStorage.sql) as entity (\(keys), _last_pass_id, _deleted, _order_key, _sequence, _seen)
            select \(keys), 0, true, \(Self.unmade), '', _seen::nummultirange
            from \(Self.rows(columns))
            on conflict (\(keys)) do update set _seen = entity._seen + excluded._seen
            where not entity._seen @> excluded._seen
            """
    }

    /// The columns of a patch after the keys and the values. `_mask` has a letter for the state, one for the high-water
    /// mark with its columns, and one for each value: the row keeps (`k`) its own or takes (`t`) the batch's.
    static func patchColumns(_ plan: ProjectionPlan) -> [(name: String, type: String)] {
        var columns: [(name: String, type: String)] = [("_mask", "text")]
        if plan.valueColumns == nil {
            columns += [("_keeps_base", "boolean"), ("_kept", "text"), ("_gone", "text"), ("_patch", "text")]
        }
        columns += [
            ("_state", "text"), ("_order_key", "bytea"), ("_sequence", "text"), ("_event_time", "timestamptz"),
            ("_deleted", "boolean"), ("_column_keys", "text"), ("_incomplete", "text"), ("_known", "bytea"),
        ]
        if plan.truncatesDelete { columns.append(("_tables", "text")) }
        if plan.isContiguous { columns.append(("_seen", "text")) }
        return columns
    }

    /// Updates some columns of known entities. Aborts the transaction as `advanceRow` does.
    package var patch: String {
        let values = self.plan.valueList.map { (name: SQLText.identifier($0.name), type: $0.type.baseSQL) }
        let columns = self.keyRows + values + Self.patchColumns(self.plan)
        let replay = columns.count + 1
        func chosen(_ column: String, _ maskIndex: Int) -> String {
            "\(column) = case substr(batch._mask, \(maskIndex), 1) when 'k' then entity.\(column) else batch.\(column) end"
        }
        var assignments = [chosen("_state", 1), chosen("_order_key", 2), chosen("_sequence", 2)]
        // least() ignores nulls, so an event without a time counts as the latest.
        assignments.append(
            """
            _event_time = case substr(batch._mask, 2, 1)
                when 'k' then least(entity._event_time, batch._event_time) else batch._event_time
            end
            """
        )
        assignments += [
            "_deleted = batch._deleted", "_column_keys = batch._column_keys::jsonb",
            "_incomplete = batch._incomplete::text[]", "_last_pass_id = $\(replay)::bigint",
        ]
        if self.plan.truncatesDelete { assignments.append("_tables = batch._tables::text[]") }
        if self.plan.isContiguous { assignments.append(Self.addSeen) }
        if self.plan.valueColumns == nil {
            assignments.append(Self.patchedRow)
        } else {
            assignments += values.enumerated().map { chosen($1.name, $0 + 3) }
        }
        return """
            with patched as (
                update \(self.names.entityStorage.sql) as entity
                set \(assignments.joined(separator: ",\n    "))
                from \(Self.rows(columns))
                where \(Self.match(self.plan, "entity", "batch")) and entity._order_key = batch._known
                returning 1
            )
            \(Self.expecting("patched", from: replay + 1))
            """
    }

    /// The row without declared columns: the stored base or a new one, the columns above it, and those that the batch's
    /// images set or remove. A forgotten row stays empty until an event carries a column.
    private static let patchedRow = """
        "row" = case when not batch._deleted and (entity."row" is not null or not batch._keeps_base or batch._patch <> '{}') then
            case
                when batch._keeps_base then coalesce(entity."row", '{}') - coalesce(batch._gone::text[], '{}')
                else coalesce(batch."row", '{}') || coalesce(
                    (
                        select jsonb_object_agg(field.key, field.value)
                        from jsonb_each(entity."row") as field
                        where field.key = any (batch._kept::text[])
                    ),
                    '{}'
                )
            end || batch._patch::jsonb
        end
        """

    // MARK: Truncates that are deletes

    /// Apply truncates that are deletes to rows and deliveries; `nil` where truncates are only recorded.
    /// Removes the columns below a truncate from rows that have columns above it. The view hides rows wholly below it;
    /// their next event rewrites them. Parameters: the table, the truncate's order key.
    package var dropColumnsBelowTruncate: String? {
        guard self.plan.truncatesDelete else { return nil }
        // Computed from the row under the update's lock and not from a snapshot, because another lane may be writing
        // it.
        let columnKeys = "tidemark_internal.marks_above(entity._column_keys, encode($2::bytea, 'hex'))"
        let carries = { (name: String) in "tidemark_internal.marks_carry(\(columnKeys), \(SQLText.literal(name)))" }
        var assignments = ["_column_keys = \(columnKeys)"]
        assignments.append(
            "_state = case when \(columnKeys) ? 'state' or \(columnKeys) ? 'base' and not \(columnKeys) ? 'open_state' then entity._state end"
        )
        if let columns = self.plan.valueColumns {
            assignments += columns.map { column in
                let name = SQLText.identifier(column.name)
                return "\(name) = case when \(carries(column.name)) then entity.\(name) end"
            }
            let all = columns.map { SQLText.literal($0.name) }.joined(separator: ", ")
            assignments.append(
                """
                _incomplete = nullif(
                    array(
                        select name from unnest(array[\(all)]::text[]) as name
                        where not tidemark_internal.marks_carry(\(columnKeys), name)
                    ),
                    '{}'
                )
                """
            )
        } else {
            assignments.append(
                """
                "row" = (
                    select coalesce(jsonb_object_agg(field.key, field.value), '{}')
                    from jsonb_each(entity."row") as field
                    where tidemark_internal.marks_carry(\(columnKeys), field.key)
                )
                """
            )
            assignments.append(
                """
                _incomplete = nullif(
                    array(
                        select named ->> 0 from jsonb_array_elements(\(columnKeys) -> 'named') as named
                        where not tidemark_internal.marks_carry(\(columnKeys), named ->> 0)
                        order by (named ->> 0) collate "C"
                    ),
                    '{}'
                )
                """
            )
        }
        return """
            update \(self.names.entityStorage.sql) as entity
            set \(assignments.joined(separator: ",\n    "))
            where $1::text = any (entity._tables) and not entity._deleted and entity._order_key > $2::bytea
                and \(columnKeys) <> entity._column_keys
            """
    }

    /// Releases the deliveries that a removed state held. Parameters: the table, the truncate's order key, projection,
    /// the states that hold each milestone (jsonb).
    package var releaseDeliveries: String? {
        guard self.plan.truncatesDelete else { return nil }
        let keys = self.plan.keyList.map { "entity.\($0)" }.joined(separator: ", ")
        return """
            update tidemark_internal.deliveries as delivery
            set status = 'due'
            from \(self.names.entityStorage.sql) as entity
            where delivery.projection = $3::text and delivery.status = 'held'
                and delivery.key = jsonb_build_array(\(keys)) and $1::text = any (entity._tables)
                and (
                    entity._order_key < $2::bytea
                    or not coalesce($4::jsonb -> delivery.milestone ? entity._state, false)
                )
            """
    }
}
