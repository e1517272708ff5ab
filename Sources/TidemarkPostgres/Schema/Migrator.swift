package import LibPQ

/// One numbered step of the schema.
package struct Migration: Sendable {
    package var version: Int
    package var name: String
    package var sql: String
}

/// Brings a database to this program's schema.
package enum Migrator {
    /// The steps in order, from the first.
    package static var migrations: [Migration] { EmbeddedMigrations.all }

    /// Everybody who changes relations takes this lock first.
    static let lock = "select pg_advisory_xact_lock(1953063021, 0)"

    /// What the role that Tidemark connects as has to be allowed.
    package static let leastRights = """
        -- The least rights that Tidemark's role needs (here: tidemark, in database shop):
        --   grant connect, create on database shop to tidemark;   -- makes its own schemas
        --   grant usage, create on schema public to tidemark;     -- for each schema that a projection's table is in
        -- It owns what it creates and needs no right on anything else. Readers need:
        --   grant usage on schema tidemark to reader;
        --   grant select on all tables in schema tidemark to reader;
        -- and for `tidemark status` and `tidemark show` the same on schema tidemark_internal.
        """

    /// Applies the steps that the database lacks, each in a transaction of its own.
    /// - Returns: the versions applied.
    /// - Throws: `.configuration` when the database is newer than this program.
    package static func migrate(_ connection: Connection) async throws -> [Int] {
        try await connection.execute("set client_min_messages = warning")
        var applied: [Int] = []
        for migration in Self.migrations {
            try await connection.execute("begin; \(Self.lock)")
            do {
                let version = try await Self.currentVersion(connection)
                let known = Self.migrations.last?.version ?? 0
                if version > known {
                    throw StoreError(
                        .configuration,
                        "the database is at schema version \(version), this program knows \(known); use a newer tidemark"
                    )
                }
                if try await !Self.has(migration, connection) {
                    try await connection.execute(migration.sql)
                    try await connection.execute(Self.record(of: migration))
                    applied.append(migration.version)
                }
                try await connection.execute("commit")
            } catch {
                try? await connection.execute("rollback")
                throw error
            }
        }
        return applied
    }

    /// What makes a migration known as applied; behind its own statements.
    package static func record(of migration: Migration) -> String {
        """
        create table if not exists tidemark_internal.migrations (
            version integer primary key,
            name text not null,
            applied_at timestamptz not null default now()
        );
        comment on table tidemark_internal.migrations is 'Schema versions that this database has.';
        insert into tidemark_internal.migrations (version, name)
        values (\(migration.version), \(SQLText.literal(migration.name)));
        """
    }

    /// Each step counts by itself: one that was numbered first and released later is not taken for applied.
    private static func has(_ migration: Migration, _ connection: Connection) async throws -> Bool {
        guard try await Self.currentVersion(connection) > 0 else { return false }
        let found = try await connection.query(
            "select 1 from tidemark_internal.migrations where version = $1::integer",
            [.int32(Int32(migration.version))]
        )
        return found.rowCount > 0
    }

    /// The database's schema version; 0 before the first migration.
    package static func currentVersion(_ connection: Connection) async throws -> Int {
        let exists = try await connection.query(
            "select to_regclass('tidemark_internal.migrations') is not null"
        )
        guard try exists.bool(0, 0) == true else { return 0 }
        let version = try await connection.query(
            "select coalesce(max(version), 0)::integer from tidemark_internal.migrations"
        )
        return Int(try version.int32(0, 0) ?? 0)
    }
}
