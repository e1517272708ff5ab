import LibPQ
import Logging
package import TidemarkCore

/// The service's pass: streams come and go, and are shared with other processes by leases.
extension PostgresProjection: LiveProjectionStore {
    func beginService(_ sources: [String], on connection: Connection) async throws -> PassContext {
        let plans = try await ProjectionRegistry.withStoredDigests(self.settings.projections, on: connection)
        let sourceIDs = try await PassStore.identify(sources: sources, on: connection)
        let state = try await PassStore.beginService(
            projections: self.names,
            lanes: self.settings.lanes,
            process: self.process.id,
            on: connection
        )
        let revision = try await PassStore.revision(of: state.id, on: connection)
        // Behind the revision: what is paused or resumed later raises it.
        if let known = self.settings.pausedProjections,
            try await ServiceCommands.pausedProjections(on: connection) != known
        {
            throw StoreError.passChanged
        }
        self.pass.begin(state, empty: try await self.emptyRelations(of: plans, on: connection))
        self.pass.noteService(revision: revision ?? 0, sources: sources, sourceIDs)
        return PassContext(
            plans: plans,
            lanes: state.lanes,
            laneRule: state.laneRule,
            streams: [],
            sources: sources,
            readings: try await PassStore.readings(of: self.names, on: connection)
        )
    }

    package func enter(_ stream: StreamDescription) async throws -> StreamID? {
        try await self.perform { connection in
            let sourceID = self.pass.sourceID(stream.name.source)
            // One process at a time: another one may have found the same content, under another name perhaps.
            let id = try await connection.transaction {
                _ = try await connection.query(
                    "select from tidemark_internal.sources where id = $1::bigint for no key update",
                    [sourceID.map { .int64($0) } ?? .null]
                )
                return try await StreamStore.enter(stream, sourceID: sourceID, on: connection)
            }
            guard let id else { return nil }
            try await ProjectionRegistry.admit(
                [.init(stream.settings, stream: (id, stream.name.name))],
                to: self.settings.projections.map { ProjectionPlan($0) },
                claimant: self.settings.claimant,
                on: connection
            )
            try await PassStore.enterLease(of: id, in: self.pass.id, self.names, on: connection)
            return try await PassStore.isOpen(id, in: self.pass.id, stream, on: connection) ? id : nil
        }
    }

    package func lease(of stream: StreamID) async throws -> StreamLease? {
        try await self.pass.leases.wait(for: stream)
    }

    package func open(
        _ stream: StreamID,
        _ description: StreamDescription
    ) async throws -> (PassStream, detached: [PassStream]) {
        let state = try await self.perform { connection in
            // Another process may have projections that this one does not.
            try await connection.transaction {
                try await PassStore.detach(besides: self.names, of: self.pass.id, stream, on: connection)
                try await PassStore.dropPassedProgress(of: self.pass.id, stream, on: connection)
            }
            var state = PassState(id: self.pass.id, lanes: self.pass.lanes)
            state.laneRule = self.pass.laneRule
            try await PassStore.loadProgress(&state, self.names, of: stream, on: connection)
            return state
        }
        for key in state.committed.keys { self.pass.progress.load(state.rows[key] ?? [:], of: key) }
        let name = description.settings.name
        let together =
            state.committed[ProgressKey(stream: stream)] ?? CommittedProgress(lanes: state.lanes, rule: state.laneRule)
        var common = PassContext.streams([description]) { _ in (stream, self.pass.sourceID(name) ?? 0, together) }
            .streams[0]
        common.sourceIndex = self.pass.sources.firstIndex(of: name) ?? 0
        let detached = state.committed.filter { $0.key.projection >= 0 }.map { key, committed in
            var own = common
            (own.projection, own.committed, own.limit) = (key.projection, committed, state.joins[key])
            return own
        }
        return (common, detached)
    }

    package func giveBack(_ lease: StreamLease, _ levels: [StoredLevel]) async throws {
        try await self.perform { connection in
            try await PassStore.save(
                levels: self.named(levels),
                of: self.pass.id,
                process: self.process.id,
                on: connection
            )
            try await PassStore.giveBack(lease.stream, of: self.pass.id, self.process.id, on: connection)
        }
        self.pass.leases.drop(lease.stream)
    }

    package func shareStreams() async throws {
        let heartbeat = ProcessSession.heartbeat(self.process.settings.leaseTTL)
        var lastRemoval = ContinuousClock.now
        while true {
            try await self.share()
            await self.pass.leases.wakeup.wait(atMost: heartbeat)
            try Task.checkCancellation()
            // The pass has no end, which is when others remove what has expired.
            guard ContinuousClock.now - lastRemoval >= .seconds(3600) else { continue }
            lastRemoval = .now
            _ = try await self.perform { try await PassRetention.removeExpired(self.settings.retention, on: $0) }
        }
    }

    package func endLaneSessions() async { await self.process.endOtherSessions() }

    private func share() async throws {
        let leases = self.pass.leases
        let (held, waiting) = (leases.held, leases.waiting)
        let mayFence = await self.process.isPunctual
        let (granted, pausedSources) = try await self.perform { connection in
            guard try await PassStore.revision(of: self.pass.id, on: connection) == self.pass.revision else {
                throw StoreError.passChanged
            }
            let (table, silent) = try await PassStore.shares(of: self.pass.id, self.process.id, on: connection)
            // After a pause of the database every process has been silent.
            if mayFence, !silent.isEmpty { try await PassStore.fenceKilled(silent, on: connection) }
            for stream in waiting where table.streams[stream] == nil && !table.paused.contains(stream) {
                leases.end(stream)
            }
            let (take, give) = table.decisions(held: held, waiting: waiting)
            for stream in give { leases.revoke(stream) }
            if !give.isEmpty { self.logger.info("giving back \(give.count) of \(held.count) streams") }
            var granted: [StreamID] = []
            for stream in take
            where try await PassStore.take(stream, of: self.pass.id, self.process.id, on: connection) {
                granted.append(stream)
            }
            let wants = waiting.filter { table.streams[$0] != nil }.subtracting(granted)
            try await PassStore.tell(wants: wants, of: self.process.id, on: connection)
            return (granted, try await ServiceCommands.pausedSources(on: connection))
        }
        if !granted.isEmpty {
            self.logger.info(
                "reading \(granted.count) more stream\(granted.count == 1 ? "" : "s")",
                metadata: ["in_all": "\(held.count + granted.count)"]
            )
        }
        self.settings.onPausedSources?(pausedSources)
        for stream in granted where !leases.grant(stream) {
            try await self.perform {
                try await PassStore.giveBack(stream, of: self.pass.id, self.process.id, on: $0)
            }
        }
    }

    /// The streams of a source that the service has read, to their ends or not.
    package func streams(of source: String) async throws -> [KnownStream] {
        try await self.perform { try await PassStore.streams(of: source, on: $0) }
    }
}

extension PostgresProjection {
    /// Ends the streams of an HTTP source that were those of processes that are gone: clients send nothing more to them.
    /// The process's own stream goes on: while it was fenced, another process may have ended it.
    package func endStreams(of source: String, besides incarnation: String) async throws {
        try await self.perform { connection in
            _ = try await connection.query(
                """
                update tidemark_internal.leases as lease set is_at_end = true
                from tidemark_internal.streams as stream
                join tidemark_internal.sources as source on source.id = stream.source_id
                where lease.pass_id = $1::bigint and stream.id = lease.stream_id and source.name = $2::text
                    and stream.incarnation <> $3::text and not lease.is_at_end
                    and not exists (
                        select from tidemark_internal.writing_sessions as session
                        where session.process_id = lease.process_id
                    )
                """,
                [.int64(self.pass.id), .text(source), .text(incarnation)]
            )
            _ = try await connection.query(
                """
                update tidemark_internal.leases as lease set is_at_end = false
                from tidemark_internal.streams as stream
                where lease.pass_id = $1::bigint and stream.id = lease.stream_id and stream.incarnation = $2::text
                    and lease.is_at_end
                """,
                [.int64(self.pass.id), .text(incarnation)]
            )
        }
    }

    /// Ends the streams of a name that came before another one of it: what they held is gone.
    package func endFormerStreams(of stream: StreamName) async throws {
        try await self.perform { connection in
            _ = try await connection.query(
                """
                update tidemark_internal.leases as lease set is_at_end = true
                from tidemark_internal.streams as former
                join tidemark_internal.sources as source on source.id = former.source_id
                where lease.pass_id = $1::bigint and former.id = lease.stream_id and source.name = $2::text
                    and former.name = $3::text and former.incarnation <> $4::text and not lease.is_at_end
                """,
                [.int64(self.pass.id), .text(stream.source), .text(stream.name), .text(stream.incarnation)]
            )
        }
    }
}
