package import LibPQ
import TidemarkCore

/// One numbered step of the schema.
package struct Migration: Sendable {
    package var version: Int
    package var name: String
    package var sql: String
}

/// What a command may make or change of a database's relations.
package enum SchemaChanges: Sendable {
    /// Nothing: for a role that only writes rows.
    case none
    /// What is not there at all is made: the schema of a database without one, the relations of a new projection, views
    /// that were dropped. What is there stays as it is.
    case creation
    /// An older schema is brought up to date as well, and relations get the columns that the configuration adds.
    case all
}

/// Brings a database to this program's schema.
package enum Migrator {
    /// The steps in order, from the first.
    package static var migrations: [Migration] { EmbeddedMigrations.all }

    /// The lock that every change of relations takes first.
    static let lock = "select pg_advisory_xact_lock(1953063021, 0)"

    /// Applies the steps that the database lacks in one transaction, so that an upgrade is never partial.
    /// - Returns: the versions applied.
    /// - Throws: `.configuration` when the database is newer than this program.
    package static func migrate(_ connection: Connection) async throws -> [Int] {
        try await Self.namingTheCommand { try await Self.applyMissing(connection) }
    }

    /// Brings the schema up to date as far as `changes` allows.
    /// - Throws: `.configuration`, naming `tidemark migrate` where a step is missing that may not be made, or a newer
    ///   program where the database has steps that this one does not know.
    package static func prepare(_ changes: SchemaChanges, on connection: Connection) async throws -> [Int] {
        let applied = try await Self.appliedVersions(connection)
        try Self.refuseNewer(applied)
        guard changes == .all || (changes == .creation && applied.isEmpty) else {
            try Self.requireCurrent(applied)
            return []
        }
        return try await Self.migrate(connection)
    }

    /// Checks that no step is missing, and changes nothing.
    /// - Throws: `.configuration`, naming `tidemark migrate`.
    package static func requireCurrent(_ connection: Connection) async throws {
        try Self.requireCurrent(try await Self.appliedVersions(connection))
    }

    private static func requireCurrent(_ applied: Set<Int>) throws {
        let missing = Self.migrations.filter { !applied.contains($0.version) }
        guard !missing.isEmpty else { return }
        let versions = missing.map { "\($0.version)" }.joined(separator: ", ")
        throw Self.required(
            applied.isEmpty ? "the database has no Tidemark schema" : "the database lacks schema version \(versions)"
        )
    }

    /// The error that names the missing steps and the command that applies them.
    static func required(_ what: String) -> StoreError {
        StoreError(
            .configuration,
            "\(what); run `tidemark migrate` with the same configuration, as a role that may create it"
        )
    }

    /// Adds to an error of missing rights which command to run as the owner.
    static func namingTheCommand<R>(_ step: () async throws -> R) async throws -> R {
        do {
            return try await step()
        } catch let error as PostgresError where error.sqlState == "42501" {
            throw Self.required("this role may not make what is missing (\(error.message))")
        }
    }

    private static func applyMissing(_ connection: Connection) async throws -> [Int] {
        // Without the lock: a process that was stopped while it held it is fenced only by one that has entered itself.
        let before = try await Self.appliedVersions(connection)
        if before.isSuperset(of: Self.migrations.map(\.version)), before.count == Self.migrations.count { return [] }
        try await connection.execute("set client_min_messages = warning")
        return try await connection.transaction("begin; \(Self.lock)") {
            let applied = try await Self.appliedVersions(connection)
            try Self.refuseNewer(applied)
            // Each step is looked up: one that was numbered first may be released later.
            let missing = Self.migrations.filter { !applied.contains($0.version) }
            for migration in missing {
                try await connection.execute(migration.sql + "\n" + Self.record(of: migration))
            }
            return missing.map(\.version)
        }
    }

    private static func refuseNewer(_ applied: Set<Int>) throws {
        let known = Self.migrations.last?.version ?? 0
        guard let version = applied.max(), version > known else { return }
        throw StoreError(
            .configuration,
            "the database is at schema version \(version), this program knows \(known); use a newer tidemark"
        )
    }

    /// Records a migration as applied, after its own statements.
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

    /// The database's schema version; 0 before the first migration.
    package static func currentVersion(_ connection: Connection) async throws -> Int {
        try await Self.appliedVersions(connection).max() ?? 0
    }

    /// - Throws: `.configuration` where only one half of the schema is there.
    private static func appliedVersions(_ connection: Connection) async throws -> Set<Int> {
        let exists = try await connection.query(
            "select to_regclass('tidemark_internal.migrations') is not null, to_regnamespace('tidemark') is not null"
        )
        guard try exists.bool(0, 0) == true else { return [] }
        guard try exists.bool(0, 1) == true else {
            throw StoreError(
                .configuration,
                "the schema tidemark is missing, and tidemark_internal is there: restore both from one back-up, or drop "
                    + "tidemark_internal and the projections' views too, and read the logs again"
            )
        }
        let found = try await connection.query("select version from tidemark_internal.migrations")
        return Set(try found.rows { Int(try found.int32($0, 0) ?? 0) })
    }
}
