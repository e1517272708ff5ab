package import LibPQ
package import TidemarkCore

/// Gives the space of removed events back to the system: copies a projection's timeline into a new table and its index,
/// which take the place of the old ones.
///
/// Events are copied in pages, in the order of the primary key, while the projection is written and read. Then, with
/// batches waiting, what was received or changed meanwhile is copied again, which takes one scan of the table, and the
/// tables change places. Readers are locked out for that last moment alone. Until then both tables are there, so that the
/// system needs room for the events that are left. `vacuum full` would lock readers and writers out for all of it.
package struct TimelineCompaction {
    /// Bytes of the table, its index and its values out of line, before and after.
    package struct Outcome: Sendable, Equatable {
        package var before: Int64
        package var after: Int64
    }

    private let plan: ProjectionPlan
    private let copy: TimelineCopy

    /// - Returns: `nil` for a projection without a timeline.
    /// - Throws: `.configuration` where the projection was written under another configuration.
    package init?(_ plan: ProjectionPlan, on connection: Connection) async throws {
        try await ProjectionRegistry.requireStored(plan, on: connection)
        guard let stored = try await ProjectionRegistry.stored(plan.name, on: connection), stored.timeline else {
            return nil
        }
        self.plan = plan
        self.copy = TimelineCopy(plan.name, stored, for: .compaction)
    }

    /// Runs on the connection of a process that has entered the projection as an operation, beside which neither `forget`
    /// nor a rebuild runs. An interrupted compaction starts over.
    /// - Parameter isStopped: asked between two pages.
    /// - Returns: `nil` where it was stopped.
    /// - Throws: `.failed` where the role may not do it, or the columns were changed meanwhile.
    package func run(on connection: Connection, isStopped: () -> Bool = { false }) async throws -> Outcome? {
        do {
            return try await self.rewrite(on: connection, isStopped)
        } catch {
            // After a cancelled query too: where the connection is gone, the next compaction drops the copy.
            connection.forgetInterruption()
            try? await connection.transaction { try await self.copy.drop(on: connection) }
            guard (error as? PostgresError)?.sqlState == "42501" else { throw error }
            throw StoreError(
                .failed,
                "this role may not replace the timeline of projection \(self.plan.name), as its owner may; run the command "
                    + "as the owner of the tables"
            )
        }
    }

    private func bytes(on connection: Connection) async throws -> Int64 {
        try await connection.number("select pg_total_relation_size($1::text::regclass)", [.text(self.copy.old)])
    }

    private func rewrite(on connection: Connection, _ isStopped: () -> Bool) async throws -> Outcome? {
        let before = try await self.bytes(on: connection)
        try await connection.transaction("begin; \(Migrator.lock)") {
            // What a compaction that was killed has left.
            try await self.copy.drop(on: connection)
            try await self.copy.createAlike(on: connection)
        }
        let boundary = try await RebuildStore.newBoundary(of: self.plan.name, on: connection)
        var copied = 0
        repeat {
            guard !isStopped() else {
                try await connection.transaction { try await self.copy.drop(on: connection) }
                return nil
            }
            let page = try await self.copy.nextPage(on: connection)
            copied = try await connection.query(
                "insert into \(self.copy.new.sql) select * from \(page.events) as event",
                page.parameters
            ).affectedRows
        } while copied > 0
        try await connection.transaction("begin; \(Migrator.lock)") {
            try await self.requireSameColumns(on: connection)
            try await ProjectionLocks.raiseRevision(self.plan.name, on: connection)
            try await connection.execute(self.catchUp(since: boundary))
            var copy = self.copy
            try await copy.swap(on: connection)
            try await ProjectionRegistry.replaceViews(of: self.plan, on: connection)
            try await copy.finish(owning: ProjectionDDL(self.plan).owningGathering, on: connection)
        }
        return Outcome(before: before, after: try await self.bytes(on: connection))
    }

    /// Copies what was received or changed behind a moment.
    private func catchUp(since boundary: TimelineBoundary) -> String {
        """
        delete from \(self.copy.new.sql) as kept using \(self.copy.old) as event
        where \(self.copy.match("kept", "event")) and \(boundary.isChanged);
        insert into \(self.copy.new.sql) select * from \(self.copy.old) as event where \(boundary.isChanged);
        analyze \(self.copy.new.sql)
        """
    }

    /// Another process may have adopted other columns since the copy was made.
    private func requireSameColumns(on connection: Connection) async throws {
        try await ProjectionRegistry.requireStored(self.plan, on: connection)
        let found = try await connection.query(
            """
            select array_agg(columns order by relation) filter (where relation = $1::text::regclass)
                = array_agg(columns order by relation) filter (where relation = $2::text::regclass)
            from (
                select attrelid as relation, array_agg((attname, atttypid, atttypmod)::text order by attnum)::text as columns
                from pg_catalog.pg_attribute
                where attrelid in ($1::text::regclass, $2::text::regclass) and attnum > 0 and not attisdropped
                group by 1
            ) as found
            """,
            [.text(self.copy.old), .text(self.copy.new.sql)]
        )
        guard try found.bool(0, 0) == true else {
            throw StoreError(
                .failed,
                "the columns of projection \(self.plan.name) were changed while its timeline was copied; try again"
            )
        }
    }
}
