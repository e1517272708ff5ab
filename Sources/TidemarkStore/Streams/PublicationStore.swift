package import LibPQ
package import TidemarkCore

/// How far the streams of a source are published to a topic, and which numbers their entities have got.
package actor PublicationStore {
    private let name: String
    private let options: ConnectionOptions
    private var connection: Connection?

    /// - Parameter name: the publication's: its source and its topic.
    package init(_ name: String, _ options: ConnectionOptions) {
        self.name = name
        self.options = options
    }

    /// A stream that was published in part or whole.
    package struct Published: Sendable {
        package var stream: KnownStream
        package var level: StreamProgress
    }

    package enum Failure: Error, CustomStringConvertible {
        case isRunning(publication: String)

        package var description: String {
            switch self {
            case .isRunning(let publication): "\(publication) is being published by another process"
            }
        }
    }

    /// Brings the schema up to date, and keeps other processes from publishing the same until ``close()``.
    package func begin() async throws {
        let connection = try await Connection.connect(self.options)
        self.connection = connection
        _ = try await Migrator.migrate(connection)
        let lock = "select pg_try_advisory_lock(hashtextextended('tidemark publication ' || $1::text, 0))::int"
        guard try await connection.number(lock, [.text(self.name)]) == 1 else {
            throw Failure.isRunning(publication: self.name)
        }
    }

    package func close() async {
        await self.connection?.close()
        self.connection = nil
    }

    private func connected() throws -> Connection {
        guard let connection else { preconditionFailure("a publication begins before it is asked") }
        return connection
    }

    package func published() async throws -> [Published] {
        let result = try await self.connected().query(
            """
            select stream, incarnation, hint, "offset", message_ordinal, resume, is_at_end, id
            from tidemark_internal.published_streams
            where publication = $1::text
            order by id desc
            """,
            [.text(self.name)]
        )
        return try result.rows { row throws(PostgresError) in
            let offset = StreamOffset(bytes: try result.bytes(row, 3) ?? []) ?? .start
            var level = StreamProgress(
                offset: offset,
                ordinal: try result.int64(row, 4) ?? 1,
                resume: try result.bytes(row, 5) ?? []
            )
            level.isAtEnd = try result.bool(row, 6) ?? false
            let stream = KnownStream(
                id: StreamID(rawValue: try result.int64(row, 7) ?? 0),
                name: try result.text(row, 0) ?? "",
                incarnation: try result.text(row, 1) ?? "",
                hint: try result.text(row, 2),
                reached: offset.major,
                resume: level.resume
            )
            return Published(stream: stream, level: level)
        }
    }

    /// Stores a stream that was not published before.
    package func enter(_ stream: StreamName, hint: String?) async throws -> StreamID {
        let id = try await self.connected().number(
            """
            insert into tidemark_internal.published_streams
                (publication, stream, incarnation, hint, "offset", message_ordinal, resume, is_at_end)
            values ($1::text, $2::text, $3::text, $4::text, $5::bytea, 1, '', false)
            returning id
            """,
            [
                .text(self.name), .text(stream.name), .text(stream.incarnation), hint.map { .text($0) } ?? .null,
                .bytes(StreamOffset.start.bytes),
            ]
        )
        return StreamID(rawValue: Int64(id))
    }

    /// Stores where a stream is now, and by what it is found again.
    package func update(_ stream: KnownStream, name: String, hint: String?) async throws {
        _ = try await self.connected().query(
            """
            update tidemark_internal.published_streams set stream = $2::text, incarnation = $3::text, hint = $4::text
            where id = $1::bigint
            """,
            [
                .int64(stream.id.rawValue), .text(name), .text(stream.incarnation), hint.map { .text($0) } ?? .null,
            ]
        )
    }

    /// Stores that a stream is published up to a level.
    package func save(_ level: StreamProgress, of stream: StreamID) async throws {
        _ = try await self.connected().query(
            """
            update tidemark_internal.published_streams
            set "offset" = $2::bytea, message_ordinal = $3::bigint, resume = $4::bytea, is_at_end = $5::boolean,
                updated_at = now()
            where id = $1::bigint
            """,
            [
                .int64(stream.rawValue), .bytes(level.offset.bytes), .int64(level.ordinal), .bytes(level.resume),
                .bool(level.isAtEnd),
            ]
        )
    }

    /// Forgets what was published, so that it is published again.
    package func forget() async throws {
        _ = try await self.connected().query(
            "delete from tidemark_internal.published_streams where publication = $1::text",
            [.text(self.name)]
        )
    }

    /// The numbers that messages of entities get, rising for each: one statement for a batch. A number that was given and
    /// whose message was not stored is not given again.
    /// - Parameter counts: how many messages each key has.
    /// - Returns: the last number of each.
    package func numbers(_ counts: [[UInt8]: Int64]) async throws -> [[UInt8]: Int64] {
        var keys = BinaryArray(elementOID: OID.bytea, expectedCount: counts.count)
        var numbers = BinaryArray(elementOID: OID.int8, expectedCount: counts.count)
        for (key, count) in counts {
            keys.append(key[...])
            numbers.append(count)
        }
        let result = try await self.connected().query(
            """
            insert into tidemark_internal.published_sequences as sequence (publication, key, last)
            select $1::text, * from unnest($2::bytea[], $3::bigint[])
            on conflict (publication, key) do update set last = sequence.last + excluded.last
            returning key, last
            """,
            [.text(self.name), keys.parameter(arrayOID: OID.byteaArray), numbers.parameter(arrayOID: OID.int8Array)]
        )
        let last = try result.rows { row throws(PostgresError) in
            (try result.bytes(row, 0) ?? [], try result.int64(row, 1) ?? 0)
        }
        return Dictionary(last) { first, _ in first }
    }
}
