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
    private func carriesAll(_ event: String) -> String {
        guard let wasReadWithAll = self.shape.wasReadWithAll(event) else { return "\(event).missing is null" }
        return """
            \(event).missing is null
            and (\(event).op = 'd' or \(self.shape.isErased(event)) or \(wasReadWithAll))
            """
    }

    /// The function that gathers the columns of an event and of those below it, each from the greatest that carries it. Few
    /// events need it; within the views it would be planned with every query, which took longer than to read a key.
    ///
    /// Its parameters are the key, the order key, and the moment up to which events count as received, or null. It runs
    /// with the rights of its owner, as the views do, and is made for the tables that have these names when it is created.
    var gathering: String {
        let types = self.plan.keyColumns.map(\.type.baseSQL) + ["bytea", "timestamptz"]
        return """
            create or replace function \(self.names.gathered.sql)(\(types.joined(separator: ", "))) returns jsonb
            language sql stable parallel safe security definer
            begin atomic
                \(self.merged);
            end
            """
    }

    /// Gives that function to the owner of the timeline, as whose rights it has: another role may have replaced it.
    var owningGathering: String {
        let types = (self.plan.keyColumns.map(\.type.baseSQL) + ["bytea", "timestamptz"]).joined(separator: ", ")
        let signature = SQLText.literal("\(self.names.gathered.sql)(\(types))")
        let body = """
            declare
                name regprocedure := \(signature)::regprocedure;
                owner name;
            begin
                select pg_get_userbyid(relowner) into owner
                from pg_catalog.pg_class where oid = \(SQLText.literal(self.names.eventStorage.sql))::regclass;
                if owner <> (select pg_get_userbyid(proowner) from pg_catalog.pg_proc where oid = name) then
                    execute format('alter function %s owner to %I', name, owner);
                end if;
            end
            """
        return "do " + SQLText.literal(body)
    }

    /// Drops the functions that gathered columns, under whatever types of keys, once no view uses them.
    /// - Parameter names: of the functions.
    /// - Parameter isKept: leaves that of this plan.
    func dropGathering(_ names: [String], keepingOwn isKept: Bool = false) -> String {
        let types = (self.plan.keyColumns.map(\.type.baseSQL) + ["bytea", "timestamptz"]).joined(separator: ", ")
        let own = isKept ? SQLText.literal("\(self.names.gathered.sql)(\(types))") : "null"
        return Self.dropGathering(names, except: own)
    }

    static func dropGathering(_ names: [String], except own: String = "null") -> String {
        let body = """
            declare
                former record;
            begin
                for former in
                    select p.oid::regprocedure as signature
                    from pg_catalog.pg_proc as p
                    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
                    where n.nspname = '\(RelationNames.storageSchema)'
                        and p.proname = any (array[\(names.map(SQLText.literal).joined(separator: ", "))]::name[])
                        and p.oid is distinct from to_regprocedure(\(own))
                loop
                    execute 'drop function ' || former.signature;
                end loop;
            end
            """
        return "do " + SQLText.literal(body)
    }

    private var merged: String {
        let keyCount = self.plan.keyList.count
        let (orderKey, moment) = ("$\(keyCount + 1)", "$\(keyCount + 2)")
        func matching(_ row: String) -> String {
            self.plan.keyList.enumerated().map { "\(row).\($0.element) = $\($0.offset + 1)" }.joined(separator: " and ")
        }
        let known = "\n        and (\(moment) is null or below.received_at <= \(moment))"
        let knownTruncate = " and (\(moment) is null or \(Self.isKnown("truncated", at: moment)))"
        let truncated =
            self.plan.truncatesDelete
            ? """
            (
                select truncated.order_key
                from \(self.names.entityStorage.sql) as entity
                cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
                where \(matching("entity")) and truncated.order_key < \(orderKey)\(knownTruncate)
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
                where \(matching("below")) and below.order_key <= \(orderKey)
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
                select below.order_key, below.op, \(self.shape.image("below")) as image, below.missing,
                    \(self.shape.state("below")) as state
                from \(self.names.eventStorage.sql) as below, floor
                where \(matching("below")) and below.order_key <= \(orderKey)
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
                cross join lateral jsonb_each(life.image) as carried
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
            cross join lateral jsonb_each(life.image) as held
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
                and not coalesce(life.image ? names.name, false)
        ),
        field as (
            select distinct on (name) name, value
            from (select * from carried union all select * from gone) as told
            order by name, order_key desc
        )
        """

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
