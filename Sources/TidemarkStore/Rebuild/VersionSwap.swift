package import LibPQ
package import TidemarkCore

/// Puts a next version in the place of the live one, in one transaction.
///
/// What the live version had reached stays reached, with its time and its delivery; what the next one reached beside it
/// goes into the outbox. Then, and only for the moment that it takes, the views are made anew over the next version's
/// tables. A reader who is looking at them is never waited for in a queue that others would have to join: after a short
/// while the attempt is given up, and made again.
package struct VersionSwap: Sendable {
    package struct Outcome: Sendable {
        /// Newly reached, by name.
        package var reached: [String: Int64] = [:]
        /// How often readers were in the way.
        package var retries = 0

        package init() {}
    }

    let definition: ProjectionDefinition
    let source: RebuildStore.Source
    let isMuted: Bool
    /// How long readers may be in the way, all attempts together.
    let lockWait: Duration

    package init(
        _ definition: ProjectionDefinition,
        from source: RebuildStore.Source,
        isMuted: Bool,
        lockWait: Duration = .seconds(300)
    ) {
        self.definition = definition
        self.source = source
        self.isMuted = isMuted
        self.lockWait = lockWait
    }

    /// - Throws: `StoreError` when readers never leave; the next version stays as it is then.
    package func run(on connection: Connection) async throws -> Outcome {
        let versions = try await VersionPair(self.definition, on: connection)
        guard self.isMuted || self.definition.milestones.isEmpty || versions.carriesFormerKey else {
            throw StoreError(
                .configuration,
                "projection \(self.definition.name): the key changed, and the new rows do not carry the former one "
                    + "(\(versions.old.key.map(\.name).joined(separator: ", "))), so nothing tells which milestones were "
                    + "delivered before; keep those columns too, or say --mute"
            )
        }
        try await StoredTimeline.configureSession(connection)
        // Milestones may be many; the lock of all who change relations is taken when they are changed.
        try await connection.execute(
            """
            begin;
            set local lock_timeout = 0;
            set local statement_timeout = 0;
            set local idle_in_transaction_session_timeout = 0;
            set local search_path = pg_catalog
            """
        )
        do {
            var outcome = Outcome()
            outcome.reached = try await MilestoneHandover(versions, isMuted: self.isMuted).run(on: connection)
            try await self.handOverLetters(on: connection)
            outcome.retries = try await ViewSwap(versions, lockWait: self.lockWait).run(on: connection)
            try await self.enter(versions, on: connection)
            try await connection.execute("commit")
            return outcome
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    // MARK: What is entered elsewhere

    /// Dead letters, truncates and interrupted replays.
    private func handOverLetters(on connection: Connection) async throws {
        let (live, next) = (self.definition.name, NextVersion.name(of: self.definition.name))
        let names: [Parameter] = [.text(live), .text(next)]
        // A letter that both have keeps its number and the time when it was first seen.
        _ = try await connection.query(
            """
            update tidemark_internal.dead_letters as kept
            set reason = found.reason, detail = found.detail, last_seen = found.last_seen
            from tidemark_internal.dead_letters as found
            where kept.projection = $1::text and found.projection = $2::text
                and found.digest = kept.digest and found."row" = kept."row"
            """,
            names
        )
        _ = try await connection.query(
            """
            delete from tidemark_internal.dead_letters as found using tidemark_internal.dead_letters as kept
            where kept.projection = $1::text and found.projection = $2::text
                and found.digest = kept.digest and found."row" = kept."row"
            """,
            names
        )
        _ = try await connection.query(
            "update tidemark_internal.dead_letters set projection = $1::text where projection = $2::text",
            names
        )
        switch self.source {
        case .files:
            _ = try await connection.query(
                "delete from tidemark_internal.truncates where projection = $1::text",
                [names[0]]
            )
            _ = try await connection.query(
                "update tidemark_internal.truncates set projection = $1::text where projection = $2::text",
                names
            )
            // One that was interrupted would go on as if its first part were in the rows that the files made.
            try await PassStore.forgetUnfinished(self.definition.name, on: connection)
        case .timeline:
            // They are remembered, and delete nothing: `on_truncate: delete` is rebuilt from files.
            _ = try await connection.query(
                "update tidemark_internal.truncates set order_key = null where projection = $1::text",
                [names[0]]
            )
        }
    }

    /// The next version's definition, and what is stored beside it of its readings, become the projection's.
    private func enter(_ versions: VersionPair, on connection: Connection) async throws {
        let names: [Parameter] = [.text(versions.plan.name), .text(versions.next.name)]
        try await ProjectionRegistry.save(StoredDefinition(versions.plan), of: versions.plan, on: connection)
        _ = try await connection.query(
            """
            update tidemark_internal.projections as live
            set position_kind = next.position_kind, units = next.units, sources = next.sources
            from tidemark_internal.projections as next
            where live.name = $1::text and next.name = $2::text
            """,
            names
        )
        _ = try await connection.query("delete from tidemark_internal.projections where name = $1::text", [names[1]])
        _ = try await connection.query("delete from tidemark_internal.rebuilds where projection = $1::text", [names[0]])
    }
}
