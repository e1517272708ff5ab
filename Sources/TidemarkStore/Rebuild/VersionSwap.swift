package import LibPQ
package import TidemarkCore

/// Replaces the live version by a next version, in one transaction.
///
/// Milestones of the live version stay reached, with their times and deliveries; new ones of the next version go into
/// the outbox. Last, the views are recreated over the next version's tables, which needs exclusive locks. Each attempt
/// has a short lock timeout and is retried, because a pending exclusive lock blocks new readers.
package struct VersionSwap: Sendable {
    package struct Outcome: Sendable {
        /// The number of newly reached milestones, by name.
        package var reached: [String: Int64] = [:]
        /// The number of attempts that timed out on readers' locks.
        package var retries = 0

        package init() {}
    }

    let definition: ProjectionDefinition
    let source: RebuildStore.Source
    let isMuted: Bool
    /// How long to wait for readers' locks, all attempts together.
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

    /// - Parameter gate: keeps batches of the live version waiting.
    /// - Throws: `StoreError` when readers keep their locks for ``lockWait``; the next version stays as it is then.
    package func run(behind gate: BatchGate? = nil, on connection: Connection) async throws -> Outcome {
        let versions = try await VersionPair(self.definition, on: connection)
        guard self.isMuted || self.definition.milestones.isEmpty || versions.carriesFormerKey else {
            throw StoreError(
                .configuration,
                "projection \(self.definition.name): the key changed, and the new rows do not carry the former one "
                    + "(\(versions.old.key.map(\.name).joined(separator: ", "))), so nothing tells which milestones were "
                    + "delivered before; keep those columns too, or say --mute"
            )
        }
        // There may be many milestones, so the schema lock is taken only when relations are changed.
        return try await connection.transaction {
            var outcome = Outcome()
            outcome.reached = try await MilestoneHandover(versions, isMuted: self.isMuted).run(on: connection)
            try await self.handOverLetters(on: connection)
            outcome.retries = try await ViewSwap(versions, lockWait: self.lockWait).run(on: connection)
            // From here on the tables are locked, so what a lost gate would let through waits for them.
            try await gate?.check()
            try await self.enter(versions, on: connection)
            return outcome
        }
    }

    // MARK: Other tables

    /// Renames dead letters and truncates, and removes interrupted replays.
    private func handOverLetters(on connection: Connection) async throws {
        let (live, next) = (self.definition.name, NextVersion.name(of: self.definition.name))
        let names: [Parameter] = [.text(live), .text(next)]
        // A letter of both versions keeps its number and the time when it was first seen.
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
            // An interrupted replay would be resumed although the rebuilt rows may lack its first part.
            try await PassStore.forgetUnfinished(self.definition.name, on: connection)
        case .timeline:
            // They stay as records and delete nothing: `on_truncate: delete` is rebuilt from files.
            _ = try await connection.query(
                "update tidemark_internal.truncates set order_key = null where projection = $1::text",
                [names[0]]
            )
        }
    }

    /// Makes the next version's definition and readings those of the projection.
    private func enter(_ versions: VersionPair, on connection: Connection) async throws {
        let names: [Parameter] = [.text(versions.plan.name), .text(versions.next.name)]
        try await ProjectionRegistry.save(StoredDefinition(versions.plan), of: versions.plan, on: connection)
        _ = try await connection.query(
            """
            update tidemark_internal.projections as live
            set position_kind = next.position_kind,
                -- A timeline is read as it was written, and processes beside the rebuild may have found more.
                units = case when $3::boolean then live.units else next.units end,
                sources = case when $3::boolean then live.sources else next.sources end,
                revision = live.revision + 1
            from tidemark_internal.projections as next
            where live.name = $1::text and next.name = $2::text
            """,
            names + [.bool(self.source == .timeline)]
        )
        _ = try await connection.query("delete from tidemark_internal.projections where name = $1::text", [names[1]])
        _ = try await connection.query("delete from tidemark_internal.rebuilds where projection = $1::text", [names[0]])
    }
}
