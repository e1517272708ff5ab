package import LibPQ

/// The processes that write, and what each of them has and waits for.
extension Inspection {
    /// One row for each process. `projections` and `waits_for` are JSON lists of texts, `streams` a list of objects
    /// (`replay`, `stream`, `generation`): those of unfinished passes that it reads.
    package static func processes(on connection: Connection) async throws -> Rows {
        // A schema of an earlier version has none.
        guard try await connection.query("select to_regclass('tidemark.processes') is not null").bool(0, 0) == true
        else { return Rows(columns: [], rows: []) }
        return try await Self.rows(
            """
            select p.process::text, p.name, p.status, to_char(p.started_at, 'YYYY-MM-DD HH24:MI:SS') as started_at,
                to_char(p.seen_at, 'YYYY-MM-DD HH24:MI:SS') as seen_at, p.sessions::text,
                to_json(p.projections)::text as projections, to_json(p.waits_for)::text as waits_for,
                (
                    select coalesce(
                        json_agg(
                            json_build_object('replay', l.pass_id, 'stream', s.name, 'generation', l.generation)
                            order by l.pass_id, l.input_order, s.name
                        ),
                        '[]'
                    )::text
                    from tidemark_internal.leases as l
                    join tidemark_internal.passes as pass on pass.id = l.pass_id
                    join tidemark_internal.streams as s on s.id = l.stream_id
                    where l.process_id = p.process and l.projection = '' and pass.finished_at is null
                ) as streams
            from tidemark.processes as p
            where p.status <> 'gone'
            order by p.process
            """,
            on: connection
        )
    }

    /// The revision of a projection. Each batch compares it; it is raised when caches of writing processes become invalid.
    package static func revision(of projection: String, on connection: Connection) async throws -> Int64? {
        let found = try await connection.query(
            "select to_jsonb(p) ->> 'revision' from tidemark_internal.projections as p where name = $1::text",
            [.text(projection)]
        )
        return found.rowCount == 1 ? try found.text(0, 0).flatMap { Int64($0) } : nil
    }
}
