package import LibPQ
import Logging
import Synchronization
import TidemarkCore

/// One process among those that write: its row in `tidemark_internal.processes`, its heartbeat, and its access to the
/// projections.
///
/// A process that comes takes the projection's shared session lock, and then raises its revision under the exclusive lock
/// of its batches. Batches of other processes compare revisions in their own transactions, so none that was folded
/// without knowledge of this process is committed after it has come; their processes look at the locks, and share. A lane
/// that was disconnected raises the revision again, because another process may have taken itself for alone meanwhile.
package actor ProcessSession {
    package nonisolated let settings: Settings
    package nonisolated let id: Int32
    package nonisolated let access = ProjectionAccess()
    /// Told by all of the process's connections.
    package nonisolated let outage: OutageLog
    nonisolated let retryStop: RetryStop
    /// For the process's own rows, in transactions.
    private let work: SessionConnection
    /// For session locks, heartbeats and single statements. It never has a transaction open, which would hold a heartbeat
    /// back.
    let heart: SessionConnection
    /// The stored definitions that lanes write by.
    private nonisolated let definitions = Mutex<[String: String]>([:])
    /// The other connections of the process: those of lanes and gates, and those that are about to replace a lost one.
    private nonisolated let others: ConnectionSet
    private nonisolated let beating = Mutex((task: Task<Void, Never>?.none, failure: StoreError?.none))
    private var lastHeartbeat = ContinuousClock.now
    /// As they were stored last.
    private var storedChecks = "{}"
    var lockWaits: LockWaitLog
    /// Since when every heartbeat has been answered in time.
    private var punctualSince = ContinuousClock.now

    private init(_ id: Int32, work: Connection, heart: Connection, _ settings: Settings) {
        self.id = id
        self.settings = settings
        self.lockWaits = LockWaitLog(settings.logger)
        self.outage = OutageLog(settings.logger, level: settings.outageLevel, onRefusal: settings.onRefusal)
        self.retryStop = settings.retryStop
        let (options, projections, others) = (settings.options, settings.projections, ConnectionSet())
        self.others = others
        self.work = SessionConnection(work, options, stop: settings.retryStop) { connection, former in
            try await others.with(connection) {
                try await Self.enlist(id, projections, replacing: former, on: connection)
            }
        }
        self.heart = SessionConnection(heart, options, stop: settings.retryStop) { connection, former in
            try await others.with(connection) {
                try await Self.takeLocks(id, settings, replacing: former, on: connection)
            }
        }
    }

    /// Enters the process, takes its session locks, and begins to send heartbeats.
    /// - Parameter connection: ready and migrated; for the process's own rows, and its caller's still.
    /// - Throws: `.failed`, naming the holder, where a projection is locked against other writers.
    package static func join(_ connection: Connection, _ settings: Settings) async throws -> ProcessSession {
        let heart = try await Connection.connect(settings.options)
        // There are no heartbeats yet that would notice a server that does not answer.
        let silence = Task {
            try await Task.sleep(for: settings.leaseTTL + Self.entryTime)
            heart.abandon()
            connection.abandon()
        }
        defer { silence.cancel() }
        do {
            let entered = try await heart.query(
                """
                -- In the future, because heartbeats begin after the locks are taken, and another process may hold them.
                insert into tidemark_internal.processes (name, lease_ttl, seen_at)
                values (
                    $1::text, make_interval(secs => $2::double precision),
                    now() + make_interval(secs => $3::double precision)
                )
                returning id
                """,
                [
                    .text(settings.options.applicationName), .double(settings.leaseTTL / .seconds(1)),
                    .double(Self.entryTime / .seconds(1)),
                ]
            )
            let process = ProcessSession(try entered.int32(0, 0) ?? 0, work: connection, heart: heart, settings)
            do {
                try await Self.takeLocks(process.id, settings, on: heart)
                try await Self.enlist(process.id, settings.projections, on: connection)
            } catch {
                await process.leave()
                throw error
            }
            process.startBeating()
            return process
        } catch {
            await heart.close()
            throw error
        }
    }

    /// How long an entry may wait for other processes, beside its lease.
    private static let entryTime = Duration.seconds(10)

    /// - Parameter former: the server process of the session that this one replaces.
    private static func takeLocks(
        _ id: Int32,
        _ settings: Settings,
        replacing former: Int32? = nil,
        on connection: Connection
    ) async throws {
        try await Self.enlist(id, settings.projections, replacing: former, on: connection)
        for projection in settings.operations {
            try await ProjectionLocks.lockOperations(on: projection, with: connection)
        }
        for projection in settings.exclusive {
            try await ProjectionLocks.lock(projection, ProjectionLocks.writers, "written", on: connection)
        }
    }

    /// Has a session be one of the process's, that may write its projections.
    /// - Parameter former: the server process of the session that this one replaces. It is ended: the server may not have
    ///   noticed that it is lost, and holds its locks.
    /// - Throws: ``StoreError/fenced``.
    private static func enlist(
        _ id: Int32,
        _ projections: [String],
        replacing former: Int32? = nil,
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            "select pg_advisory_lock_shared(\(ProjectionLocks.processes), $1::integer)",
            [.int32(id)]
        )
        // Behind the lock: who fences the process looks for its holders after it has said so.
        let alive = try await connection.query(
            "select from tidemark_internal.processes where id = $1::integer and fenced_at is null",
            [.int32(id)]
        )
        guard alive.rowCount == 1 else { throw StoreError.fenced }
        if let former {
            _ = try await connection.query(
                """
                select pg_catalog.pg_terminate_backend(pid, 5000)
                from (
                    select distinct pid from tidemark_internal.writing_sessions
                    where process_id = $1::integer and pid = $2::integer
                ) as replaced
                """,
                [.int32(id), .int32(former)]
            )
        }
        for projection in projections.sorted() {
            try await ProjectionLocks.lock(
                projection,
                ProjectionLocks.writers,
                isShared: true,
                "written",
                on: connection
            )
        }
    }

    /// Gives the leases back, and ends. Lanes are closed before; the caller's connection stays.
    package func leave() async {
        let task = self.beating.withLock { $0.task }
        task?.cancel()
        await task?.value
        let (connection, own) = (await self.heart.current, await self.work.current)
        // What ends the process is not to be interrupted.
        connection.forgetInterruption()
        own.forgetInterruption()
        _ = try? await connection.query(
            "delete from tidemark_internal.processes where id = $1::integer",
            [.int32(self.id)]
        )
        await connection.close()
        for projection in self.settings.projections {
            _ = try? await own.query(
                "select pg_advisory_unlock_shared(\(ProjectionLocks.writers), hashtext($1::text))",
                [.text(projection)]
            )
        }
        _ = try? await own.query(
            "select pg_advisory_unlock_shared(\(ProjectionLocks.processes), $1::integer)",
            [.int32(self.id)]
        )
    }

    // MARK: Connections

    /// The connection for the process's own rows, replaced if it was lost.
    /// - Parameter wait: how long to wait for an unreachable database; `nil` for ever.
    /// - Throws: ``StoreError/fenced``.
    package nonisolated func held(wait: Duration?) async throws -> Connection {
        try self.check()
        return try await self.work.held(wait: wait)
    }

    /// Runs a repeatable step on that connection. When it is lost, the step is retried, with growing delays.
    /// - Parameter wait: how long a failing step is retried, and how long to wait for an unreachable database before
    ///   each attempt; `nil` for ever.
    package nonisolated func perform<R: Sendable>(
        wait: Duration?,
        _ step: (Connection) async throws -> R
    ) async throws -> R {
        try await DatabaseRetry(wait: wait, outage: self.outage, stop: self.retryStop).perform {
            try await step(try await self.held(wait: wait))
        }
    }

    /// Has another connection be one of the process's sessions, until ``dismiss(_:)``.
    /// - Parameter former: the server process of the connection that it replaces.
    package nonisolated func admit(_ connection: Connection, replacing former: Int32? = nil) async throws {
        try self.check()
        self.others.insert(connection)
        do {
            try await Self.enlist(self.id, self.settings.projections, replacing: former, on: connection)
        } catch {
            self.others.remove(connection)
            throw error
        }
    }

    package nonisolated func dismiss(_ connection: Connection) { self.others.remove(connection) }

    /// How long the server has to end sessions; then the connections are given up.
    private static let answerTime = Duration.seconds(1)

    /// Ends the sessions of lanes and gates, whatever they are doing. Their open transactions are rolled back.
    package func endOtherSessions() async {
        let silence = Task {
            try await Task.sleep(for: Self.answerTime)
            self.others.abandon()
        }
        defer { silence.cancel() }
        guard let connection = try? await self.heart.held(wait: .zero) else { return self.others.abandon() }
        let kept = [connection.backendPID, await self.work.current.backendPID]
        _ = try? await connection.query(
            """
            select pg_catalog.pg_terminate_backend(pid)
            from (
                select distinct pid from tidemark_internal.writing_sessions
                where process_id = $1::integer and pid not in ($2::integer, $3::integer)
            ) as session
            """,
            [.int32(self.id), .int32(kept[0]), .int32(kept[1])]
        )
    }

    // MARK: Access

    /// Tells the other writers of the projections that this process is there. Waits for as long as batches, or an
    /// operation between two of them, are in the way.
    /// - Parameters:
    ///   - connection: one of the process's sessions, without a transaction; not the heart's.
    ///   - wait: how long to wait for an unreachable database; `nil` for ever.
    package nonisolated func enter(on connection: Connection, wait: Duration? = .zero) async throws {
        for projection in self.settings.projections {
            try await connection.transaction {
                try await ProjectionLocks.raiseRevision(projection, limit: nil, on: connection)
            }
        }
        try await self.refresh(wait: wait)
    }

    /// Finds out the projections' revisions, and whether other processes write them, after a batch met another revision.
    /// - Throws: `.superseded` where a projection has another definition than before.
    package func refresh(wait: Duration?) async throws {
        try await self.look(on: try await self.heart.held(wait: wait))
    }

    private func look(on connection: Connection) async throws {
        for projection in self.settings.projections {
            let found = try await connection.query(
                "select revision, definition::text from tidemark_internal.projections where name = $1::text",
                [.text(projection)]
            )
            guard found.rowCount == 1 else {
                if self.access[projection] == nil { continue }
                throw StoreError(.failed, "projection \(projection) was dropped by another process")
            }
            let definition = try found.text(0, 1) ?? ""
            let known = self.definitions.withLock { definitions in
                let known = definitions[projection]
                definitions[projection] = known ?? definition
                return known ?? definition
            }
            guard known == definition else { throw StoreError.superseded(projection) }
            // Behind the revision: who raised it has had the session lock since before.
            let others = try await connection.query(
                """
                select exists (
                    select from pg_catalog.pg_locks as other
                    where other.locktype = 'advisory' and other.granted and other.classid = \(ProjectionLocks.writers)
                        and other.database = (select oid from pg_catalog.pg_database where datname = current_database())
                        and other.objid = (hashtext($1::text)::bigint & 4294967295)::oid
                        and not exists (
                            select from pg_catalog.pg_locks as own
                            where own.pid = other.pid and own.locktype = 'advisory' and own.granted
                                and own.classid = \(ProjectionLocks.processes) and own.objid = $2::integer::oid
                        )
                )
                """,
                [.text(projection), .int32(self.id)]
            )
            let access = Access(revision: try found.int64(0, 0) ?? 0, isShared: try others.bool(0, 0) ?? true)
            if let before = self.access[projection], before.isShared != access.isShared {
                let isThere = access.isShared ? "another process writes" : "no other process writes"
                self.settings.logger.info("\(isThere) projection \(projection) now")
            }
            self.access[projection] = access
        }
    }

    /// The stored definitions are those to write by, whatever they are.
    package nonisolated func forgetDefinitions() {
        self.definitions.withLock { $0 = [:] }
    }

    // MARK: Heartbeats

    /// - Throws: ``StoreError/fenced``.
    package nonisolated func check() throws {
        if let failure = self.beating.withLock({ $0.failure }) { throw failure }
    }

    /// Every heartbeat of the last half of the lease's time was answered in time, so that others are not silent only
    /// because the database was away.
    var isPunctual: Bool { ContinuousClock.now - self.punctualSince >= self.settings.leaseTTL / 2 }

    /// How often a process with such a lease is heard of.
    static func heartbeat(_ leaseTTL: Duration) -> Duration { min(.seconds(1), leaseTTL / 4) }

    private nonisolated func startBeating() {
        let heartbeat = Self.heartbeat(self.settings.leaseTTL)
        let task = Task {
            while (try? await Task.sleep(for: heartbeat)) != nil {
                do {
                    try await self.beat()
                    // A heartbeat needs no room: what waits for some has not succeeded by it.
                    if !self.outage.isRefusal { self.settings.onHeartbeat?(nil) }
                } catch let error as StoreError where error.kind == .fenced {
                    self.beating.withLock { $0.failure = error }
                    return
                } catch {
                    // The database is away, or a projection has another definition: lanes meet that with their next batch.
                    self.settings.onHeartbeat?(error)
                    self.settings.logger.debug("no heartbeat", metadata: ["error": "\(error)"])
                }
            }
        }
        self.beating.withLock { $0.task = task }
    }

    /// Tells the other processes that this one is alive, and ends the sessions of one that has been silent for longer than
    /// its lease. A server that does not answer for as long as the lease is taken for lost: behind a proxy that is
    /// silent, what the sessions wait for never comes.
    private func beat() async throws {
        let silence = Task {
            try await Task.sleep(for: self.settings.leaseTTL)
            self.others.abandon()
            await self.work.current.abandon()
            await self.heart.current.abandon()
        }
        defer { silence.cancel() }
        let connection = try await self.heart.held(wait: .zero)
        let checks = self.settings.checks?() ?? self.storedChecks
        let isChanged = checks != self.storedChecks
        let alive = try await connection.query(
            """
            update tidemark_internal.processes set seen_at = now()\(isChanged ? ", checks = $2::jsonb" : "")
            where id = $1::integer and fenced_at is null
            """,
            [.int32(self.id)] + (isChanged ? [.text(checks)] : [])
        )
        guard alive.affectedRows == 1 else { throw StoreError.fenced }
        self.storedChecks = checks
        let now = ContinuousClock.now
        if now - self.lastHeartbeat > self.settings.leaseTTL / 2 { self.punctualSince = now }
        self.lastHeartbeat = now
        try await self.lookForLocks(on: connection)
        if self.access.hasShared { try await self.look(on: connection) }
        // After a pause of the database the other processes are silent too, until their next heartbeat.
        guard now - self.punctualSince >= self.settings.leaseTTL else { return }
        try await Fencing.fenceSilent(besides: self.id, logger: self.settings.logger, on: connection)
    }
}
