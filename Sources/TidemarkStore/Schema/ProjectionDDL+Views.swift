import TidemarkCore

/// The views that users query, and their helper views.
extension ProjectionDDL {
    /// The configured columns in their configured order, the key first where the configuration does not place it.
    var shownNames: [String] {
        guard let columns = self.plan.definition.columns else { return self.plan.keyColumns.map(\.name) }
        let configured = columns.map(\.name)
        return self.plan.definition.key.filter { !configured.contains($0) } + configured
    }

    func matching(_ left: String, _ right: String) -> String {
        self.plan.keyList.map { "\(left).\($0) = \(right).\($0)" }.joined(separator: " and ")
    }

    func keys(of row: String) -> String {
        self.plan.keyList.map { "\(row).\($0)" }.joined(separator: ", ")
    }

    /// The truncates of the tables that an entity's events came from.
    func truncates(of entity: String) -> String {
        """
        from tidemark_internal.truncates as truncated
        where truncated.projection = \(SQLText.literal(self.plan.name))
            and truncated.source_table = any (\(entity)._tables)
        """
    }

    var orders: String {
        var columns = self.shownNames.map(SQLText.identifier)
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

    /// The gaps between the first version that counts and the greatest seen.
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

    /// The name of an operation that is stored as a letter.
    static func operation(_ letter: String) -> String {
        "case \(letter) when 'd' then 'delete' when 'i' then 'insert' when 's' then 'snapshot' else 'update' end"
    }

    var timeline: String {
        """
        create or replace view \(self.names.timeline.sql) as
        select \(self.keys), \(self.shape.sequence("event")) as sequence, order_key, \(Self.operation("op")) as op,
            \(self.shape.state("event")) as state, event_time, received_at, late, \(self.shape.source("event")) as source,
            \(self.shape.position("event")) as position, \(self.shape.image("event")) as image
        from \(self.names.eventStorage.sql) as event
        """
    }

    /// Refuses writes to a view, which PostgreSQL would pass on to the table of a simple one.
    static func readOnly(_ view: String) -> String {
        """
        create or replace trigger read_only instead of insert or update or delete on \(view)
        for each row execute function tidemark_internal.refuse_write()
        """
    }

    // MARK: Anomalies

    /// Anomalies: events at one sequence that differ, deletes that may be misread, states outside the lifecycle, and
    /// steps that the lifecycle does not have. They are views over stored rows, so that they converge.
    var anomalies: String {
        var parts = [self.conflicts, self.doubtfulDeletes]
        if let states = self.plan.definition.lifecycle?.states {
            let known = states.sorted().map(SQLText.literal).joined(separator: ", ")
            parts.append(
                """
                select \(SQLText.literal(self.plan.name))::text, \(self.anomalyKey()), 'unknown_state'::text,
                    \(self.shape.sequence("event")), 'state ' || \(self.shape.state("event")) || ' is not in the lifecycle'
                from \(self.names.eventStorage.sql) as event
                where \(self.shape.state("event")) <> all (array[\(known)]::text[])
                """
            )
        }
        if let lifecycle = self.plan.definition.lifecycle, self.plan.isContiguous {
            parts.append(self.illegalSteps(lifecycle))
        }
        if self.plan.canIgnoreSnapshots { parts.append(self.ignoredSnapshots) }
        if self.plan.definition.sequence.contains(.position) { parts.append(self.movedPartitions) }
        return "create or replace view \(self.names.anomalies.sql) as\n" + parts.joined(separator: "\nunion all\n")
    }

    private var ignoredSnapshots: String {
        """
        select \(SQLText.literal(self.plan.name))::text, \(self.anomalyKey()), 'snapshot_ignored'::text,
            \(self.shape.sequence("event")),
            'when this snapshot row arrived, a streamed event with a lower LSN stood above it; the event counts'
        from \(self.names.eventStorage.sql) as event
        where \(ProjectionStatements.isIgnored)
        """
    }

    /// Entities whose events were in several partitions of a broker, where offsets are the positions.
    private var movedPartitions: String {
        """
        select \(SQLText.literal(self.plan.name))::text, \(self.anomalyKey()), 'moved_partition'::text,
            (array_agg(sequence order by order_key desc))[1],
            'its events are in ' || string_agg(distinct substring(position from '^(.*):[0-9]+$'), ', ')
                || '; offsets order the events of one partition alone'
        from (
            select \(self.keys), order_key, \(self.shape.sequence("event")) as sequence,
                \(self.shape.position("event")) as position
            from \(self.names.eventStorage.sql) as event
            offset 0
        ) as placed
        where position ~ '\\[[0-9]+\\]:[0-9]+$'
        group by \(self.keys)
        having count(distinct substring(position from '^(.*):[0-9]+$')) > 1
        """
    }

    /// The key as texts: `7` and `"7"` are one key.
    func anomalyKey(of row: String? = nil) -> String {
        let parts = self.plan.keyList.map { "to_jsonb(\(row.map { "\($0)." } ?? "")\($0)) #>> '{}'" }
        return "jsonb_build_array(\(parts.joined(separator: ", ")))"
    }

    private var conflicts: String {
        """
        select \(SQLText.literal(self.plan.name))::text as projection, \(self.anomalyKey(of: "event")) as key,
            'conflict'::text as kind, min(\(self.shape.sequence("event"))) as sequence,
            'events at this sequence differ; the one with the greatest order key counts' as detail
        from \(self.names.eventStorage.sql) as event
        join \(self.names.eventStorage.sql) as other
            on \(self.matching("other", "event"))
            and other.order_key > event.order_key and other.order_key < \(self.sequenceKey("event")) || '\\x01'::bytea
        where event.op <> 'd' and other.op <> 'd'
            and \(ProjectionStatements.contradict(self.plan, "event", "other"))
        group by \(self.keys(of: "event")), \(self.sequenceKey("event"))
        """
    }

    /// The sequence bytes of an event that is no delete: its order key without the tie-breakers. Two sequences can have
    /// the same text. In order keys a zero byte follows the sequence, so that the events of one are a range in the
    /// index.
    private func sequenceKey(_ event: String) -> String {
        let count = KnownSequence.tieBreakerCount
        return "substring(\(event).order_key for greatest(octet_length(\(event).order_key) - \(count), 0))"
    }

    /// Steps from a version to the next number. Of several events at one version the greatest counts.
    private func illegalSteps(_ lifecycle: Lifecycle) -> String {
        let transitions = JSONOutput.object(
            lifecycle.transitions.sorted { $0.key < $1.key }.map { ($0.key, JSONOutput.array($0.value)) }
        )
        return """
            select \(SQLText.literal(self.plan.name))::text, \(self.anomalyKey()), 'illegal_step'::text, sequence,
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
