package import TidemarkCore

/// The statements of one projection that a lane prepares once and runs with every batch. Each takes its rows as one
/// array for each column, so that a batch of any size is one round trip.
package struct ProjectionStatements: Sendable {
    let plan: ProjectionPlan
    let names: RelationNames
    /// How the timeline holds events.
    let shape: EventShape

    /// The process that counts; 0 in a pass of one process.
    let process: Int32

    package init(_ plan: ProjectionPlan, process: Int32 = 0) {
        self.plan = plan
        self.process = process
        self.names = plan.names
        self.shape = EventShape(plan)
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

    /// `(state, milestone), …`: the states that imply each milestone; `nil` without any.
    static func impliedMilestones(_ plan: ProjectionPlan) -> String? {
        var implied: [String] = []
        for state in (plan.definition.lifecycle?.states ?? []).union(plan.milestones.map(\.state)).sorted() {
            let mask = plan.describe(state: Array(state.utf8)).milestones
            for (bit, milestone) in plan.milestones.enumerated() where mask & 1 << UInt64(bit) != 0 {
                implied.append("(\(SQLText.literal(state)), \(SQLText.literal(milestone.name)))")
            }
        }
        return implied.isEmpty ? nil : implied.joined(separator: ", ")
    }

    /// The key columns and their types as array parameters have them.
    var keyRows: [(name: String, type: String)] {
        zip(self.plan.keyList, self.plan.keyColumns).map { (name: $0, type: $1.type.baseSQL) }
    }

    /// Fetches the entities that missed the cache: index in the request, order key, whether this replay has touched the
    /// entity.
    package var fetch: String { self.fetch() }

    /// As ``fetch``, and locks the rows in the order of the request: for a projection that several processes write.
    package var lock: String { self.fetch(locking: " for no key update") }

    private func fetch(locking: String = "") -> String {
        let replay = self.plan.keyColumns.count + 1
        return """
            select batch._index, entity._order_key, entity._last_pass_id = $\(replay)::bigint, entity._deleted,
                entity._column_keys::text
            from \(Self.rows(self.keyRows, ordinality: true))
            -- `offset 0` keeps the planner from a sequential scan of a table that was small when it planned.
            cross join lateral (
                select * from \(self.names.entityStorage.sql) as stored
                where \(Self.match(self.plan, "stored", "batch")) offset 0\(locking)
            ) as entity
            """
    }

    private var rowColumns: [(name: String, type: String)] {
        self.keyRows + self.plan.valueList.map { (SQLText.identifier($0.name), $0.type.baseSQL) } + [
            ("_state", "text"), ("_order_key", "bytea"), ("_sequence", "text"), ("_event_time", "timestamptz"),
            ("_deleted", "boolean"),
        ] + (self.plan.isContiguous ? [("_seen", "text")] : [])
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

    /// Inserts new entities. The key's constraint aborts the transaction when one of them exists, at no cost beyond
    /// that of the insert.
    package var insert: String {
        let columns = self.rowColumns
        let replay = columns.count + 1
        let inserted = columns.map(\.name).joined(separator: ", ")
        return """
            insert into \(self.names.entityStorage.sql) (\(inserted), _last_pass_id)
            select \(Self.selected(columns)), $\(replay)::bigint
            from \(Self.rows(columns))
            """
    }

    /// Locks rows that the batch does not change, where they still have the known order key. `skip locked`: a row that
    /// another process has locked counts as changed.
    package var lockUnchanged: String {
        let columns = self.keyRows + [("_known", "bytea")]
        return """
            with locked as (
                select from \(Self.rows(columns))
                cross join lateral (
                    select stored._order_key from \(self.names.entityStorage.sql) as stored
                    where \(Self.match(self.plan, "stored", "batch")) offset 0 for no key update skip locked
                ) as entity
                where entity._order_key = batch._known
            )
            \(Self.expecting("locked", from: columns.count + 1))
            """
    }

    /// Updates known entities whose row a greater event replaces. The database compares order keys, and aborts the
    /// transaction when a row is ahead of the lane's cache. An update writes less than an upsert would.
    package var advanceRow: String { self.advanceRow() }

    /// As ``advanceRow``, of rows that are exactly as the lane knows them: for a projection that several processes write.
    package var advanceExactly: String { self.advanceRow(exactly: true) }

    /// - Parameter exactly: a last array has the order keys that the rows have now.
    private func advanceRow(exactly: Bool = false) -> String {
        let columns = self.rowColumns
        let all = columns + (exactly ? [("_known", "bytea")] : [])
        let replay = all.count + 1
        let condition = exactly ? "entity._order_key = batch._known" : "batch._order_key > entity._order_key"
        let assignments = columns.dropFirst(self.plan.keyColumns.count).map { column in
            column.name == "_seen" ? Self.addSeen : "\(column.name) = batch.\(column.name)"
        }
        return """
            with advanced as (
                update \(self.names.entityStorage.sql) as entity
                set \(assignments.joined(separator: ", ")), _column_keys = null, _incomplete = null,
                    _last_pass_id = $\(replay)::bigint
                from \(Self.rows(all))
                where \(Self.match(self.plan, "entity", "batch")) and \(condition)
                returning 1
            )
            \(Self.expecting("advanced", from: replay + 1))
            """
    }

    /// Marks entities as touched by the pass, lowers their event time, and adds versions seen. No row is replaced.
    package var markTouched: String {
        let columns =
            self.keyRows + [("event_time", "timestamptz"), ("order_key", "bytea")]
            + (self.plan.isContiguous ? [("_seen", "text")] : [])
        let seen = self.plan.isContiguous ? Self.addSeen + ",\n    " : ""
        // least() ignores nulls, so an event without a time counts as the latest.
        return """
            update \(self.names.entityStorage.sql) as entity
            set \(seen)_last_pass_id = $\(columns.count + 1)::bigint,
                _event_time = case
                    when batch.order_key = entity._order_key then least(entity._event_time, batch.event_time)
                    else entity._event_time
                end
            from \(Self.rows(columns))
            where \(Self.match(self.plan, "entity", "batch"))
            """
    }

    /// Adds the verdicts that the lane knows to the counters.
    /// Parameters: replay, lane, projection, applied, duplicate, late, entities.
    package var count: String {
        """
        update tidemark_internal.counters
        set applied = applied + $4::bigint, duplicate = duplicate + $5::bigint, late = late + $6::bigint,
            entities = entities + $7::bigint
        where pass_id = $1::bigint and process_id = \(self.process) and lane = $2::integer and projection = $3::text
        """
    }

    /// Inserts milestones and their deliveries, counts them, and returns how many of each are new.
    /// Parameters after the arrays: replay, lane, projection, the notifiers of each milestone (four arrays: milestones,
    /// notifiers, required column values, whether only the key is sent), the states that hold each milestone (jsonb).
    package var milestones: String {
        let columns =
            self.keyRows + [
                ("milestone", "text"), ("state", "text"), ("sequence", "text"), ("order_key", "bytea"),
                ("muted", "boolean"), ("_id", "uuid"), ("_key", "text"),
            ]
        let keys = self.plan.keyList.joined(separator: ", ")
        let first = columns.count + 1
        let batchKeys = self.plan.keyList.map { "batch.\($0)" }.joined(separator: ", ")
        // An event below the one that reached a milestone so far replaces it. As in the timeline, `xmax` distinguishes
        // replaced rows from new ones.
        return """
            with batch as materialized (
                select * from \(Self.rows(columns, ordinality: true))
            ),
            reached as (
                insert into \(self.names.milestoneStorage.sql) as stored (\(keys), milestone, state, sequence, order_key, muted)
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
                    (pass_id, process_id, lane, projection, milestone, reached)
                select $\(first)::bigint, \(self.process), $\(first + 1)::integer, $\(first + 2)::text, milestone, count(*)
                from fresh
                group by milestone
                on conflict (pass_id, process_id, lane, projection, milestone) do update
                set reached = counter.reached + excluded.reached
            ),
            delivered as (
                insert into tidemark_internal.deliveries \(Self.outboxColumns)
                select \(Self.outboxRow(self.plan, projection: "$\(first + 2)::text", holds: "$\(first + 7)::jsonb"))
                from fresh
                join batch on \(Self.match(self.plan, "batch", "fresh")) and batch.milestone = fresh.milestone
                \(Self.outboxTargets(self.plan, self.names, from: first + 3))
                order by \(batchKeys), batch._index
            )
            select milestone, count(*) from fresh group by milestone
            """
    }

    /// Whether an event is a snapshot row that arrived after a streamed event with a lower LSN, and was ignored.
    static let isIgnored = "_remarks & \(Remarks.snapshotIgnored.rawValue) <> 0"

    /// Whether two events of one sequence differ in a column that both carry.
    static func contradict(_ plan: ProjectionPlan, _ left: String, _ right: String) -> String {
        let shape = EventShape(plan)
        let images = shape.contradict(left, right)
        guard plan.keepsStateBesideColumns, let state = plan.stateColumn else { return images }
        // No image carries the state then.
        let name = SQLText.literal(state.name)
        return """
            (
                \(images)
                or \(shape.state(left)) is distinct from \(shape.state(right))
                and \(name) <> all (coalesce(\(left).missing || \(right).missing, \(left).missing, \(right).missing, '{}'))
            )
            """
    }

    /// Holds or releases deliveries after a change of state.
    /// Parameters after the keys: the keys as JSON, projection, the states that hold each milestone (jsonb).
    package var holdDeliveries: String {
        let columns = self.keyRows + [("_key", "text")]
        let first = columns.count + 1
        let isHeld = "coalesce($\(first + 1)::jsonb -> delivery.milestone ? entity._state, false)"
        return """
            update tidemark_internal.deliveries as delivery
            set status = case when \(isHeld) then 'held' else 'due' end
            from \(Self.rows(columns))
            join \(self.names.entityStorage.sql) as entity on \(Self.match(self.plan, "entity", "batch"))
            where delivery.projection = $\(first)::text and delivery.key = batch._key::jsonb
                and delivery.status in ('due', 'held')
                and (delivery.status = 'held') is distinct from \(isHeld)
            """
    }
}
