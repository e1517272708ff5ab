import LibPQ
import TidemarkCore

/// Which relations belong to which projection.
extension ProjectionRegistry {
    /// - Throws: `.configuration` where a relation or a type of such a name is there.
    static func refuseForeign(
        _ relations: [RelationNames.Relation],
        of plan: ProjectionPlan,
        on connection: Connection
    ) async throws {
        // A relation has a type of its name, so that a domain or an enum is in its way. An array's type is not: the
        // server renames that.
        let found = try await connection.query(
            """
            select taken.schema::text, taken.name::text, taken.kind, own.projection
            from (
                select n.nspname as schema, c.relname as name, 'relation' as kind
                from pg_catalog.pg_class as c
                join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                union all
                select n.nspname, t.typname, 'type'
                from pg_catalog.pg_type as t
                join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
                where t.typrelid = 0
                    and not exists (select from pg_catalog.pg_type as element where element.typarray = t.oid)
                union all
                select n.nspname, p.proname, 'function'
                from pg_catalog.pg_proc as p
                join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
                where p.proargtypes = array['timestamptz'::regtype::oid]::oidvector
            ) as taken
            join (select unnest($1::text[]) as schema, unnest($2::text[]) as name, unnest($3::text[]) as kind) as wanted
                on taken.schema = wanted.schema and taken.name = wanted.name
                and (taken.kind = 'function') = (wanted.kind = 'function')
            left join tidemark_internal.relations as own
                on own.schema_name = wanted.schema and own.relation_name = wanted.name
            order by 1, 2
            limit 1
            """,
            [.texts(relations.map(\.schema)), .texts(relations.map(\.name)), .texts(relations.map(\.kind))]
        )
        guard found.rowCount == 0 else {
            let relation = "\(try found.text(0, 0) ?? "").\(try found.text(0, 1) ?? "")"
            let another = "table: \(plan.definition.schema).\(plan.definition.table)_current"
            if let owner = try found.text(0, 3) {
                throw StoreError(
                    .configuration,
                    "projection \(plan.name): \(relation) belongs to projection \(owner); drop that first (`tidemark drop "
                        + "\(owner) --yes`), or give this one another table, for example `\(another)`"
                )
            }
            let kind = try found.text(0, 2) ?? ""
            let what = kind == "relation" ? "\(relation) exists" : "\(relation) is a \(kind) that exists"
            throw StoreError(
                .configuration,
                "projection \(plan.name): \(what) and is not Tidemark's, so it is left as it is; give the "
                    + "projection another table, for example "
                    + "`\(another)`"
            )
        }
    }

    static func register(
        _ relations: [RelationNames.Relation],
        of plan: ProjectionPlan,
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            """
            insert into tidemark_internal.relations (schema_name, relation_name, kind, projection)
            select unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), $4::text
            """,
            [
                .texts(relations.map(\.schema)), .texts(relations.map(\.name)), .texts(relations.map(\.kind)),
                .text(plan.name),
            ]
        )
    }
}
