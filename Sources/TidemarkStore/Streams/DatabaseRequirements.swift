package import LibPQ

/// What a database, and the way to it, must be for the read model.
package enum DatabaseRequirements {
    /// Comparisons of two sessions before they count as two. A pooler that has several server processes may serve both
    /// sessions differently by chance.
    private static let comparisons = 3

    /// Refuses an encoding other than UTF8, in which nearly every message would become a dead letter, and a pooler that
    /// gives each transaction another server process, where prepared statements and session locks are another
    /// session's.
    /// - Parameters:
    ///   - connection: no transaction is open on it.
    ///   - options: those it was made with, for a second session if there is a pooler.
    /// - Throws: ``StoreError/Kind/unusableDatabase``.
    package static func check(_ connection: Connection, _ options: ConnectionOptions) async throws {
        let found = try await connection.query(
            "select current_database(), current_setting('server_encoding'), pg_backend_pid()"
        )
        let name = try found.text(0, 0) ?? ""
        let encoding = try found.text(0, 1) ?? ""
        guard encoding == "UTF8" else {
            throw StoreError(
                .unusableDatabase,
                "database \"\(name)\" has the encoding \(encoding), which cannot hold every text of the messages; "
                    + "use a database that was created with the encoding UTF8 "
                    + "(create database … encoding 'UTF8' template template0)"
            )
        }
        // A pooler tells its clients a process number of its own, in session mode too.
        guard try found.int32(0, 2) != connection.backendPID else { return }
        let other = try await Connection.connect(options)
        do {
            let shares = try await Self.shareAServerProcess(connection, other)
            await other.close()
            guard !shares else { throw Self.pooled(name) }
        } catch {
            await other.close()
            throw error
        }
    }

    /// Whether the statements of two sessions are run by one server process, which never happens in session mode.
    private static func shareAServerProcess(_ one: Connection, _ other: Connection) async throws -> Bool {
        var processes: Set<Int32> = []
        for _ in 0..<Self.comparisons {
            if let process = try await Self.serverProcess(of: one) { processes.insert(process) }
            if processes.count > 1 { return true }
            if let process = try await Self.serverProcess(of: other), processes.contains(process) { return true }
        }
        return false
    }

    private static func serverProcess(of connection: Connection) async throws -> Int32? {
        try await connection.query("select pg_backend_pid()").int32(0, 0)
    }

    private static func pooled(_ name: String) -> StoreError {
        StoreError(
            .unusableDatabase,
            "database \"\(name)\" is reached through a pooler that gives each transaction another server process; "
                + "set its pool mode to session (PgBouncer: pool_mode = session), or name the server itself"
        )
    }
}
