import Foundation
import LibPQ
import TidemarkCore

/// Owner, privileges, options and comments of relations that are dropped: PostgreSQL drops these with them.
struct RelationAttributes {
    private struct Attribute: Codable {
        var relation: String
        var kind: String
        /// Owner or privilege.
        var isRight: Bool
        /// The column that the statement is about; `nil` for the relation.
        var column: String?
        var statement: String
    }

    private var attributes: [Attribute]
    private var relations: [RelationNames.Relation]

    /// - Parameter relations: those that are there are read, before they are dropped. Functions see to their own.
    static func read(
        _ relations: [RelationNames.Relation],
        on connection: Connection
    ) async throws -> RelationAttributes {
        let relations = relations.filter { $0.kind != "function" }
        let attributes = try await connection.decode(
            Self.statements,
            [.texts(relations.map(\.schema)), .texts(relations.map(\.name))],
            as: Attribute.self
        )
        return RelationAttributes(attributes: attributes, relations: relations)
    }

    /// The statements that give the attributes to relations of the same names. The owner comes first, because a change of
    /// it changes privileges.
    private static let statements = """
        with kept as (
            select class.oid, class.relowner, class.relacl, class.reloptions, case class.relkind when 'v' then 'view' else 'table' end as kind,
                format('%I.%I', wanted.schema_name, wanted.relation_name) as name
            from unnest($1::text[], $2::text[]) as wanted (schema_name, relation_name)
            join pg_catalog.pg_namespace as space on space.nspname = wanted.schema_name
            join pg_catalog.pg_class as class
                on class.relnamespace = space.oid and class.relname = wanted.relation_name
        ),
        privileges as (
            select kept.oid, null::name as column_name, kept.relacl as acl from kept
            union all
            select kept.oid, a.attname, a.attacl
            from kept join pg_catalog.pg_attribute as a on a.attrelid = kept.oid and not a.attisdropped
        ),
        statements as (
            select oid, 1 as step, true as is_right, null::name as column_name,
                format('alter table %s owner to %I', name, pg_catalog.pg_get_userbyid(relowner)) as statement
            from kept
            union all
            select kept.oid, 2, true, privileges.column_name,
                format(
                    'grant %s%s on %s to %s%s', acl.privilege_type, ' (' || quote_ident(privileges.column_name) || ')',
                    kept.name, coalesce(quote_ident(role.rolname), 'public'),
                    case when acl.is_grantable then ' with grant option' else '' end
                )
            from kept
            join privileges using (oid)
            cross join lateral pg_catalog.aclexplode(privileges.acl) as acl
            left join pg_catalog.pg_roles as role on role.oid = acl.grantee
            where acl.grantee <> kept.relowner and (acl.grantee = 0 or role.oid is not null)
            union all
            select oid, 3, false, null, format('alter view %s set (%s)', name, array_to_string(reloptions, ', '))
            from kept
            where kind = 'view' and reloptions is not null
            union all
            select kept.oid, 4, false, a.attname,
                case
                    when a.attname is null then
                        format('comment on %s %s is %L', kind, name, description)
                    else format('comment on column %s.%I is %L', name, a.attname, description)
                end
            from kept
            join pg_catalog.pg_description as comment
                on comment.objoid = kept.oid and comment.classoid = 'pg_catalog.pg_class'::regclass
            left join pg_catalog.pg_attribute as a on a.attrelid = kept.oid and a.attnum = nullif(comment.objsubid, 0)
        )
        select kept.name as relation, kept.kind, s.is_right, s.column_name as "column", s.statement
        from statements as s
        join kept using (oid)
        order by s.step, kept.name
        """

    /// The statement that gives the attributes to the relations that now have the names. Columns that are gone are left out.
    /// - Parameter kinds: of the relations that were dropped. The others lack only options and comments that replacing
    ///   them has set.
    func restoring(_ kinds: Set<String>) throws -> String {
        let recreated = self.relations.filter { kinds.contains($0.kind) }.map(\.sql)
        let attributes = self.attributes.filter { kinds.contains($0.kind) || !$0.isRight }
        let json = String(decoding: try JSONEncoder().encode(attributes), as: UTF8.self)
        let body = """
            declare
                lost record;
                kept record;
            begin
                -- New relations have the default privileges, which the former ones may not have had.
                for lost in
                    select class.oid::regclass as name, coalesce(quote_ident(role.rolname), 'public') as role
                    from unnest(array[\(recreated.map(SQLText.literal).joined(separator: ", "))]::text[]) as relation
                    join pg_catalog.pg_class as class on class.oid = to_regclass(relation)
                    cross join lateral (
                        select distinct grantee from pg_catalog.aclexplode(class.relacl) where grantee <> class.relowner
                    ) as acl
                    left join pg_catalog.pg_roles as role on role.oid = acl.grantee
                loop
                    execute format('revoke all on %s from %s', lost.name, lost.role);
                end loop;
                for kept in
                    select statement
                    from jsonb_to_recordset(\(SQLText.literal(json))) as k (relation text, "column" text, statement text)
                    where exists (
                        select from pg_catalog.pg_attribute as a
                        where a.attrelid = to_regclass(k.relation) and a.attname = coalesce(k."column", a.attname)
                            and not a.attisdropped
                    )
                loop
                    execute kept.statement;
                end loop;
            end
            """
        return "do " + SQLText.literal(body)
    }
}
