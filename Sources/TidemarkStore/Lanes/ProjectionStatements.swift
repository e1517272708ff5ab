package import TidemarkCore

/// The statements of one projection that a lane prepares once and runs with every batch. Each takes its rows as one
/// array for each column, so that a batch of any size is one round trip.
package struct ProjectionStatements: Sendable {
    /// Fetches the entities that missed the cache: index in the request, order key, whether this replay has touched the
    /// entity.
    package let fetch: String
    /// As ``fetch``, and locks the rows in the order of the request: for a projection that several processes write.
    package let lock: String
    /// Inserts new entities. The key's constraint aborts the transaction when one of them exists, at no cost beyond
    /// that of the insert.
    package let insert: String
    /// Updates known entities whose row a greater event replaces. The database compares order keys, and aborts the
    /// transaction when a row is ahead of the lane's cache. An update writes less than an upsert would.
    package let advanceRow: String
    /// As ``advanceRow``, of rows that are exactly as the lane knows them: for a projection that several processes write.
    package let advanceExactly: String
    /// Locks rows that the batch does not change, where they still have the known order key. `skip locked`: a row that
    /// another process has locked counts as changed.
    package let lockUnchanged: String
    /// Marks entities as touched by the pass, lowers their event time, and adds versions seen. No row is replaced.
    package let markTouched: String
    /// Inserts rows below every event, which no view shows, for entities whose columns come from several events.
    package let insertPlaceholder: String
    /// Updates some columns of known entities. Aborts the transaction as `advanceRow` does.
    package let patch: String
    /// Stores versions of events that `tags` dropped; `nil` unless versions are contiguous.
    package let seen: String?
    /// Apply truncates that are deletes to rows and deliveries; `nil` where truncates are only recorded.
    package let dropColumnsBelowTruncate: String?
    package let releaseDeliveries: String?
    /// Finds the events that the timeline has, by their indices in the request; `nil` where no column was added after
    /// events had been seen.
    let repeats: String?
    /// Adds events to the timeline that are above everything seen, and so not in it. It is a third cheaper than
    /// `timeline`.
    package let appendTimeline: String
    /// Adds events to the timeline that may be in it, and counts late and duplicate ones.
    package let timeline: String
    /// Adds the verdicts that the lane knows to the counters.
    package let count: String
    /// Counts conflicts that became known with this batch.
    package let conflicts: String
    /// Inserts milestones and their deliveries, and counts them.
    package let milestones: String
    /// Holds or releases deliveries after a change of state.
    package let holdDeliveries: String

    package init(_ plan: ProjectionPlan) {
        let names = plan.names
        let keyTypes = plan.keyColumns.map { $0.type.baseSQL }
        self.fetch = Self.fetch(plan, names, keyTypes)
        self.lock = Self.fetch(plan, names, keyTypes, locking: " for no key update")
        self.insert = Self.insert(plan, names, keyTypes)
        self.advanceRow = Self.advanceRow(plan, names, keyTypes)
        self.advanceExactly = Self.advanceRow(plan, names, keyTypes, exactly: true)
        self.lockUnchanged = Self.lockUnchanged(plan, names, keyTypes)
        self.markTouched = Self.markTouched(plan, names, keyTypes)
        self.insertPlaceholder = Self.insertPlaceholder(plan, names, keyTypes)
        self.patch = Self.patch(plan, names, keyTypes)
        self.dropColumnsBelowTruncate = plan.truncatesDelete ? Self.dropColumnsBelowTruncate(plan, names) : nil
        self.releaseDeliveries = plan.truncatesDelete ? Self.releaseDeliveries(plan, names) : nil
        self.seen = plan.isContiguous ? Self.seen(plan, names, keyTypes) : nil
        self.repeats =
            plan.keepsTimeline && !plan.lateColumns.isEmpty ? Self.repeats(plan, names, keyTypes) : nil
        self.appendTimeline = Self.appendTimeline(plan, names, keyTypes)
        self.timeline = Self.timeline(plan, names, keyTypes)
        self.count = Self.count()
        self.conflicts = Self.conflicts(plan, names, keyTypes)
        self.milestones = Self.milestones(plan, names, keyTypes)
        self.holdDeliveries = Self.holdDeliveries(plan, names, keyTypes)
    }

    /// `(select unnest($1::bigint[]) as id, unnest($2::text[]) as name) as batch`. In the select list `unnest` streams;
    /// one call with many arrays in `from` would materialize all rows first, at three quarters of the speed.
    static func rows(
        _ columns: [(name: String, type: String)],
        from first: Int = 1,
        ordinality: Bool = false
    ) -> String {
        var list = columns.enumerated().map {
            "unnest($\($0.offset + first)::\($0.element.type)[]) as \($0.element.name)"
        }
        if ordinality { list.append("generate_subscripts($\(first)::\(columns[0].type)[], 1) as _index") }
        return "(select \(list.joined(separator: ", "))) as batch"
    }

    static func match(_ plan: ProjectionPlan, _ left: String, _ right: String) -> String {
        plan.keyList.map { "\(left).\($0) = \(right).\($0)" }.joined(separator: " and ")
    }

    static func keyRows(_ plan: ProjectionPlan, _ types: [String]) -> [(name: String, type: String)] {
        zip(plan.keyList, types).map { (name: $0, type: $1) }
    }

    private static func fetch(
        _ plan: ProjectionPlan,
        _ names: RelationNames,
        _ keyTypes: [String],
        locking: String = ""
    ) -> String {
        let replay = keyTypes.count + 1
        return """
            select batch._index, entity._order_key, entity._last_pass_id = $\(replay)::bigint, entity._deleted,
                entity._column_keys::text
            from \(Self.rows(Self.keyRows(plan, keyTypes), ordinality: true))
            -- `offset 0` keeps the planner from a sequential scan of a table that was small when it planned.
            cross join lateral (
                select * from \(names.entityStorage.sql) as stored
                where \(Self.match(plan, "stored", "batch")) offset 0\(locking)
            ) as entity
            """
    }

    private static func rowColumns(_ plan: ProjectionPlan, _ keyTypes: [String]) -> [(name: String, type: String)] {
        Self.keyRows(plan, keyTypes) + plan.valueList.map { (SQLText.identifier($0.name), $0.type.baseSQL) } + [
            ("_state", "text"), ("_order_key", "bytea"), ("_sequence", "text"), ("_event_time", "timestamptz"),
            ("_deleted", "boolean"),
        ] + (plan.isContiguous ? [("_seen", "text")] : [])
    }

    /// The columns of the batch as they go into the row.
    private static func selected(_ columns: [(name: String, type: String)]) -> String {
        columns.map { $0.name == "_seen" ? "_seen::nummultirange" : $0.name }.joined(separator: ", ")
    }

    static func expecting(_ name: String, from parameter: Int) -> String {
        """
        select tidemark_internal.expect(
            (select count(*) from \(name)), $\(parameter)::bigint, $\(parameter + 1)::text
        )
        """
    }

    private static func insert(_ plan: ProjectionPlan, _ names: RelationNames, _ keyTypes: [String]) -> String {
        let columns = Self.rowColumns(plan, keyTypes)
        let replay = columns.count + 1
        let inserted = columns.map(\.name).joined(separator: ", ")
        return """
            insert into \(names.entityStorage.sql) (\(inserted), _last_pass_id)
            select \(Self.selected(columns)), $\(replay)::bigint
            from \(Self.rows(columns))
            """
    }

    private static func lockUnchanged(_ plan: ProjectionPlan, _ names: RelationNames, _ keyTypes: [String]) -> String {
        let columns = Self.keyRows(plan, keyTypes) + [("_known", "bytea")]
        return """
            with locked as (
                select from \(Self.rows(columns))
                cross join lateral (
                    select stored._order_key from \(names.entityStorage.sql) as stored
                    where \(Self.match(plan, "stored", "batch")) offset 0 for no key update skip locked
                ) as entity
                where entity._order_key = batch._known
            )
            \(Self.expecting("locked", from: columns.count + 1))
            """
    }

    /// - Parameter exactly: a last array has the order keys that the rows have now.
    private static func advanceRow(
        _ plan: ProjectionPlan,
        _ names: RelationNames,
        _ keyTypes: [String],
        exactly: Bool = false
    ) -> String {
        let columns = Self.rowColumns(plan, keyTypes)
        let all = columns + (exactly ? [("_known", "bytea")] : [])
        let replay = all.count + 1
        let condition = exactly ? "entity._order_key = batch._known" : "batch._order_key > entity._order_key"
        let assignments = columns.dropFirst(keyTypes.count).map { column in
            column.name == "_seen" ? Self.addSeen : "\(column.name) = batch.\(column.name)"
        }
        return """
            with advanced as (
                update \(names.entityStorage.sql) as entity
                set \(assignments.joined(separator: ", ")), _column_keys = null, _incomplete = null,
                    _last_pass_id = $\(replay)::bigint
                from \(Self.rows(all))
                where \(Self.match(plan, "entity", "batch")) and \(condition)
                returning 1
            )
            \(Self.expecting("advanced", from: replay + 1))
            """
    }

    private static func markTouched(_ plan: ProjectionPlan, _ names: RelationNames, _ keyTypes: [String]) -> String {
        let columns =
            Self.keyRows(plan, keyTypes) + [("event_time", "timestamptz"), ("order_key", "bytea")]
            + (plan.isContiguous ? [("_seen", "text")] : [])
        let seen = plan.isContiguous ? Self.addSeen + ",\n    " : ""
        // least() ignores nulls, so an event without a time counts as the latest.
        return """
            update \(names.entityStorage.sql) as entity
            set \(seen)_last_pass_id = $\(columns.count + 1)::bigint,
                _event_time = case
                    when batch.order_key = entity._order_key then least(entity._event_time, batch.event_time)
                    else entity._event_time
                end
            from \(Self.rows(columns))
            where \(Self.match(plan, "entity", "batch"))
            """
    }

    /// Parameters: replay, lane, projection, applied, duplicate, late, entities.
    private static func count() -> String {
        """
        update tidemark_internal.counters
        set applied = applied + $4::bigint, duplicate = duplicate + $5::bigint, late = late + $6::bigint,
            entities = entities + $7::bigint
        where pass_id = $1::bigint and lane = $2::integer and projection = $3::text
        """
    }

    /// Parameters after the arrays: replay, lane, projection, the notifiers of each milestone (four arrays: milestones,
    /// notifiers, required column values, whether only the key is sent), the states that hold each milestone (jsonb).
    private static func milestones(_ plan: ProjectionPlan, _ names: RelationNames, _ keyTypes: [String]) -> String {
        let columns =
            Self.keyRows(plan, keyTypes) + [
                ("milestone", "text"), ("state", "text"), ("sequence", "text"), ("order_key", "bytea"),
                ("muted", "boolean"), ("_id", "uuid"), ("_key", "text"),
            ]
        let keys = plan.keyList.joined(separator: ", ")
        let first = columns.count + 1
        let batchKeys = plan.keyList.map { "batch.\($0)" }.joined(separator: ", ")
        // An event below the one that reached a milestone so far replaces it. As in the timeline, `xmax` distinguishes
        // replaced rows from new ones.
        return """
            with batch as materialized (
                select * from \(Self.rows(columns, ordinality: true))
            ),
            reached as (
                insert into \(names.milestoneStorage.sql) as stored (\(keys), milestone, state, sequence, order_key, muted)
                select \(keys), milestone, state, sequence, order_key, muted
                from batch
                on conflict (\(keys), milestone) do update
                set state = excluded.state, sequence = excluded.sequence, order_key = excluded.order_key
                where excluded.order_key < stored.order_key
                returning \(keys), milestone, xmax = 0 as _is_fresh
            ),
            fresh as (
                select \(keys), milestone from reached where _is_fresh
            ),
            counted as (
                insert into tidemark_internal.milestone_counters as counter
                    (pass_id, lane, projection, milestone, reached)
                select $\(first)::bigint, $\(first + 1)::integer, $\(first + 2)::text, milestone, count(*)
                from fresh
                group by milestone
                on conflict (pass_id, lane, projection, milestone) do update
                set reached = counter.reached + excluded.reached
            )
            insert into tidemark_internal.deliveries \(Self.outboxColumns)
            select \(Self.outboxRow(plan, projection: "$\(first + 2)::text", holds: "$\(first + 7)::jsonb"))
            from fresh
            join batch on \(Self.match(plan, "batch", "fresh")) and batch.milestone = fresh.milestone
            \(Self.outboxTargets(plan, names, from: first + 3))
            order by \(batchKeys), batch._index
            """
    }

    /// Whether an event is a snapshot row that arrived after a streamed event with a lower LSN, and was ignored.
    static let isIgnored = "_remarks & \(Remarks.snapshotIgnored.rawValue) <> 0"

    /// Whether two events of one sequence differ in a column that both carry.
    static func contradict(_ plan: ProjectionPlan, _ left: String, _ right: String) -> String {
        let images = "tidemark_internal.differ(\(left).image, \(right).image)"
        guard plan.keepsStateBesideColumns, let state = plan.stateColumn else { return images }
        // No image carries the state then.
        let name = SQLText.literal(state.name)
        return """
            (
                \(images)
                or \(left).state is distinct from \(right).state
                and \(name) <> all (coalesce(\(left).missing || \(right).missing, \(left).missing, \(right).missing, '{}'))
            )
            """
    }

    /// Parameters after the keys: the keys as JSON, projection, the states that hold each milestone (jsonb).
    private static func holdDeliveries(_ plan: ProjectionPlan, _ names: RelationNames, _ keyTypes: [String]) -> String {
        let columns = Self.keyRows(plan, keyTypes) + [("_key", "text")]
        let first = columns.count + 1
        let isHeld = "coalesce($\(first + 1)::jsonb -> delivery.milestone ? entity._state, false)"
        return """
            update tidemark_internal.deliveries as delivery
            set status = case when \(isHeld) then 'held' else 'due' end
            from \(Self.rows(columns))
            join \(names.entityStorage.sql) as entity on \(Self.match(plan, "entity", "batch"))
            where delivery.projection = $\(first)::text and delivery.key = batch._key::jsonb
                and delivery.status in ('due', 'held')
                and (delivery.status = 'held') is distinct from \(isHeld)
            """
    }
}
