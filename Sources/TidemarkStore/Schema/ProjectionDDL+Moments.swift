import TidemarkCore

/// Functions of a moment: `_as_of`, the rows as they were by event time, and `_known_at`, those that were known then.
///
/// They are SQL functions that the planner expands in place, so that a condition on the key goes by index. For that they
/// run with the rights of who calls them: `_as_of` needs the history alone, `_known_at` the storage of the timeline too.
extension ProjectionDDL {
    private static let moment = "$1"

    /// To be replaced wherever the views are.
    var functions: [String] {
        guard !self.names.functions(of: self.plan).isEmpty else { return [] }
        let name = SQLText.literal(self.plan.name).dropFirst().dropLast()
        return [
            self.function(self.names.asOf, self.asOf),
            self.function(self.names.knownAt, self.knownAt),
            "comment on function \(self.names.asOf.signature) is 'Tidemark projection \(name): the live entities at a moment, by the producers'' timestamps.'",
            "comment on function \(self.names.knownAt.signature) is 'Tidemark projection \(name): the live entities as what had been received by a moment left them.'",
        ]
    }

    /// The columns of the view of the live entities, and their types.
    private var shown: [(name: String, type: String)] {
        let types = Dictionary(
            self.plan.keyColumns.map { ($0.name, $0.type.sql) } + self.plan.valueList.map { ($0.name, $0.type.sql) }
        ) { first, _ in first }
        let configured =
            self.plan.definition.columns == nil
            ? [("state", "text"), ("row", "jsonb")] : []
        return self.shownNames.map { ($0, types[$0] ?? "text") } + configured
            + [("_sequence", "text"), ("_event_time", "timestamptz"), ("_incomplete", "text[]")]
    }

    /// Replaces a function in place, which keeps its owner and grants. Where its columns are others, PostgreSQL cannot: it is
    /// dropped and created then, and gets its owner and grants back.
    private func function(_ function: RelationNames.Relation, _ query: String) -> String {
        let columns = self.shown.map { "\(SQLText.identifier($0.name)) \($0.type)" }.joined(separator: ", ")
        let create = """
            create or replace function \(function.sql)(moment timestamptz)
            returns table (\(columns))
            language sql stable parallel safe
            as \(SQLText.literal(query))
            """
        let signature = SQLText.literal(function.signature)
        let body = """
            declare
                kept record;
                given record;
            begin
                execute \(SQLText.literal(create));
            exception
                when invalid_function_definition then
                    select pg_get_userbyid(proowner) as owner, proacl as acl into kept
                    from pg_catalog.pg_proc where oid = \(signature)::regprocedure;
                    execute 'drop function ' || \(signature);
                    execute \(SQLText.literal(create));
                    execute format('alter function %s owner to %I', \(signature), kept.owner);
                    -- Without a list of rights, everybody may call it, as by default.
                    if kept.acl is not null then
                        execute format('revoke all on function %s from public', \(signature));
                        for given in
                            select role.rolname, acl.is_grantable
                            from pg_catalog.aclexplode(kept.acl) as acl
                            left join pg_catalog.pg_roles as role on role.oid = acl.grantee
                            where acl.grantee = 0 or role.oid is not null
                        loop
                            execute format(
                                'grant execute on function %s to %s%s', \(signature),
                                coalesce(quote_ident(given.rolname), 'public'),
                                case when given.is_grantable then ' with grant option' else '' end
                            );
                        end loop;
                    end if;
            end
            """
        return "do " + SQLText.literal(body)
    }

    private var asOf: String {
        """
        select \(self.shown.map { "version.\(SQLText.identifier($0.name))" }.joined(separator: ", "))
        from \(self.names.history.sql) as version
        where version.valid_from <= \(Self.moment) and (version.valid_to is null or version.valid_to > \(Self.moment))
        """
    }

    private var knownAt: String {
        let columns =
            self.versionColumns
            + ["sequence as _sequence", "event_time as _event_time", "incomplete as _incomplete"]
        let newest = self.plan.keyList.map { "seen.\($0) desc" }.joined(separator: ", ")
        let greatest = """
            (
                select distinct on (\(self.keys(of: "seen"))) seen.*
                from \(self.names.eventStorage.sql) as seen
                where seen.received_at <= \(Self.moment)
                order by \(newest), seen.order_key desc
            )
            """
        let truncates =
            self.plan.truncatesDelete
            ? """

            and not exists (
                select from \(self.names.entityStorage.sql) as entity
                cross join lateral (select * \(self.truncates(of: "entity"))) as truncated
                where \(self.matching("entity", "version")) and truncated.order_key > version.order_key
                    and \(Self.isKnown("truncated", at: Self.moment))
            )
            """ : ""
        return """
            select \(columns.joined(separator: ", "))
            from (
                \(self.completed(greatest, knownAt: Self.moment))
            ) as version
            where op <> 'd'\(truncates)
            """
    }
}
