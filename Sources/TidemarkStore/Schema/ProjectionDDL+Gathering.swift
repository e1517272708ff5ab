import TidemarkCore

/// The function that completes an event which lacks columns, for the view of versions.
extension ProjectionDDL {
    /// The function that gathers the columns of an event and of those below it, each from the greatest that carries it. Few
    /// events need it; within the views it would be planned with every query, which took longer than to read a key.
    ///
    /// Its parameters are the key, the order key, and the moment up to which events count as received, or null. It runs
    /// with the rights of its owner, as the views do, and is made for the tables that have these names when it is created.
    var gathering: String {
        """
        create or replace function \(self.gatheringSignature) returns jsonb
        language sql stable parallel safe security definer
        begin atomic
            \(self.merged);
        end
        """
    }

    private var gatheringSignature: String {
        let types = self.plan.keyColumns.map(\.type.baseSQL) + ["bytea", "timestamptz"]
        return "\(self.names.gathered.sql)(\(types.joined(separator: ", ")))"
    }

    /// Gives that function to the owner of the timeline, as whose rights it has: another role may have replaced it.
    var owningGathering: String {
        let body = """
            declare
                name regprocedure := \(SQLText.literal(self.gatheringSignature))::regprocedure;
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
        Self.dropGathering(names, except: isKept ? SQLText.literal(self.gatheringSignature) : "null")
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

    // MARK: Its body

    private var orderKeyParameter: String { "$\(self.plan.keyList.count + 1)" }
    private var momentParameter: String { "$\(self.plan.keyList.count + 2)" }

    private func matchesKey(_ row: String) -> String {
        self.plan.keyList.enumerated().map { "\(row).\($0.element) = $\($0.offset + 1)" }.joined(separator: " and ")
    }

    private var wasKnown: String {
        "(\(self.momentParameter) is null or below.received_at <= \(self.momentParameter))"
    }

    /// The order key of the last event up to the one in question that is complete, or of the last truncate above that: no
    /// event below it matters.
    private var floor: String {
        let base = """
            (
                select below.order_key
                from \(self.names.eventStorage.sql) as below
                where \(self.matchesKey("below")) and below.order_key <= \(self.orderKeyParameter)
                    and (below.op = 'd' or \(self.carriesAll("below"))) and \(self.wasKnown)
                order by below.order_key desc
                limit 1
            )
            """
        guard self.plan.truncatesDelete else { return "coalesce(\(base), '\\x'::bytea)" }
        let moment = self.momentParameter
        return """
            greatest(
                coalesce(\(base), '\\x'::bytea),
                (
                    select truncated.order_key
                    from \(self.names.entityStorage.sql) as entity
                    cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
                    where \(self.matchesKey("entity")) and truncated.order_key < \(self.orderKeyParameter)
                        and (\(moment) is null or \(Self.isKnown("truncated", at: moment)))
                    order by truncated.order_key desc
                    limit 1
                )
            )
            """
    }

    /// The events from there on, the greatest first.
    /// - Parameter columns: what is selected of them, as `below`.
    private func life(_ columns: [String]) -> String {
        """
        select \(columns.joined(separator: ",\n    "))
        from \(self.names.eventStorage.sql) as below
        where \(self.matchesKey("below")) and below.order_key <= \(self.orderKeyParameter)
            and below.order_key >= \(self.floor) and below.op <> 'd' and \(self.wasKnown)
        order by below.order_key desc
        """
    }

    /// `image`, `state` and `incomplete`, as JSON.
    private var merged: String {
        self.shape.columns.map(self.mergedColumns) ?? self.mergedImages
    }

    /// Of declared columns: each is the first of those that events carry, the greatest of which come first.
    private func mergedColumns(_ columns: [EventShape.Column]) -> String {
        let erased = self.shape.isErased("below")
        let types = Dictionary(self.plan.keyColumns.map { ($0.name, $0.type) }) { first, _ in first }
        let declared = Set((self.plan.definition.columns ?? []).map(\.name))
        var keys: [String] = []
        for (index, name) in self.plan.keyColumns.map(\.name).enumerated() where declared.contains(name) {
            let value = EventShape.json("$\(index + 1)", types[name] ?? .text)
            keys.append("jsonb_build_object(\(SQLText.literal(name)), \(value))")
        }
        let key = keys.isEmpty ? "'{}'::jsonb" : keys.joined(separator: " || ")
        var objects = ["case when bool_or(not \(erased)) then \(key) else '{}' end"]
        var lacked: [String] = []
        for column in columns {
            // Null where no event carries it. An aggregate that is named twice is computed once.
            let isCarried = "not \(erased) and \(self.shape.carries(column, "below"))"
            let values = "array_agg(below.\(column.storage)) filter (where \(isCarried))"
            let (name, json) = (SQLText.literal(column.name), EventShape.json("(\(values))[1]", column.type))
            objects.append("case when \(values) is null then '{}' else jsonb_build_object(\(name), \(json)) end")
            lacked.append("case when \(values) is null then \(name) end")
        }
        let state =
            self.plan.stateColumn.map { column in
                let tells = "array_position(below.missing, \(SQLText.literal(column.name))) is null"
                return "(array_agg(\(self.shape.state("below"))) filter (where \(tells)))[1]"
            } ?? "null"
        return """
            select jsonb_build_object(
                'image', \(objects.joined(separator: "\n        || ")),
                'state', \(state),
                -- A forgotten image is complete and empty.
                'incomplete', case when bool_or(below.missing is null and \(erased)) then '[]'
                    else to_jsonb(array_remove(array[\(lacked.joined(separator: ", "))]::text[], null)) end
            )
            from (
                \(self.life(["below.*"]))
            ) as below
            """
    }

    /// Without declared columns: name by name.
    private var mergedImages: String {
        let state =
            self.plan.stateColumn.map { column in
                """
                (
                    select state from life where array_position(missing, \(SQLText.literal(column.name))) is null
                    order by order_key desc limit 1
                )
                """
            } ?? "null"
        let selected = [
            "below.order_key", "below.op", "\(self.shape.image("below")) as image", "below.missing",
            "\(self.shape.state("below")) as state",
        ]
        return """
            with life as (
                \(self.life(selected))
            ),
            \(Self.wholeFields)
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
}
