import LibPQ
import TidemarkCore

/// The DDL of a swap: recreates the views over the next version's tables, drops the live tables and takes their names.
struct ViewSwap {
    private let versions: VersionPair
    private let lockWait: Duration

    init(_ versions: VersionPair, lockWait: Duration) {
        self.versions = versions
        self.lockWait = lockWait
    }

    /// Runs in the swap's transaction.
    /// - Returns: the number of attempts that timed out on readers' locks.
    func run(on connection: Connection) async throws -> Int {
        let (plan, next) = (self.versions.plan, self.versions.next)
        let live = try await ProjectionRegistry.relations(of: plan.name, on: connection)
        let built = try await ProjectionRegistry.relations(of: next.name, on: connection)
        let known = Set(live.map(\.sql))
        let added = (plan.names.views(of: plan) + plan.names.functions(of: plan)).filter { !known.contains($0.sql) }
        try await ProjectionRegistry.refuseForeign(added, of: plan, on: connection)
        _ = try await connection.query(
            "delete from tidemark_internal.relations where projection = any (array[$1::text, $2::text])",
            [.text(plan.name), .text(next.name)]
        )
        try await ProjectionRegistry.register(plan.names.all(of: plan), of: plan, on: connection)
        let views = live.filter { $0.kind == "view" }.map(\.sql)
        let script = Script(
            setUp: self.setUp,
            drop: views.isEmpty ? [] : ["drop view \(views.joined(separator: ", "))"],
            views: self.views,
            cleanUp: self.cleanUp(live, built),
            own: plan.keepsTimeline ? [ProjectionDDL(plan).owningGathering] : [],
            attributes: try await RelationAttributes.read(live, on: connection)
        )
        return try await self.attempt(script, on: connection)
    }

    /// The statements of an attempt.
    private struct Script {
        var setUp: [String]
        var drop: [String]
        var views: [String]
        var cleanUp: [String]
        /// Gives functions to the owner of the tables.
        var own: [String]
        /// Of the live relations, for those that take their names.
        var attributes: RelationAttributes

        /// Replaces the views in place, which keeps privileges and dependent views.
        func inPlace(_ anomalies: String) throws -> [String] {
            try self.setUp + self.views + [anomalies] + self.cleanUp + [self.attributes.restoring(["table"])] + self.own
        }

        /// Drops the views first, since `create or replace` cannot remove, insert or retype columns.
        func recreated(_ anomalies: String, without others: String) throws -> [String] {
            try self.setUp + [others] + self.drop + self.views + [anomalies] + self.cleanUp
                + [self.attributes.restoring(["table", "view"])] + self.own
        }
    }

    // MARK: Statements

    private var setUp: [String] {
        let schema = self.versions.plan.definition.schema
        guard !self.versions.old.table.hasPrefix(schema + ".") else { return [] }
        return [SQLText.createMissing(schema: schema)]
    }

    /// The projection's views after the swap, over tables that still have their provisional names.
    private var views: [String] {
        let names = RelationNames(self.versions.plan.definition, storage: self.versions.next.name)
        return ProjectionDDL(self.versions.plan, names: names).views
    }

    /// Drops the live version's relations, and renames the next version's tables and indexes.
    private func cleanUp(_ live: [RelationNames.Relation], _ built: [RelationNames.Relation]) -> [String] {
        let kept = Set(self.versions.plan.names.views(of: self.versions.plan).map(\.sql))
        let gone = (live + built).filter { $0.kind == "view" && !kept.contains($0.sql) }.map(\.sql)
        let tables = live.filter { $0.kind == "table" }.map(\.sql)
        var statements: [String] = []
        if !gone.isEmpty { statements.append("drop view if exists \(gone.joined(separator: ", "))") }
        let functions = Set(self.versions.plan.names.functions(of: self.versions.plan).map(\.sql))
        for function in live where function.kind == "function" && !functions.contains(function.sql) {
            statements.append("drop function if exists \(function.signature)")
        }
        let gathered = [self.versions.plan, self.versions.next].map(\.names.gathered.name)
        statements.append(
            ProjectionDDL(self.versions.plan).dropGathering(gathered, keepingOwn: self.versions.plan.keepsTimeline)
        )
        if !tables.isEmpty { statements.append("drop table if exists \(tables.joined(separator: ", "))") }
        let (from, to) = (self.versions.next.name, self.versions.plan.name)
        for table in built where table.kind == "table" {
            let name = to + table.name.dropFirst(from.count)
            statements.append("alter table \(table.sql) rename to \(SQLText.identifier(name))")
        }
        statements.append(
            """
            do $$
            declare
                index record;
            begin
                for index in
                    select c.relname as name
                    from pg_catalog.pg_class as c
                    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                    where n.nspname = '\(RelationNames.storageSchema)' and c.relkind = 'i'
                        and starts_with(c.relname, \(SQLText.literal(from + "_")))
                loop
                    execute format(
                        'alter index \(RelationNames.storageSchema).%I rename to %I', index.name,
                        \(SQLText.literal(to)) || substr(index.name, \(from.count + 1))
                    );
                end loop;
            end
            $$
            """
        )
        // They name the tables, which have their names now.
        return statements + ProjectionDDL(self.versions.plan).functions
    }

    // MARK: Attempts

    private func attempt(_ script: Script, on connection: Connection) async throws -> Int {
        var locks = BriefLocks(until: .now + self.lockWait)
        do {
            try await self.swap(script, recreates: false, &locks, on: connection)
        } catch let error as PostgresError where error.sqlState == "42P16" {
            try await self.swap(script, recreates: true, &locks, on: connection)
        }
        return locks.retries
    }

    private func swap(
        _ script: Script,
        recreates: Bool,
        _ locks: inout BriefLocks,
        on connection: Connection
    ) async throws {
        let name = self.versions.plan.name
        do {
            try await locks.perform(on: connection, otherwise: self.inTheWay) {
                // Under the schema lock, so that the view of all anomalies includes concurrent changes.
                try await connection.execute(Migrator.lock)
                let anomalies = try await ProjectionRegistry.anomaliesView(on: connection)
                let others = try await ProjectionRegistry.anomaliesView(without: name, on: connection)
                let statements =
                    try recreates ? script.recreated(anomalies, without: others) : script.inPlace(anomalies)
                // One round trip, to hold the locks as briefly as possible.
                try await connection.execute(statements.joined(separator: ";\n"))
            }
        } catch let error as PostgresError where error.sqlState == "2BP01" {
            throw self.isBuiltUpon(error)
        }
    }

    private var inTheWay: StoreError {
        StoreError(
            .failed,
            "readers have held the views of projection \(self.versions.plan.name) all the time, so it was not swapped; "
                + "the version that was built waits, and the same command resumes the swap"
        )
    }

    private func isBuiltUpon(_ error: PostgresError) -> StoreError {
        StoreError(
            .failed,
            "projection \(self.versions.plan.name): its columns change, and views of yours are made of them "
                + "(\(error.detail ?? error.message)); drop them, and recreate them after the swap. The version that "
                + "was built waits; the same command resumes the swap"
        )
    }
}
