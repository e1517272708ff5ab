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
            select \(self.keys(of: "entity")), truncated.order_key, truncated.position, 'd', truncated.event_time, null, null, '{}'
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
        select \(self.keys), order_key, sequence, op, event_time,
            case when merged is null then state else merged ->> 'state' end as state,
            case when merged is null then image::jsonb else merged -> 'image' end as image,
            case
                when merged is null then '{}'
                else array(select jsonb_array_elements_text(merged -> 'incomplete'))
            end as incomplete
        from \(events) as event
        -- Behind an offset it is computed once for each event, and not once for each column that is made of it.
        cross join lateral (
            select case when not (\(self.carriesAll("event"))) then (\(self.merged(knownAt: moment))) end as merged
            offset 0
        ) as completed
        """
    }

    /// Whether an event, by its row in the timeline, is complete: a complete image, or a delete. One that was seen
    /// before a column was configured lacks that column.
    private func carriesAll(_ event: String) -> String {
        let late = self.plan.valueColumns?.map(\.name).filter { self.plan.lateColumns.contains(Array($0.utf8)) } ?? []
        guard !late.isEmpty else { return "\(event).missing is null" }
        let names = late.map(SQLText.literal).joined(separator: ", ")
        return """
            \(event).missing is null
            and (\(event).op = 'd' or \(event).image is null or \(event).image::jsonb ?& array[\(names)]::text[])
            """
    }

    /// The columns of the event and of those below it, each from the greatest that carries it.
    private func merged(knownAt moment: String?) -> String {
        let known = moment.map { "\n        and below.received_at <= \($0)" } ?? ""
        let knownTruncate = moment.map { " and \(Self.isKnown("truncated", at: $0))" } ?? ""
        let truncated =
            self.plan.truncatesDelete
            ? """
            (
                select truncated.order_key
                from \(self.names.entityStorage.sql) as entity
                cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
                where \(self.matching("entity", "event")) and truncated.order_key < event.order_key\(knownTruncate)
                order by truncated.order_key desc
                limit 1
            )
            """ : "null"
        let state =
            self.plan.stateColumn.map { column in
                """
                (
                    select state from life where array_position(missing, \(SQLText.literal(column.name))) is null
                    order by order_key desc limit 1
                )
                """
            } ?? "null"
        return """
            with base as (
                -- The last event that is complete, so that none below it matters.
                select below.order_key
                from \(self.names.eventStorage.sql) as below
                where \(self.matching("below", "event")) and below.order_key <= event.order_key
                    and (below.op = 'd' or \(self.carriesAll("below")))\(known)
                order by below.order_key desc
                limit 1
            ),
            floor as (
                select greatest(
                    coalesce((select order_key from base), '\\x'::bytea), coalesce(\(truncated), '\\x'::bytea)
                ) as order_key
            ),
            life as (
                select below.order_key, below.op, below.image, below.missing, below.state
                from \(self.names.eventStorage.sql) as below, floor
                where \(self.matching("below", "event")) and below.order_key <= event.order_key
                    and below.order_key >= floor.order_key and below.op <> 'd'\(known)
            ),
            \(self.fields)
            select jsonb_build_object(
                'image', (
                    select coalesce(jsonb_object_agg(name, value) filter (where value is not null), '{}') from field
                ),
                'state', \(state),
                'incomplete', (
                    select coalesce(jsonb_agg(name order by name collate "C"), '[]')
                    from wanted
                    where name not in (select name from field)
                )
            )
            """
    }

    /// Whether a truncate was known at a moment. One that came before its time was kept was known before it.
    static func isKnown(_ truncate: String, at moment: String) -> String {
        "coalesce(\(truncate).received_at, '-infinity') <= \(moment)"
    }

    /// `field`: each column that an event of `life` carries, from the greatest that does; SQL null where that event
    /// removes it. `wanted`: the configured columns.
    private var fields: String {
        guard let columns = self.plan.valueColumns else { return Self.wholeFields }
        let names = columns.map { SQLText.literal($0.name) }.joined(separator: ", ")
        return """
            field as (
                select distinct on (carried.key) carried.key as name, carried.value
                from life
                cross join lateral jsonb_each(life.image::jsonb) as carried
                order by carried.key, life.order_key desc
            ),
            wanted as (
                select name from unnest(array[\(names)]::text[]) as name
                -- A forgotten image is complete and empty.
                where not exists (select from life where life.missing is null and life.image is null)
            )
            """
    }

    /// Without declared columns an image that is complete, or lacks no more than it names (a null in `missing`),
    /// removes every column that it does not hold.
    private static let wholeFields = """
        carried as (
            select held.key as name, held.value, life.order_key
            from life
            cross join lateral jsonb_each(life.image::jsonb) as held
        ),
        wanted as (
            select distinct name
            from life
            cross join lateral unnest(life.missing) as name
            where name is not null
        ),
        gone as (
            select names.name, null::jsonb as value, life.order_key
            from life
            cross join lateral (select name from carried union select name from wanted) as names
            where (life.missing is null or cardinality(array_remove(life.missing, null)) < cardinality(life.missing))
                and array_position(life.missing, names.name) is null
                and not coalesce(life.image::jsonb ? names.name, false)
        ),
        field as (
            select distinct on (name) name, value
            from (select * from carried union all select * from gone) as told
            order by name, order_key desc
        )
        """

    /// A column of a version, read back from the image of its event.
    func imageColumn(_ name: String, _ type: ColumnType) -> String {
        let literal = SQLText.literal(name)
        return type == .jsonb
            ? "tidemark_internal.json_column(image -> \(literal)) as \(SQLText.identifier(name))"
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
}
