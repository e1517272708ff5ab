package import LibPQ

/// The service as its passes and processes have stored it.
extension Inspection {
    package struct Service: Sendable {
        /// Streams of its unfinished passes that have not ended, those furthest behind first.
        package var streams: Rows
        /// How many there are.
        package var streamCount: Int
        /// What does not run, by process: process, name, status, since, reason, remedy.
        package var checks: Rows
        /// What an operator has paused: kind, name, since.
        package var paused: Rows
    }

    /// - Parameter limit: how many streams.
    /// - Returns: `nil` in a schema of an earlier version.
    package static func service(limit: Int, on connection: Connection) async throws -> Service? {
        guard try await connection.query("select to_regclass('tidemark.checks') is not null").bool(0, 0) == true
        else { return nil }
        let streams = try await Self.rows(
            """
            select lease.pass_id::text as pass, source.name as source, stream.name as stream,
                nullif(lease.projection, '') as projection, process.id::text as process, process.name as process_name,
                tidemark_internal.offset_major(lease."offset")::text as "offset", lease.behind::text,
                to_char(lease.taken_at, 'YYYY-MM-DD HH24:MI:SS') as since, count(*) over ()::text as total
            from tidemark_internal.leases as lease
            join tidemark_internal.passes as pass on pass.id = lease.pass_id
            join tidemark_internal.streams as stream on stream.id = lease.stream_id
            left join tidemark_internal.sources as source on source.id = stream.source_id
            -- A lease outlives a process that was killed.
            left join tidemark.processes as living
                on living.process = lease.process_id and living.status in ('running', 'silent')
            left join tidemark_internal.processes as process on process.id = living.process
            where pass.is_service and pass.finished_at is null and not lease.is_at_end
                and (
                    lease.projection = ''
                    -- One that catches up.
                    or lease.projection = any(pass.projections)
                        and (lease.joined_at is null or lease."offset" < lease.joined_at)
                        and not exists (
                            select from tidemark_internal.leases as ended
                            where ended.pass_id = lease.pass_id and ended.stream_id = lease.stream_id
                                and ended.projection = '' and ended.is_at_end and ended."offset" <= lease."offset"
                        )
                )
            order by coalesce(lease.behind, 0) desc, process.id is not null, stream.name, lease.projection
            limit $1::bigint
            """,
            [.int64(Int64(limit))],
            on: connection
        )
        return Service(
            streams: streams,
            streamCount: streams.rows.first?.last.flatMap { $0.flatMap { Int($0) } } ?? 0,
            checks: try await Self.rows(
                """
                select checked.process::text, checked.name, checked.status,
                    to_char(checked.since, 'YYYY-MM-DD HH24:MI:SS') as since, checked.reason, checked.remedy
                from tidemark.checks as checked
                order by checked.name, checked.process
                """,
                [],
                on: connection
            ),
            paused: try await Self.rows(
                """
                select kind, name, to_char(paused_at, 'YYYY-MM-DD HH24:MI:SS') as since
                from (
                    select 'source' as kind, name, paused_at from tidemark_internal.sources
                    union all
                    select 'projection', name, paused_at from tidemark_internal.projections
                ) as subject
                where paused_at is not null
                order by kind desc, name
                """,
                [],
                on: connection
            )
        )
    }
}
