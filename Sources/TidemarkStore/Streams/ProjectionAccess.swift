package import LibPQ
import Synchronization

/// How a process may write a projection, as it last found out.
package struct Access: Sendable, Equatable {
    /// The stored revision that each batch compares.
    package var revision: Int64
    /// Other processes write the projection too: states are read, locked, in the batch's own transaction.
    package var isShared: Bool

    package init(revision: Int64, isShared: Bool) {
        self.revision = revision
        self.isShared = isShared
    }
}

/// The access of one process to its projections, by name; shared by its lanes.
package final class ProjectionAccess: Sendable {
    private let known = Mutex<[String: Access]>([:])

    package init() {}

    package subscript(projection: String) -> Access? {
        get { self.known.withLock { $0[projection] } }
        set { self.known.withLock { $0[projection] = newValue } }
    }

    /// Replaces an access, unless it has been found to be another meanwhile.
    func replace(_ before: Access, by after: Access, of projection: String) {
        self.known.withLock { known in
            if known[projection] == before { known[projection] = after }
        }
    }

    var hasShared: Bool { self.known.withLock { $0.values.contains(where: \.isShared) } }
}

/// The advisory locks of projections and processes, and the revisions that they protect.
///
/// | lock | held by | mode |
/// |---|---|---|
/// | (1953063021, hash of the projection) | each session that may write it, until it ends | shared; exclusive by `drop` and `verify` |
/// | (1953063022, hash of the projection) | each batch, until its transaction ends | shared; exclusive to raise the revision |
/// | (1953063023, id of the process) | each session of the process that may write | shared |
/// | (1953063024, hash of the projection) | an operation that no other may run beside: rebuild, prune, forget, drop | exclusive |
package enum ProjectionLocks {
    static let (writers, batches, processes, operations) = (1_953_063_021, 1_953_063_022, 1_953_063_023, 1_953_063_024)

    /// Takes a projection's batch lock until the end of the transaction, and raises its revision: batches that were
    /// folded before fold again. Each attempt waits for a short while, then lets batches pass, and waits for longer the
    /// next time: behind a waiting exclusive request shared ones wait too.
    /// - Parameter limit: how long batches, or an operation between two of them, may be in the way; `nil` for ever.
    /// - Throws: `.failed` at the limit.
    package static func raiseRevision(
        _ projection: String,
        limit: Duration? = Self.lockLimit,
        on connection: Connection
    ) async throws {
        try await Self.lockBatches(of: projection, limit: limit, on: connection)
        _ = try await connection.query(
            "update tidemark_internal.projections set revision = revision + 1 where name = $1::text",
            [.text(projection)]
        )
    }

    static func lockBatches(
        of projection: String,
        limit: Duration? = Self.lockLimit,
        on connection: Connection
    ) async throws {
        var wait = Self.firstWait
        let deadline = limit.map { ContinuousClock.now + $0 }
        while deadline.map({ ContinuousClock.now < $0 }) ?? true {
            try await connection.execute("savepoint batch_lock; set local lock_timeout = '\(wait)ms'")
            if try await Self.tryLockBatches(of: projection, on: connection) { return }
            try await Task.sleep(for: .milliseconds(wait))
            wait = min(wait * 2, Self.lastWait)
        }
        throw StoreError(
            .failed,
            "projection \(projection) was written without a pause for \(limit ?? .zero); `tidemark status` shows by which "
                + "processes and whom they wait for. Try again"
        )
    }

    /// How long operators and changes of a definition ask for the batch lock.
    package static let lockLimit = Duration.seconds(60)

    /// - Returns: `false` when the lock was not there within the transaction's `lock_timeout`.
    private static func tryLockBatches(of projection: String, on connection: Connection) async throws -> Bool {
        do {
            _ = try await connection.query(
                "select pg_advisory_xact_lock(\(Self.batches), hashtext($1::text))",
                [.text(projection)]
            )
        } catch {
            guard error.sqlState == "55P03" else { throw error }
            try await connection.execute("rollback to savepoint batch_lock; release savepoint batch_lock")
            return false
        }
        // The lock is kept.
        try await connection.execute("set local lock_timeout = 0; release savepoint batch_lock")
        return true
    }

    /// Milliseconds.
    static let (firstWait, lastWait) = (50, 1600)

    /// Takes a lock of a projection. It ends with the connection.
    /// - Parameters:
    ///   - isWithin: it ends with the transaction instead.
    ///   - grace: how long to wait for a holder: the server takes a moment to notice that a process was killed.
    ///   - doing: what a holder does with the projection, for the error.
    /// - Throws: `.failed`, naming the holder and since when it has the lock.
    static func lock(
        _ projection: String,
        _ key: Int,
        isShared: Bool = false,
        isWithin: Bool = false,
        grace: Duration = .seconds(2),
        _ doing: String,
        on connection: Connection
    ) async throws {
        let deadline = ContinuousClock.now + grace
        while true {
            do {
                return try await Self.tryLock(
                    projection,
                    key,
                    isShared: isShared,
                    isWithin: isWithin,
                    doing,
                    on: connection
                )
            } catch let error as StoreError {
                guard ContinuousClock.now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    /// Takes the lock of ``lockOperations(on:with:)`` until the end of the transaction: for a change of the definition.
    static func lockOperationsWithin(_ projection: String, on connection: Connection) async throws {
        try await Self.lock(
            projection,
            Self.operations,
            isWithin: true,
            grace: .zero,
            Self.operationNames,
            on: connection
        )
    }

    private static let operationNames = "worked on (rebuild, prune, forget, drop or verify)"

    /// Takes the lock of what no other process may do with a projection beside it. It ends with the connection. Processes
    /// that write may go on; one that allows no other beside it, as programs before schema version 11 did, is in the way.
    package static func lockOperations(on projection: String, with connection: Connection) async throws {
        try await Self.lock(projection, Self.operations, Self.operationNames, on: connection)
        try await Self.lock(projection, Self.writers, isShared: true, "written", on: connection)
        _ = try await connection.query(
            "select pg_advisory_unlock_shared(\(Self.writers), hashtext($1::text))",
            [.text(projection)]
        )
    }

    private static func tryLock(
        _ projection: String,
        _ key: Int,
        isShared: Bool,
        isWithin: Bool,
        _ doing: String,
        on connection: Connection
    ) async throws {
        let taken = try await connection.query(
            "select pg_try_advisory_\(isWithin ? "xact_" : "")lock\(isShared ? "_shared" : "")(\(key), hashtext($1::text))",
            [.text(projection)]
        )
        guard try taken.bool(0, 0) != true else { return }
        let holder = try await connection.query(
            """
            select format('%s (server process %s, since %s)', coalesce(nullif(a.application_name, ''), 'another session'),
                l.pid, to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')
            from pg_catalog.pg_locks as l
            left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
            where l.locktype = 'advisory' and l.granted and l.classid = \(key)
                -- pg_locks lists session locks of all databases.
                and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
                and l.objid = (hashtext($1::text)::bigint & 4294967295)::oid and l.pid <> pg_backend_pid()
            order by a.backend_start
            limit 1
            """,
            [.text(projection)]
        )
        let name = holder.rowCount > 0 ? try holder.text(0, 0) ?? "" : "another process"
        throw StoreError(
            .failed,
            "projection \(projection) is being \(doing) by \(name); wait for it, or stop it, and try again"
        )
    }
}

/// Keeps all batches of a projection waiting, by a session of its own, while other sessions of this process do what has to
/// be done between two batches.
package struct BatchGate: Sendable {
    private let connection: Connection
    private let process: ProcessSession

    /// Waits until no batch is being written.
    private static func close(of projection: String, as process: ProcessSession) async throws -> BatchGate {
        let connection = try await Connection.connect(process.settings.options)
        let gate = BatchGate(connection: connection, process: process)
        do {
            // A session of the process: fencing it ends this one too.
            try await process.admit(connection)
            try await connection.execute("begin")
            try await ProjectionLocks.lockBatches(of: projection, on: connection)
            return gate
        } catch {
            await gate.open()
            throw error
        }
    }

    /// Runs a body while no batch is being written.
    package static func with<R: Sendable>(
        _ projection: String,
        as process: ProcessSession,
        _ body: (BatchGate) async throws -> R
    ) async throws -> R {
        let gate = try await Self.close(of: projection, as: process)
        do {
            let result = try await body(gate)
            await gate.open()
            return result
        } catch {
            await gate.open()
            throw error
        }
    }

    /// - Throws: `.failed` when the session was lost, and with it the lock.
    func check() async throws {
        do {
            _ = try await self.connection.query("select 1")
        } catch {
            throw StoreError(
                .failed,
                "the session that kept other processes' batches waiting was lost (\(error)); nothing was changed. Try again"
            )
        }
    }

    private func open() async {
        self.process.dismiss(self.connection)
        await self.connection.close()
    }
}
