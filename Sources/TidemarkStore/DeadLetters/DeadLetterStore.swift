package import LibPQ
package import TidemarkCore

/// Which dead letters; `nil` means any.
package struct DeadLetterFilter: Sendable, Hashable {
    package var ids: [Int64]?
    package var reason: String?
    package var projection: String?
    package var source: String?
    /// Seen at this moment or later, and at this moment or before: microseconds since 1970.
    package var since: Int64?
    package var until: Int64?

    package init(ids: [Int64]? = nil) {
        self.ids = ids
    }

    /// Nothing is left out.
    package var isEmpty: Bool { self == DeadLetterFilter() }

    fileprivate static let sql = """
        ($1::bigint[] is null or letter.id = any($1::bigint[]))
        and ($2::text is null or letter.reason = $2::text)
        and ($3::text is null or letter.projection = $3::text)
        and ($4::text is null or letter.source = $4::text)
        and ($5::bigint is null or letter.last_seen >= to_timestamp($5::bigint / 1000000.0))
        and ($6::bigint is null or letter.first_seen <= to_timestamp($6::bigint / 1000000.0))
        """

    fileprivate var parameters: [Parameter] {
        func text(_ value: String?) -> Parameter { value.map { .text($0) } ?? .null }
        func number(_ value: Int64?) -> Parameter { value.map { .int64($0) } ?? .null }
        let ids: Parameter = self.ids.map { DeadLetterStore.array($0) } ?? .null
        return [
            ids, text(self.reason), text(self.projection), text(self.source), number(self.since), number(self.until),
        ]
    }
}

/// A dead letter as it is kept.
package struct StoredDeadLetter: Sendable {
    package var id: Int64
    /// `nil` when the message belongs to no one projection.
    package var projection: String?
    package var source: String
    package var position: String
    package var reason: String
    package var detail: String
    package var raw: [UInt8]
    package var digest: [UInt8]
    package var row: Int32
    package var count: Int64
    /// Microseconds since 1970.
    package var firstSeen: Int64
    package var lastSeen: Int64
    /// `nil` for what was set aside before readings were kept.
    package var reading: DeadLetter.Reading?
    package var isWhole: Bool
    /// The name of the stream that it was read from, when that is known.
    package var streamName: String?

    /// `raw` is the message as it came, all of it.
    package var isComplete: Bool { DeadLetter.isComplete(raw: self.raw, digest: self.digest) }
}

/// The dead letters, as the command line works on them.
package enum DeadLetterStore {
    static func array(_ values: [Int64]) -> Parameter {
        var array = BinaryArray(elementOID: OID.int8, expectedCount: values.count)
        for value in values { array.append(value) }
        return array.parameter(arrayOID: OID.int8Array)
    }

    /// Dead letters, the newest first, without their raw bytes.
    package static func list(
        _ filter: DeadLetterFilter,
        limit: Int64,
        on connection: Connection
    ) async throws -> Inspection.Rows {
        try await Inspection.rows(
            """
            select id::text, projection, reason, source, position, "row"::text, count::text,
                to_char(first_seen at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as first_seen,
                to_char(last_seen at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as last_seen, detail
            from tidemark_internal.dead_letters as letter
            where \(DeadLetterFilter.sql)
            order by id desc
            limit $7::bigint
            """,
            filter.parameters + [.int64(limit)],
            on: connection
        )
    }

    /// The projections that the dead letters belong to; an empty name for those that belong to no one.
    package static func projections(
        _ filter: DeadLetterFilter,
        on connection: Connection
    ) async throws(PostgresError) -> [String] {
        try await Self.names("projection", filter, on: connection)
    }

    package static func sources(
        _ filter: DeadLetterFilter,
        on connection: Connection
    ) async throws(PostgresError) -> [String] {
        try await Self.names("source", filter, on: connection)
    }

    private static func names(
        _ column: String,
        _ filter: DeadLetterFilter,
        on connection: Connection
    ) async throws(PostgresError) -> [String] {
        let result = try await connection.query(
            """
            select distinct letter.\(column) from tidemark_internal.dead_letters as letter
            where \(DeadLetterFilter.sql) order by 1
            """,
            filter.parameters
        )
        var names: [String] = []
        for row in 0..<result.rowCount { names.append(try result.text(row, 0) ?? "") }
        return names
    }

    /// Dead letters in the order in which they were first set aside, from the first behind `id`: at most `limit`, and
    /// about as many bytes of messages as that would be at 16 KiB each.
    package static func page(
        _ filter: DeadLetterFilter,
        after id: Int64,
        limit: Int64,
        on connection: Connection
    ) async throws(PostgresError) -> [StoredDeadLetter] {
        let result = try await connection.query(
            """
            select id, nullif(projection, ''), source, position, reason, detail, raw, digest, "row", count,
                first_seen, last_seen, stream_id, "offset", message_ordinal, is_whole_message, stream_name
            from (
                select letter.*, stream.name as stream_name,
                    sum(length(letter.raw)) over (order by letter.id rows unbounded preceding) - length(letter.raw)
                        as bytes_before
                from (
                    select letter.* from tidemark_internal.dead_letters as letter
                    where \(DeadLetterFilter.sql) and letter.id > $7::bigint
                    order by letter.id
                    limit $8::bigint
                ) as letter
                left join tidemark_internal.streams as stream on stream.id = letter.stream_id
            ) as letter
            where bytes_before < $8::bigint * 16384
            order by id
            """,
            filter.parameters + [.int64(id), .int64(limit)]
        )
        var letters: [StoredDeadLetter] = []
        for row in 0..<result.rowCount { letters.append(try Self.letter(result, row)) }
        return letters
    }

    private static func letter(
        _ result: borrowing QueryResult,
        _ row: Int
    ) throws(PostgresError) -> StoredDeadLetter {
        let number = try result.int32(row, 8) ?? 0
        var reading: DeadLetter.Reading?
        if let stream = try result.int64(row, 12), var offset = StreamOffset(bytes: try result.bytes(row, 13) ?? []) {
            offset.row = UInt32(clamping: number)
            reading = DeadLetter.Reading(
                stream: StreamID(rawValue: stream),
                offset: offset,
                ordinal: try result.int64(row, 14) ?? 0
            )
        }
        return StoredDeadLetter(
            id: try result.int64(row, 0) ?? 0,
            projection: try result.text(row, 1),
            source: try result.text(row, 2) ?? "",
            position: try result.text(row, 3) ?? "",
            reason: try result.text(row, 4) ?? "",
            detail: try result.text(row, 5) ?? "",
            raw: try result.bytes(row, 6) ?? [],
            digest: try result.bytes(row, 7) ?? [],
            row: number,
            count: try result.int64(row, 9) ?? 1,
            firstSeen: try result.timestamp(row, 10) ?? 0,
            lastSeen: try result.timestamp(row, 11) ?? 0,
            reading: reading,
            isWhole: try result.bool(row, 15) ?? false,
            streamName: try result.text(row, 16)
        )
    }

    /// Drops dead letters for good.
    /// - Returns: how many there were.
    package static func drop(_ filter: DeadLetterFilter, on connection: Connection) async throws(PostgresError) -> Int {
        try await connection.query(
            "delete from tidemark_internal.dead_letters as letter where \(DeadLetterFilter.sql)",
            filter.parameters
        ).affectedRows
    }

    /// How many there are.
    package static func count(_ filter: DeadLetterFilter, on connection: Connection) async throws(PostgresError) -> Int
    {
        let result = try await connection.query(
            "select count(*) from tidemark_internal.dead_letters as letter where \(DeadLetterFilter.sql)",
            filter.parameters
        )
        return Int(try result.int64(0, 0) ?? 0)
    }

    /// The id of the newest; 0 when there is none.
    package static func lastID(_ filter: DeadLetterFilter, on connection: Connection) async throws(PostgresError)
        -> Int64
    {
        let result = try await connection.query(
            "select max(letter.id) from tidemark_internal.dead_letters as letter where \(DeadLetterFilter.sql)",
            filter.parameters
        )
        return try result.int64(0, 0) ?? 0
    }

    // MARK: Retrying

    /// A replay of its own, without files: what a retry counts stands beside what other replays counted.
    package static func beginRetry(of projections: [String], on connection: Connection) async throws -> Int64 {
        try await PassStore.beginWithoutStreams(projections: projections, on: connection)
    }

    /// What a retry's transaction ends with: the letters that went through are gone.
    package static func resolve(_ ids: [Int64]) -> Statement {
        .sql("delete from tidemark_internal.dead_letters where id = any($1::bigint[])", [Self.array(ids)])
    }

    /// Another failure of the same letter, for another reason perhaps.
    package static func record(
        _ rejection: Rejection,
        of id: Int64,
        on connection: Connection
    ) async throws(PostgresError) {
        _ = try await connection.query(
            """
            update tidemark_internal.dead_letters
            set reason = $2::text, detail = $3::text, count = count + 1, last_seen = now()
            where id = $1::bigint
            """,
            [
                .int64(id), .text(rejection.reason.rawValue),
                .text(rejection.detail.replacing(byte: "\0", with: "\u{FFFD}")),
            ]
        )
    }
}
