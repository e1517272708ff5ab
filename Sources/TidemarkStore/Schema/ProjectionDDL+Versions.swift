import TidemarkCore

/// The views of the entity after each event: `_versions`, and the history that is made of it. They are computed in SQL
/// over the timeline and share no code with the lanes, which use column keys, so that `verify` can compare the two.
extension ProjectionDDL {
    /// The image of each event; where it lacks columns, completed from the events below it, down to the last delete or
    /// complete image. A delete, and a truncate that is one, is a version without an image.
    var versions: String {
        let truncates =
            self.plan.truncatesDelete
            ? """

            union all
            select \(self.keys(of: "entity")), truncated.order_key, truncated.position, 'd', truncated.event_time, null, null,
                '{}'\((self.shape.columns ?? []).map { _ in ", null" }.joined())
            from \(self.names.entityStorage.sql) as entity
            cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
            where truncated.order_key is not null
            """ : ""
        return """
            create or replace view \(self.names.versions.sql) as
            \(self.completed(self.names.eventStorage.sql))\(truncates)
            """
    }

    /// Events with the columns that their entities had behind them.
    /// - Parameters:
    ///   - events: a relation or a subquery.
    ///   - moment: what was received later is left out of them; `nil` for nothing.
    func completed(_ events: String, knownAt moment: String? = nil) -> String {
        """
        select \(self.keys), order_key, \(self.shape.sequence("event")) as sequence, op, event_time,
            case when merged is null then \(self.shape.state("event")) else merged ->> 'state' end as state,
            case when merged is null then \(self.shape.image("event")) else merged -> 'image' end as image,
            case
                when merged is null then '{}'
                else array(select jsonb_array_elements_text(merged -> 'incomplete'))
            end as incomplete\(self.completedColumns)
        from \(events) as event
        -- Behind an offset it is computed once for each event, and not once for each column that is made of it.
        cross join lateral (
            select case
                when not (\(self.carriesAll("event")))
                then \(self.names.gathered.sql)(\(self.keys(of: "event")), event.order_key, \(moment ?? "null::timestamptz"))
            end as merged
            offset 0
        ) as completed
        """
    }

    /// Whether an event, by its row in the timeline, is complete: a complete image, or a delete. One that was seen
    /// before a column was configured lacks that column.
    func carriesAll(_ event: String) -> String {
        guard let wasReadWithAll = self.shape.wasReadWithAll(event) else { return "\(event).missing is null" }
        return """
            \(event).missing is null
            and (\(event).op = 'd' or \(self.shape.isErased(event)) or \(wasReadWithAll))
            """
    }

    /// Whether a truncate was known at a moment. One that came before its time was kept was known before it.
    static func isKnown(_ truncate: String, at moment: String) -> String {
        "coalesce(\(truncate).received_at, '-infinity') <= \(moment)"
    }

    /// The declared columns of a version: those of the event, or, where it lacks some, those that were gathered.
    private var completedColumns: String {
        (self.shape.columns ?? []).map { column in
            let literal = SQLText.literal(column.name)
            let gathered =
                column.type == .jsonb
                ? "tidemark_internal.json_column(merged -> 'image' -> \(literal))"
                : "(merged -> 'image' ->> \(literal))::\(column.type.sql)"
            return
                ",\n    case when merged is null then event.\(column.storage) else \(gathered) end as \(column.storage)"
        }.joined()
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
                keys.contains($0.name)
                    ? SQLText.identifier($0.name)
                    : "\(EventShape.storage(of: $0.name)) as \(SQLText.identifier($0.name))"
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
}
