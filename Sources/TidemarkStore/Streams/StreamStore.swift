package import LibPQ
package import TidemarkCore

/// Stores streams and assigns each its number once.
package enum StreamStore {
    /// The number of a stream, known or newly assigned; `nil` where its content is gone.
    package static func enter(
        _ stream: StreamDescription,
        sourceID: Int64?,
        on connection: Connection
    ) async throws -> StreamID? {
        let sourceID = stream.isResumable ? sourceID : nil
        guard stream.isResumable, !stream.name.incarnation.isEmpty else {
            return try await Self.insert(stream.name, sourceID: sourceID, hint: stream.hint, on: connection)
        }
        let candidates = try await Self.candidates(
            name: stream.name.name,
            incarnation: stream.name.incarnation,
            hint: stream.hint,
            on: connection
        )
        switch stream.identify(candidates) {
        case .known(var known):
            let stored = candidates.first { $0.id == known.id }
            guard
                known.name != stream.name.name || known.hint != stream.hint || known.incarnation != stored?.incarnation
            else { return known.id }
            let former = known.name
            (known.name, known.hint) = (stream.name.name, stream.hint)
            try await Self.update(known, former: former, on: connection)
            return known.id
        case .new(let incarnation):
            var name = stream.name
            name.incarnation = incarnation
            return try await Self.insert(name, sourceID: sourceID, hint: stream.hint, on: connection)
        case .gone:
            return nil
        }
    }

    /// The candidates for an input: streams with its name, hint or incarnation, the newest first.
    private static func candidates(
        name: String,
        incarnation: String,
        hint: String?,
        on connection: Connection
    ) async throws -> [KnownStream] {
        let found = try await connection.query(
            """
            select s.id, name, incarnation, hint, coalesce(tidemark_internal.offset_major(furthest."offset"), 0),
                coalesce(furthest.resume, '')
            from tidemark_internal.streams as s
            left join lateral (
                select l."offset", l.resume
                from tidemark_internal.leases as l
                join tidemark_internal.passes as p on p.id = l.pass_id
                where l.stream_id = s.id and p.finished_at is null
                order by l."offset" desc
                limit 1
            ) as furthest on true
            where name = $1::text or incarnation = $2::text or hint = $3::text
            order by s.id desc
            """,
            [.text(name), .text(incarnation), hint.map { .text($0) } ?? .null]
        )
        return try found.rows { try Self.known(found, $0) }
    }

    /// Columns: id, name, incarnation, hint, how far it is read, resume token.
    static func known(_ rows: borrowing QueryResult, _ row: Int) throws -> KnownStream {
        KnownStream(
            id: StreamID(rawValue: try rows.int64(row, 0) ?? 0),
            name: try rows.text(row, 1) ?? "",
            incarnation: try rows.text(row, 2) ?? "",
            hint: try rows.text(row, 3),
            reached: UInt64(clamping: try rows.int64(row, 4) ?? 0),
            resume: try rows.bytes(row, 5) ?? []
        )
    }

    /// Inserts a stream, unless one of the same name exists.
    private static func insert(
        _ name: StreamName,
        sourceID: Int64?,
        hint: String?,
        on connection: Connection
    ) async throws -> StreamID {
        let result = try await connection.query(
            """
            insert into tidemark_internal.streams as known (source_id, name, incarnation, hint)
            values ($1::bigint, $2::text, $3::text, $4::text)
            on conflict (name, incarnation, coalesce(source_id, 0)) do update set hint = excluded.hint
            returning id
            """,
            [
                sourceID.map { .int64($0) } ?? .null, .text(name.name), .text(name.incarnation),
                hint.map { .text($0) } ?? .null,
            ]
        )
        return StreamID(rawValue: try result.int64(0, 0) ?? 0)
    }

    /// Updates the name and hint of a known stream. A stream of the same incarnation that has the new name gets the
    /// former one in exchange: rotated files that begin alike take each other's names, and two streams of one name and
    /// incarnation would violate the unique index.
    private static func update(_ stream: KnownStream, former: String, on connection: Connection) async throws {
        let hint: Parameter = stream.hint.map { .text($0) } ?? .null
        // A temporary name, because the index is checked row by row. The statements are one transaction.
        let between = "'tidemark:' || id"
        _ = try await connection.pipeline([
            .sql(
                """
                update tidemark_internal.streams set name = \(between)
                where name = $2::text and incarnation = $3::text and id <> $1::bigint and coalesce(source_id, 0) = (
                    select coalesce(source_id, 0) from tidemark_internal.streams where id = $1::bigint
                )
                """,
                [.int64(stream.id.rawValue), .text(stream.name), .text(stream.incarnation)]
            ),
            .sql(
                """
                update tidemark_internal.streams set name = $2::text, incarnation = $3::text, hint = $4::text
                where id = $1::bigint
                """,
                [.int64(stream.id.rawValue), .text(stream.name), .text(stream.incarnation), hint]
            ),
            .sql(
                """
                update tidemark_internal.streams as twin
                set name = $2::text,
                    -- One that had the name before has it still: its number tells the two apart.
                    incarnation = case
                        when exists (
                            select from tidemark_internal.streams as same
                            where same.name = $2::text and same.incarnation = $1::text
                                and coalesce(same.source_id, 0) = coalesce(twin.source_id, 0)
                        ) then incarnation || ':' || id
                        else incarnation
                    end
                where name = \(between) and incarnation = $1::text
                """,
                [.text(stream.incarnation), .text(former)]
            ),
        ])
    }
}
