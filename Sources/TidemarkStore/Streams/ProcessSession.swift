package import LibPQ
package import Logging
import Synchronization
import TidemarkCore

/// One process among those that write: its row in `tidemark_internal.processes`, its heartbeat, and its access to the
/// projections.
///
/// No process grants access to another. One that comes takes the projection's shared session lock, and then raises its
/// revision under the exclusive lock of its batches. Batches of the others compare revisions in their own transactions,
/// so none that was folded without knowledge of it is committed behind it; their processes look who else writes, and
/// share. A process that was disconnected comes in the same way again.
package actor ProcessSession {
    package struct Settings: Sendable {
        package var options: ConnectionOptions
        /// The projections that the process writes.
        package var projections: [String]
        /// The projections on which it does what no other process may do beside it.
        package var operations: [String]
        /// How long it may be silent before another process ends its sessions.
        package var leaseTTL: Duration
        package var logger: Logger

        package init(
            _ options: ConnectionOptions,
            projections: [String],
            operations: [String] = [],
            leaseTTL: Duration = .seconds(10),
            logger: Logger
        ) {
            self.options = options
            self.projections = projections
            self.operations = operations
            self.leaseTTL = leaseTTL
            self.logger = logger
        }
    }

    package nonisolated let settings: Settings
    package nonisolated let id: Int32
    package nonisolated let access = ProjectionAccess()
    /// For the process's own rows, in transactions.
    private let work: SessionConnection
    /// For locks and heartbeats, which come at any moment.
    private let heart: SessionConnection
    /// The stored definitions that lanes write by.
    private nonisolated let definitions = Mutex<[String: String]>([:])
    /// Connections of lanes.
    private nonisolated let lanes = Mutex<[ObjectIdentifier: Connection]>([:])
    private nonisolated let beating = Mutex((task: Task<Void, Never>?.none, failure: StoreError?.none))
    /// When the last heartbeat was answered.
    private var lastHeartbeat = ContinuousClock.now

    private init(_ id: Int32, work: Connection, heart: Connection, _ settings: Settings) {
        self.id = id
        self.settings = settings
        let (options, projections) = (settings.options, settings.projections)
        self.work = SessionConnection(work, options) { try await Self.enlist(id, projections, on: $0) }
        self.heart = SessionConnection(heart, options) { try await Self.takeLocks(id, settings, on: $0) }
    }

    /// Enters the process, takes its session locks, and begins to send heartbeats.
    /// - Parameter connection: ready and migrated; for the process's own rows, and its caller's still.
    /// - Throws: `.failed`, naming the holder, where a projection is locked against other writers.
    package static func join(_ connection: Connection, _ settings: Settings) async throws -> ProcessSession {
        let heart = try await Connection.connect(settings.options)
        do {
            let entered = try await heart.query(
                """
                insert into tidemark_internal.processes (name, lease_ttl)
                values ($1::text, make_interval(secs => $2::double precision))
                returning id
                """,
                [.text(settings.options.applicationName), .double(settings.leaseTTL / .seconds(1))]
            )
            let id = try entered.int32(0, 0) ?? 0
            try await Self.takeLocks(id, settings, on: heart)
            try await Self.enlist(id, settings.projections, on: connection)
            let process = ProcessSession(id, work: connection, heart: heart, settings)
            process.startBeating()
            return process
        } catch {
            await heart.close()
            throw error
        }
    }

    private static func takeLocks(_ id: Int32, _ settings: Settings, on connection: Connection) async throws {
        try await Self.enlist(id, settings.projections, on: connection)
        for projection in settings.operations {
            try await ProjectionLocks.lockOperations(on: projection, with: connection)
        }
    }

    /// Has a session be one of the process's, that may write its projections.
    /// - Throws: ``StoreError/fenced``.
    private static func enlist(_ id: Int32, _ projections: [String], on connection: Connection) async throws {
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
        let connection = await self.heart.current
        _ = try? await connection.query(
            "delete from tidemark_internal.processes where id = $1::integer",
            [.int32(self.id)]
        )
        await connection.close()
        let own = await self.work.current
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

    /// Runs a body as a process, which ends with it.
    package static func with<R: Sendable>(
        _ connection: Connection,
        _ settings: Settings,
        _ body: (ProcessSession) async throws -> R
    ) async throws -> R {
        let process = try await Self.join(connection, settings)
        do {
            let result = try await body(process)
            await process.leave()
            return result
        } catch {
            await process.leave()
            throw error
        }
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
        logger: Logger,
        _ step: (Connection) async throws -> R
    ) async throws -> R {
        try await DatabaseRetry(wait: wait, logger: logger).perform { try await step(try await self.held(wait: wait)) }
    }

    /// Has a lane's connection be one of the process's sessions.
    nonisolated func admit(_ connection: Connection) async throws {
        try self.check()
        try await Self.enlist(self.id, self.settings.projections, on: connection)
        self.lanes.withLock { $0[ObjectIdentifier(connection)] = connection }
    }

    nonisolated func dismiss(_ connection: Connection) {
        _ = self.lanes.withLock { $0.removeValue(forKey: ObjectIdentifier(connection)) }
    }

    // MARK: Access

    /// Tells the other writers of the projections that this process is there.
    package func enter() async throws {
        let connection = try await self.heart.held(wait: .zero)
        for projection in self.settings.projections {
            try await ProjectionLocks.raiseRevisionNow(projection, on: connection)
        }
        try await self.look(on: connection)
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

    /// - Throws: ``StoreError/fenced``, or why the process may not go on.
    package nonisolated func check() throws {
        if let failure = self.beating.withLock({ $0.failure }) { throw failure }
    }

    private nonisolated func startBeating() {
        let heartbeat = min(.seconds(1), self.settings.leaseTTL / 4)
        let task = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: heartbeat)
                do {
                    try await self.beat()
                } catch let error as StoreError {
                    self.beating.withLock { $0.failure = error }
                    return
                } catch {
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
            for lane in self.lanes.withLock({ Array($0.values) }) { lane.abandon() }
            await self.work.current.abandon()
            await self.heart.current.abandon()
        }
        defer { silence.cancel() }
        let isNew = await self.heart.isBroken
        let connection = try await self.heart.held(wait: .zero)
        let before = self.lastHeartbeat
        let alive = try await connection.query(
            "update tidemark_internal.processes set seen_at = now() where id = $1::integer and fenced_at is null",
            [.int32(self.id)]
        )
        guard alive.affectedRows == 1 else { throw StoreError.fenced }
        self.lastHeartbeat = .now
        if isNew { try await self.enter() } else if self.access.hasShared { try await self.look(on: connection) }
        // Where this process was late itself, the silence of the others may be that of the database.
        guard self.lastHeartbeat - before < self.settings.leaseTTL / 2 else { return }
        try await Fencing.fenceSilent(besides: self.id, logger: self.settings.logger, on: connection)
    }
}

/// A connection that is replaced when it is lost.
private actor SessionConnection {
    private(set) var current: Connection
    private let options: ConnectionOptions
    private let prepare: @Sendable (Connection) async throws -> Void
    private var renewal: Task<Connection, any Error>?

    /// - Parameter prepare: makes a new connection one of the process's sessions.
    init(
        _ connection: Connection,
        _ options: ConnectionOptions,
        _ prepare: @escaping @Sendable (Connection) async throws -> Void
    ) {
        self.current = connection
        self.options = options
        self.prepare = prepare
    }

    var isBroken: Bool {
        get async { await self.current.isBroken }
    }

    func held(wait: Duration?) async throws -> Connection {
        if let renewal { return try await renewal.value }
        do {
            _ = try await self.current.query("select 1")
            return self.current
        } catch {
            guard error.isConnectionLoss else { throw error }
        }
        if let renewal { return try await renewal.value }
        let (options, prepare) = (self.options, self.prepare)
        let renewal = Task {
            try await DatabaseRetry(wait: wait).perform {
                let connection = try await Connection.connect(options)
                do {
                    try await prepare(connection)
                } catch {
                    await connection.close()
                    throw error
                }
                return connection
            }
        }
        self.renewal = renewal
        defer { self.renewal = nil }
        self.current = try await renewal.value
        return self.current
    }
}
