import TidemarkCore

/// Statements that add to the timeline, and count what is known by it.
extension ProjectionStatements {
    var timelineColumns: [(name: String, type: String)] {
        var columns = self.keyRows + (self.shape.columns ?? []).map { (name: $0.storage, type: $0.type.baseSQL) }
        columns += [
            ("order_key", "bytea"), ("sequence", "text"), ("op", "\"char\""), ("late", "boolean"),
            ("event_time", "timestamptz"), ("_origin", "integer"), ("position", "bytea"), ("_position", "text"),
        ]
        if self.shape.holdsState { columns.append(("state", "text")) }
        if self.shape.holdsImage { columns.append(("image", "text")) }
        return columns + [("missing", "text"), ("_remarks", "smallint")]
    }

    /// Columns that are the same for all events of a statement: when they came, and that they were read with the columns
    /// that were configured late.
    private var timelineConstants: (names: String, values: String) {
        let told = (self.shape.columns ?? []).compactMap(\.told)
        return (
            (["received_at"] + told).joined(separator: ", "),
            ([Self.receivedAt] + told.map { _ in "true" }).joined(separator: ", ")
        )
    }

    /// The columns of the batch as they go into the timeline.
    static func timelineSelection(_ columns: [(name: String, type: String)]) -> String {
        columns.map { column in
            switch column.name {
            case "missing": "missing::text[]"
            default: column.name
            }
        }.joined(separator: ", ")
    }

    /// Adds events to the timeline that are above everything seen, and so not in it. It is a third cheaper than
    /// `timeline`.
    package var appendTimeline: String {
        let columns = self.timelineColumns
        return """
            insert into \(self.names.eventStorage.sql) (\(columns.map(\.name).joined(separator: ", ")), \(self.timelineConstants.names))
            select \(Self.timelineSelection(columns)), \(self.timelineConstants.values)
            from \(Self.rows(columns))
            """
    }

    /// As ``appendTimeline``, by COPY: the server then writes a page of events at a time, with one record in its log for
    /// each. Events have `received_at` by default, so it is for batches that lock nothing first.
    var copyTimeline: String {
        let columns = self.timelineColumns.map(\.name) + (self.shape.columns ?? []).compactMap(\.told)
        return "copy \(self.names.eventStorage.sql) (\(columns.joined(separator: ", "))) from stdin (format binary)"
    }

    /// When a batch's events were received: when it had locked its entities, where several processes write, so that
    /// batches with events of one entity have times in the order of their commits; else at the beginning of its
    /// transaction.
    static let receivedAt = "coalesce((\(Self.lockedAt)), now())"
    static let lockedAt = "select nullif(current_setting('tidemark.locked_at', true), '')::timestamptz"

    /// Says that the batch has locked its entities, for ``receivedAt``.
    static let noteLocks = "select set_config('tidemark.locked_at', clock_timestamp()::text, true)"

    /// Adds events to the timeline that may be in it, counts late and duplicate ones, and returns how many were late.
    /// Parameters after the arrays: replay, lane, projection, the number of the batch's events that the rows represent.
    package var timeline: String { self.timeline(reports: false) }

    /// As ``timeline``, and returns the order keys of those that were late: each of them is one event, in one place.
    package var timelineReport: String { self.timeline(reports: true) }

    private func timeline(reports: Bool) -> String {
        let columns = self.timelineColumns
        let list = columns.map(\.name).joined(separator: ", ")
        let first = columns.count + 1
        func shown(_ row: String) -> String {
            let position = "(\(self.shape.position(row)))"
            return "coalesce(\(row).event_time, 'infinity'), \(row).op::text collate \"C\", "
                + "(\(self.shape.source(row))) collate \"C\", \(position) is null, \(position) collate \"C\""
        }
        let remarks =
            "nullif(coalesce(event._remarks, 0) | coalesce(excluded._remarks & ~\(Remarks.ofArrival.rawValue)::smallint, 0), 0)"
        // A row that was updated carries the inserter's transaction in xmax; one that was inserted carries none.
        let count = """
            update tidemark_internal.counters
            set late = counters.late + found.late, duplicate = duplicate + $\(first + 3)::bigint - found.late
            from found
            where pass_id = $\(first)::bigint and process_id = \(self.process) and lane = $\(first + 1)::integer
                and projection = $\(first + 2)::text
            """
        let end =
            reports
            ? ", counted as (\n\(count)\n)\nselect order_key from added where is_late"
            : "\(count)\nreturning found.late"
        return """
            with added as (
                insert into \(self.names.eventStorage.sql) as event (\(list), \(self.timelineConstants.names))
                select \(Self.timelineSelection(columns)), \(self.timelineConstants.values)
                from \(Self.rows(columns))
                on conflict (\(self.plan.keyList.joined(separator: ", ")), order_key) do update
                set (event_time, op, _origin, position, _position) = (
                        select seen.event_time, seen.op, seen._origin, seen.position, seen._position
                        from (
                            values (event.event_time, event.op, event._origin, event.position, event._position),
                                (
                                    excluded.event_time, excluded.op, excluded._origin, excluded.position,
                                    excluded._position
                                )
                        ) as seen (event_time, op, _origin, position, _position)
                        order by \(shown("seen"))
                        limit 1
                    ),
                    _remarks = \(remarks)
                where (\(shown("excluded"))) < (\(shown("event")))
                    or \(remarks) is distinct from event._remarks
                returning \(reports ? "order_key, " : "")late and xmax = 0 as is_late
            ),
            found as (
                select count(*) filter (where is_late) as late from added
            )
            \(end)
            """
    }

    /// Counts conflicts: a conflict is a sequence at which an entity has two events, neither of them a delete (in their
    /// order keys a zero byte follows the sequence), that differ in a column both carry. The batch with the second one
    /// counts it. Parameters after the keys: the sequences' bytes, replay, lane, projection.
    package var conflicts: String {
        let columns = self.keyRows + [("_prefix", "bytea")]
        let first = columns.count + 1
        return """
            with found as (
                select count(*) as conflicts
                from (
                    -- Most sequences have one event, so only those with a second one are compared.
                    select batch.*
                    from \(Self.rows(columns))
                    where exists (
                        select from \(self.names.eventStorage.sql) as event
                        where \(Self.match(self.plan, "event", "batch"))
                            and event.order_key >= batch._prefix || '\\x00'::bytea
                            and event.order_key < batch._prefix || '\\x01'::bytea
                        offset 1
                    )
                ) as batch
                cross join lateral (
                    select true as is_known,
                        bool_or(
                            event.received_at < \(Self.receivedAt)
                            and other.received_at < \(Self.receivedAt)
                        ) as was_known
                    from \(self.names.eventStorage.sql) as event
                    join \(self.names.eventStorage.sql) as other
                        on \(Self.match(self.plan, "other", "event")) and other.order_key > event.order_key
                    where \(Self.match(self.plan, "event", "batch"))
                        and event.order_key >= batch._prefix || '\\x00'::bytea
                        and other.order_key < batch._prefix || '\\x01'::bytea
                        and \(Self.contradict(self.plan, "event", "other"))
                    having count(*) > 0
                ) as sequence
                where not sequence.was_known
            )
            update tidemark_internal.counters
            set conflicts = counters.conflicts + found.conflicts
            from found
            where pass_id = $\(first)::bigint and process_id = \(self.process) and lane = $\(first + 1)::integer
                and projection = $\(first + 2)::text
            """
    }
}
