import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Each view of a projection and of schema `tidemark` refuses writes. A view without rows shows it by its definition.
func expectReadOnlyViews(_ connection: Connection, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let views = try await connection.rows(
        """
        select view.oid::regclass::text, quote_ident(first.attname),
            exists (select from pg_trigger as t where t.tgrelid = view.oid and t.tgname = 'read_only')
            or pg_relation_is_updatable(view.oid, false) = 0
        from pg_class as view
        join pg_namespace as space on space.oid = view.relnamespace
        join pg_attribute as first on first.attrelid = view.oid and first.attnum = 1
        where view.relkind = 'v' and space.nspname in ('public', 'tidemark')
        order by 1
        """
    )
    #expect(views.count > 15, sourceLocation: sourceLocation)
    for view in views {
        let (name, column) = (view[0], view[1])
        #expect(view[2] == "t", "\(name)", sourceLocation: sourceLocation)
        guard try await connection.value("select exists (select from \(name))") == "t" else { continue }
        for statement in [
            "delete from \(name)", "update \(name) set \(column) = \(column)",
            "insert into \(name) (\(column)) select \(column) from \(name) limit 1",
        ] {
            var state: String?
            do { try await connection.execute(statement) } catch { state = error.sqlState }
            #expect(state == "55000", "\(statement)", sourceLocation: sourceLocation)
        }
    }
}

/// The views that users query: nothing is written through them, and what an operator has given them stays.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct ViewTests {
    private static func yaml(_ columns: String = "", others: Bool = false) -> String {
        """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            contiguous: true
            state: status
            milestones: { shipped: { state: shipped } }
            columns: { id: bigint, version: bigint, status: text\(columns) }

        """
            + (others
                ? """
                  - name: others
                    from: [shop.others]
                    key: id
                    sequence: version
                    columns: { id: bigint, version: bigint }

                """ : "")
    }

    private static let lines = (1...9).map {
        #"{"table":"shop.orders","op":"update","after":{"id":\#($0),"version":2,"status":"shipped","note":"a"}}"#
    }

    @Test func nothingIsWrittenThroughAView() async throws {
        try await withWorkplace(Self.yaml()) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines + ["no message"])
            _ = try await place.replay(log)
            try await expectReadOnlyViews(connection)
            try await connection.execute("set enable_seqscan = off; set enable_bitmapscan = off")
            let plan = try await connection.rows("explain (costs off) select status from orders where id = 7")
            #expect(
                plan.map { $0[0].trimmingPrefix { $0 == " " } } == [
                    "Index Scan using orders_entities_pkey on orders_entities entity", "Index Cond: (id = 7)",
                    "Filter: (NOT _deleted)",
                ]
            )
            try place.write("tidemark.yaml", Self.yaml(", note: text"))
            try await place.succeed("migrate")
            try await expectReadOnlyViews(connection)
            for type in ["text", "\"varchar(9)\""] {
                try place.write("tidemark.yaml", Self.yaml(", note: \(type)"))
                try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
                try await expectReadOnlyViews(connection)
            }
        }
    }

    /// Owner, grants, options and comments of the views and of the storage.
    private static let attributes = """
        select c.oid::regclass::text, pg_get_userbyid(c.relowner), coalesce(array_to_string(c.reloptions, ','), ''),
            (select coalesce(string_agg(acl::text, ' ' order by acl::text), '') from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) as acl),
            (
                select coalesce(string_agg(a.attname || ' ' || acl::text, ' ' order by a.attname, acl::text), '')
                from pg_attribute as a cross join lateral unnest(a.attacl) as acl
                where a.attrelid = c.oid and not a.attisdropped
            ),
            (
                select string_agg(concat_ws(' ', a.attname, description), ' ' order by a.attname)
                from pg_description left join pg_attribute as a on a.attrelid = objoid and a.attnum = objsubid
                where objoid = c.oid
            )
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where c.relkind in ('v', 'r') and n.nspname in ('public', 'tidemark', 'tidemark_internal')
            and c.relname not like 'others%' and c.relname <> 'migrations'
        order by c.oid::regclass::text
        """

    @Test func whatAnOperatorHasGivenAViewStays() async throws {
        try await withWorkplace(Self.yaml(others: true)) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            _ = try await place.replay(log)
            let number = UInt32.random(in: .min ... .max)
            let (owner, reader, third) = ("owner_\(number)", "reader_\(number)", "\"third \(number)\"")
            try await connection.execute(
                """
                create role \(owner); create role \(reader); create role \(third);
                grant usage on schema tidemark_internal to \(owner);
                grant select on all tables in schema tidemark_internal to \(owner);
                grant create on schema public to \(owner);
                alter view orders owner to \(owner); alter view tidemark.anomalies owner to \(owner);
                alter table tidemark_internal.orders_milestones owner to \(owner);
                grant select on orders to \(reader) with grant option; grant select (id, status) on orders to \(third);
                grant select, insert on orders_timeline to public; revoke select on orders_history from \(owner);
                grant select on tidemark.anomalies to \(reader) with grant option;
                grant select (kind) on tidemark.anomalies to \(third);
                comment on view orders is 'my ''orders'''; comment on column orders.status is 'where it is';
                comment on view tidemark.anomalies is 'what is odd';
                comment on table tidemark_internal.orders_entities is 'mine';
                alter view orders set (security_barrier = true);
                -- What new relations get, and these were not given.
                alter default privileges in schema public grant select on tables to \(third);
                alter default privileges in schema tidemark_internal grant update on tables to \(third);
                """
            )
            let before = try await connection.rows(Self.attributes)
            func expectUnchanged(_ what: String) async throws {
                let after = try await connection.rows(Self.attributes)
                for (old, new) in zip(before, after) { #expect(old == new, "\(what)") }
                #expect(before.count == after.count, "\(what)")
            }
            try place.write("tidemark.yaml", Self.yaml(", note: text", others: true))
            try await place.succeed("migrate")
            try await expectUnchanged("added a column")
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            try await expectUnchanged("rebuilt in place")
            try place.write("tidemark.yaml", Self.yaml(", note: \"varchar(9)\"", others: true))
            try await place.succeed("rebuild", "orders", log.path, "--no-deliver")
            try await expectUnchanged("rebuilt with another type")
            try await place.succeed("drop", "others", "--yes")
            try await expectUnchanged("dropped another")
            #expect(try await connection.number("select count(*) from orders") == 9)
            try await connection.execute(
                "drop owned by \(owner), \(reader), \(third) cascade; drop role \(owner), \(reader), \(third)"
            )
        }
    }

    /// Views hold nothing: one that was dropped is created again, and the others keep what an operator has given them.
    @Test func viewsThatWereDroppedAreCreatedAgain() async throws {
        try await withWorkplace(Self.yaml()) { place, connection in
            let log = try place.write(
                "log.ndjson",
                lines: [#"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"status":"shipped"}}"#]
            )
            try await place.succeed("replay", "--no-deliver", log.path)
            let role = "analyst_\(UInt32.random(in: .min ... .max))"
            try await connection.execute("create role \(role); grant select on orders_milestones to \(role)")
            for views in [["orders"], ["orders", "orders_history", "orders_timeline"], ["orders_anomalies"]] {
                let schema = views == ["orders_anomalies"] ? "tidemark_internal" : "public"
                for view in views { try await connection.execute("drop view if exists \(schema).\(view) cascade") }
                let refused = try await place.run("replay", "--no-migrate", "--no-deliver", log.path)
                #expect(refused.status == 78 && refused.error.contains("run `tidemark migrate`"), "\(refused.error)")
                let migrated = try await place.run("migrate")
                #expect(
                    migrated.status == 0 && migrated.output.contains("created views of projection orders"),
                    "\(migrated)"
                )
                try await place.succeed("replay", "--no-deliver", log.path)
                #expect(try await connection.value("select status from orders") == "shipped")
                #expect(try await connection.number("select count(*) from orders_history") == 1)
                #expect(try await connection.number("select count(*) from tidemark.anomalies") == 0)
                try await expectReadOnlyViews(connection)
            }
            #expect(
                try await connection.value("select has_table_privilege('\(role)', 'orders_milestones', 'select')")
                    == "t"
            )
            try await connection.execute("drop owned by \(role); drop role \(role)")
        }
    }
}
