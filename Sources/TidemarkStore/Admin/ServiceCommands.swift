package import LibPQ
import TidemarkCore

/// What operators change of a running service. Its processes find out with their next heartbeat.
package enum ServiceCommands {
    /// A source or a projection.
    package enum Subject: Sendable, Equatable {
        case source(String)
        case projection(String)

        package var name: String {
            switch self {
            case .source(let name), .projection(let name): name
            }
        }

        /// `source` or `projection`.
        package var kind: String {
            switch self {
            case .source: "source"
            case .projection: "projection"
            }
        }

        var table: String {
            switch self {
            case .source: "sources"
            case .projection: "projections"
            }
        }
    }

    package static func pausedProjections(on connection: Connection) async throws -> Set<String> {
        try await Self.paused("projections", on: connection)
    }

    package static func pausedSources(on connection: Connection) async throws -> Set<String> {
        try await Self.paused("sources", on: connection)
    }

    private static func paused(_ table: String, on connection: Connection) async throws -> Set<String> {
        Set(
            try await connection.query("select name from tidemark_internal.\(table) where paused_at is not null")
                .texts()
        )
    }

    /// Which of the two a name is of, as far as the database knows them.
    package static func subjects(named name: String, on connection: Connection) async throws -> [Subject] {
        let found = try await connection.query(
            """
            select exists (select from tidemark_internal.sources where name = $1::text),
                exists (select from tidemark_internal.projections where name = $1::text)
            """,
            [.text(name)]
        )
        return (try found.bool(0, 0) == true ? [.source(name)] : [])
            + (try found.bool(0, 1) == true ? [.projection(name)] : [])
    }

    /// Pauses a source or projection, or resumes it.
    /// - Returns: whether that changed anything.
    package static func pause(_ subject: Subject, _ isPaused: Bool, on connection: Connection) async throws -> Bool {
        try await connection.transaction {
            let changed = try await connection.query(
                """
                update tidemark_internal.\(subject.table) set paused_at = \(isPaused ? "now()" : "null")
                where name = $1::text and paused_at is \(isPaused ? "" : "not ")null
                """,
                [.text(subject.name)]
            )
            guard changed.affectedRows > 0 else { return false }
            // Of sources processes learn when they look at how streams are shared.
            if case .projection = subject { try await Self.restart(on: connection) }
            try await Self.record(isPaused ? "pause" : "resume", subject, on: connection)
            return true
        }
    }

    /// Passes of the service that read for the projection `$1`, or did until it was paused.
    private static let hasProjection = """
        is_service and finished_at is null
            and (
                $1::text = any(projections)
                or exists (
                    select from tidemark_internal.leases as own
                    where own.pass_id = passes.id and own.projection = $1::text
                )
            )
        """

    /// Has the service read all streams again for a projection, each first for it alone, up to where the others are.
    /// - Returns: how many streams; `nil` where no service reads for the projection.
    package static func backfill(
        _ projection: String,
        besides pushed: [String],
        on connection: Connection
    ) async throws -> Int? {
        try await connection.transaction {
            // Not `for update`: batches that refer to the pass would wait, and hold what this transaction waits for.
            let passes = try await connection.query(
                "select id from tidemark_internal.passes where \(Self.hasProjection) for no key update",
                [.text(projection)]
            )
            guard passes.rowCount > 0 else { return nil }
            try await ProjectionLocks.raiseRevision(projection, on: connection)
            let ids = PassStore.int8Array(try passes.rows { try passes.int64($0, 0) ?? 0 })
            for table in ["leases", "progress"] {
                _ = try await connection.query(
                    "delete from tidemark_internal.\(table) where projection = $1::text and pass_id = any($2::bigint[])",
                    [.text(projection), ids]
                )
            }
            let streams = try await connection.query(
                """
                insert into tidemark_internal.leases (pass_id, projection, stream_id, input_order)
                select pass_id, $1::text, stream_id, input_order
                from tidemark_internal.leases as lease
                where pass_id = any($2::bigint[]) and projection = ''
                    and not exists (
                        select from tidemark_internal.streams as stream
                        join tidemark_internal.sources as source on source.id = stream.source_id
                        where stream.id = lease.stream_id and source.name = any($3::text[])
                    )
                """,
                [.text(projection), ids, .texts(pushed)]
            ).affectedRows
            try await Self.restart(on: connection)
            try await Self.record("backfill", .projection(projection), #"{"streams": \#(streams)}"#, on: connection)
            return streams
        }
    }

    /// Has all processes of the service begin again, each with what it is to read now. A pass does not name the
    /// projections that are paused.
    private static func restart(on connection: Connection) async throws {
        try await connection.execute(
            "update tidemark_internal.passes set revision = revision + 1 where is_service and finished_at is null"
        )
    }

    /// - Parameter detail: a JSON object.
    static func record(
        _ action: String,
        _ subject: Subject,
        _ detail: String = "{}",
        on connection: Connection
    ) async throws {
        _ = try await connection.query(
            "insert into tidemark_internal.audit (action, subject, detail) values ($1::text, $2::text, $3::jsonb)",
            [.text(action), .text(subject.name), .text(detail)]
        )
    }
}
