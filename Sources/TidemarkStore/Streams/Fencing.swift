package import LibPQ
package import Logging

/// Ends the sessions of processes that have been silent for longer than their leases. A process that was stopped in the
/// middle of a transaction keeps its row locks for as long as it is stopped, and could commit when it wakes.
package enum Fencing {
    /// Fences the silent processes that have sessions. One whose sessions this role may not end is logged.
    package static func fenceSilent(besides own: Int32, logger: Logger, on connection: Connection) async throws {
        let silent = try await connection.query(
            """
            select id, name, extract(epoch from now() - seen_at)::bigint from tidemark_internal.processes as process
            where id <> $1::integer and seen_at < now() - lease_ttl
                and exists (
                    select from tidemark_internal.writing_sessions as session where session.process_id = process.id
                )
            """,
            [.int32(own)]
        )
        for row in 0..<silent.rowCount {
            let (id, name) = (try silent.int32(row, 0) ?? 0, try silent.text(row, 1) ?? "")
            do {
                guard try await Self.fence(id, name, on: connection) else { continue }
            } catch let error as StoreError {
                logger.error("\(error)")
                continue
            }
            let seconds = try silent.int64(row, 2) ?? 0
            logger.warning("\(name) was silent for \(seconds) s, longer than its lease; its sessions were ended")
        }
    }

    /// Fences one process, unless it has been heard of meanwhile, and waits until its sessions are gone.
    /// - Returns: whether its sessions are gone; `false` also when one does not end within ``limit``.
    /// - Throws: `.failed` where this role may not end them.
    static func fence(_ id: Int32, _ name: String, on connection: Connection) async throws -> Bool {
        let deadline = ContinuousClock.now + Self.limit
        var isFenced = false
        while ContinuousClock.now < deadline {
            if !isFenced {
                // The process may have been stopped in a transaction that holds its row: that is not waited for.
                let found = try await connection.query(
                    """
                    with silent as (
                        select id from tidemark_internal.processes
                        where id = $1::integer and seen_at < now() - lease_ttl
                        for update skip locked
                    ),
                    fenced as (
                        update tidemark_internal.processes as process set fenced_at = coalesce(fenced_at, now())
                        from silent
                        where process.id = silent.id
                        returning process.id
                    )
                    select exists (select from fenced), exists (
                        select from tidemark_internal.processes where id = $1::integer and seen_at < now() - lease_ttl
                    )
                    """,
                    [.int32(id)]
                )
                guard try found.bool(0, 1) == true else { return false }
                isFenced = try found.bool(0, 0) ?? false
            }
            // A session that enlists once the process is fenced finds itself so: the list only gets shorter then.
            let left = try await Self.endSessions(of: id, name, on: connection)
            if isFenced, left == 0 { return true }
            try await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    /// A session that the server cannot end at once is asked for again with the next heartbeat.
    private static let limit = Duration.seconds(2)

    /// - Returns: how many sessions were left.
    private static func endSessions(of id: Int32, _ name: String, on connection: Connection) async throws -> Int {
        do {
            return try await connection.query(
                """
                select pg_catalog.pg_terminate_backend(pid)
                from (select distinct pid from tidemark_internal.writing_sessions where process_id = $1::integer) as session
                """,
                [.int32(id)]
            ).rowCount
        } catch {
            guard error.sqlState == "42501" else { throw error }
            throw StoreError(
                .failed,
                "\(name) has been silent for longer than its lease, and this role may not end its sessions; run both as one "
                    + "role, or grant pg_signal_backend"
            )
        }
    }
}
