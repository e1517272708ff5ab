package import LibPQ
package import TidemarkCore

/// Selects dead letters; `nil` means any.
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

/// A stored dead letter.
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
    /// `nil` for letters that an earlier version stored without their reading.
    package var reading: DeadLetter.Reading?
    package var isWhole: Bool
    /// The name of the stream that it was read from, when that is known.
    package var streamName: String?
    /// What its broker kept beside its value.
    package var record: StoredRecord?

    package var origin: DeadLetterOrigin {
        DeadLetterOrigin(source: self.source, stream: self.streamName, last: self.id)
    }

    /// How its message, which is not whole, is had again.
    package var remedy: String {
        guard self.record != nil else {
            return "read its file again (tidemark replay FILE…), or have it sent again; both are safe"
        }
        let stream = self.streamName.map { " --stream '\($0)'" } ?? ""
        return "have its messages read again (tidemark seek \(self.source)\(stream) --to …), which is safe"
    }

    /// Whether `raw` is the complete message.
    package var isComplete: Bool { DeadLetter.isComplete(raw: self.raw, self.record, digest: self.digest) }
}

/// A stream that dead letters came from.
package struct DeadLetterOrigin: Sendable, Hashable {
    package var source: String
    /// The name of the stream; `nil` for letters that an earlier version stored without their reading.
    package var stream: String?
    /// The greatest id among them.
    package var last: Int64
}

/// Lists, reads and drops dead letters for the command line.
package enum DeadLetterStore {
    static func array(_ values: [Int64]) -> Parameter {
        var array = BinaryArray(elementOID: OID.int8, expectedCount: values.count)
        for value in values { array.append(value) }
        return array.parameter(arrayOID: OID.int8Array)
    }

    /// Dead letters, the newest first, without their raw bytes. The order names `letter.id`, because `id` alone is the
    /// output column, which is text.
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
            order by letter.id desc
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
        let result = try await connection.query(
            """
            select distinct letter.projection from tidemark_internal.dead_letters as letter
            where \(DeadLetterFilter.sql) order by 1
            """,
            filter.parameters
        )
        return try result.texts()
    }

    /// The streams that the dead letters came from.
    package static func origins(
        _ filter: DeadLetterFilter,
        on connection: Connection
    ) async throws(PostgresError) -> [DeadLetterOrigin] {
        let result = try await connection.query(
            """
            select letter.source, stream.name, max(letter.id)
            from tidemark_internal.dead_letters as letter
            left join tidemark_internal.streams as stream on stream.id = letter.stream_id
            where \(DeadLetterFilter.sql)
            group by letter.source, stream.name
            order by letter.source, stream.name nulls first
            """,
            filter.parameters
        )
        return try result.rows { row throws(PostgresError) in
            DeadLetterOrigin(
                source: try result.text(row, 0) ?? "",
                stream: try result.text(row, 1),
                last: try result.int64(row, 2) ?? 0
            )
        }
    }

    /// A page of dead letters in the order of their ids, after `id`: at most `limit`, and about `limit` times 16 KiB of
    /// messages.
    /// - Parameter origin: where they came from; `nil` for any.
    package static func page(
        _ filter: DeadLetterFilter,
        of origin: DeadLetterOrigin? = nil,
        after id: Int64,
        limit: Int64,
        on connection: Connection
    ) async throws(PostgresError) -> [StoredDeadLetter] {
        let result = try await connection.query(
            """
            select id, nullif(projection, ''), source, position, reason, detail, raw, digest, "row", count,
                first_seen, last_seen, stream_id, "offset", message_ordinal, is_whole_message, stream_name,
                record
            from (
                select letter.*,
                    sum(length(letter.raw)) over (order by letter.id rows unbounded preceding) - length(letter.raw)
                        as bytes_before
                from (
                    select letter.*, stream.name as stream_name, coalesce(message.raw, '') as raw, message.record
                    from tidemark_internal.dead_letters as letter
                    left join tidemark_internal.dead_letter_messages as message on message.digest = letter.digest
                    left join tidemark_internal.streams as stream on stream.id = letter.stream_id
                    where \(DeadLetterFilter.sql) and letter.id > $7::bigint
                        and (
                            $9::bigint is null
                            or letter.id <= $9::bigint and letter.source = $10::text
                                and stream.name is not distinct from $11::text
                        )
                    order by letter.id
                    limit $8::bigint
                ) as letter
            ) as letter
            where bytes_before < $8::bigint * 16384
            order by id
            """,
            filter.parameters + [
                .int64(id), .int64(limit), origin.map { .int64($0.last) } ?? .null,
                origin.map { .text($0.source) } ?? .null, origin?.stream.map { .text($0) } ?? .null,
            ]
        )
        return try result.rows { row throws(PostgresError) in try Self.letter(result, row) }
    }

    private static func letter(_ result: QueryResult, _ row: Int) throws(PostgresError) -> StoredDeadLetter {
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
            streamName: try result.text(row, 16),
            record: try result.bytes(row, 17).flatMap { StoredRecord(bytes: $0) }
        )
    }

    /// Drops dead letters for good, and messages that no letter is left of.
    /// - Returns: how many there were.
    package static func drop(_ filter: DeadLetterFilter, on connection: Connection) async throws -> Int {
        try await connection.transaction { try await Self.dropWithinTransaction(filter, on: connection) }
    }

    static func dropWithinTransaction(
        _ filter: DeadLetterFilter,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        let dropped = try await connection.query(
            "delete from tidemark_internal.dead_letters as letter where \(DeadLetterFilter.sql)",
            filter.parameters
        ).affectedRows
        try await Self.removeMessages(on: connection)
        return dropped
    }

    /// Removes the messages of which no letter is left.
    package static func tidy(on connection: Connection) async throws {
        try await connection.transaction { try await Self.removeMessages(on: connection) }
    }

    /// Removes, within a transaction, the messages of which no letter is left. A writer locks the message of a letter before it is committed: it
    /// is waited for, and its letter is seen by the second statement. One that comes later waits for this transaction.
    static func removeMessages(on connection: Connection) async throws(PostgresError) {
        let isOrphan =
            "not exists (select from tidemark_internal.dead_letters as letter where letter.digest = message.digest)"
        let locked = try await connection.query(
            """
            select message.digest from tidemark_internal.dead_letter_messages as message where \(isOrphan)
            order by message.digest for update
            """
        )
        guard locked.rowCount > 0 else { return }
        var digests = BinaryArray(elementOID: OID.bytea, expectedCount: locked.rowCount)
        for row in 0..<locked.rowCount { digests.append((try locked.bytes(row, 0) ?? [])[...]) }
        _ = try await connection.query(
            """
            delete from tidemark_internal.dead_letter_messages as message
            where message.digest = any($1::bytea[]) and \(isOrphan)
            """,
            [digests.parameter(arrayOID: OID.byteaArray)]
        )
    }

    /// Counts dead letters.
    package static func count(_ filter: DeadLetterFilter, on connection: Connection) async throws(PostgresError) -> Int
    {
        let count = "select count(*) from tidemark_internal.dead_letters as letter where \(DeadLetterFilter.sql)"
        return Int(try await connection.number(count, filter.parameters))
    }

    // MARK: Retrying

    /// Deletes the letters that went through, in the retry's transaction.
    static func resolve(_ ids: [Int64]) -> Statement {
        .sql("delete from tidemark_internal.dead_letters where id = any($1::bigint[])", [Self.array(ids)])
    }
}
