package import LibPQ

/// The requests that carry an `Idempotency-Key`: each is applied once within a day, and its first answer is given again.
/// Over a connection of its own, which is opened on first use and reopened after a loss.
package actor RequestStore {
    package enum Entry: Sendable, Equatable {
        /// It is this process's to apply and to answer.
        case entered
        case answered(String)
        /// Another request with the key is under way.
        case underWay
        /// The key came with another body.
        case otherBody
    }

    private let options: ConnectionOptions
    private let work = SerialWork()
    private var connection: Connection?
    private var entered = 0

    /// How long a key is remembered.
    private static let retention = "interval '24 hours'"
    /// Expired rows are removed once in so many entries.
    private static let removalPeriod = 256

    package init(_ options: ConnectionOptions) { self.options = options }

    /// Enters a request before anything of it is applied. One that is unanswered and whose process is gone is entered
    /// anew: what it had applied counts as duplicate then.
    /// - Parameters:
    ///   - digest: of the body.
    ///   - process: the id of this process among those that write.
    /// - Complexity: one look-up by key.
    package func enter(
        _ key: String,
        of source: String,
        digest: [UInt8],
        process: Int32
    ) async throws -> Entry {
        self.entered += 1
        if self.entered % Self.removalPeriod == 1 { try await self.removeExpired() }
        let found = try await self.query(
            """
            with entered as (
                insert into tidemark_internal.http_requests as request (source, key, digest, process_id)
                values ($1::text, $2::text, $3::bytea, $4::integer)
                on conflict (source, key) do update
                set digest = excluded.digest, process_id = excluded.process_id, received_at = now(), answer = null
                where request.received_at < now() - \(Self.retention)
                    or request.answer is null and not exists (
                        select from tidemark_internal.writing_sessions as session
                        where session.process_id = request.process_id
                    )
                returning 1
            )
            select true, null::text, null::bytea from entered
            union all
            -- By the snapshot from before the statement: a row that another request writes meanwhile is not in it.
            select false, request.answer, request.digest
            from tidemark_internal.http_requests as request
            where request.source = $1::text and request.key = $2::text and not exists (select from entered)
            """,
            [.text(source), .text(key), .bytes(digest), .int32(process)]
        )
        guard found.rowCount > 0 else { return .underWay }
        if try found.bool(0, 0) == true { return .entered }
        guard try found.bytes(0, 2) == digest else { return .otherBody }
        return try found.text(0, 1).map { .answered($0) } ?? .underWay
    }

    /// All of the request is committed.
    package func answer(_ key: String, of source: String, with answer: String) async throws {
        _ = try await self.query(
            """
            update tidemark_internal.http_requests set answer = $3::text
            where source = $1::text and key = $2::text
            """,
            [.text(source), .text(key), .text(answer)]
        )
    }

    /// The request was not applied to its end: it may come again.
    package func forget(_ key: String, of source: String) async throws {
        _ = try await self.query(
            """
            delete from tidemark_internal.http_requests
            where source = $1::text and key = $2::text and answer is null
            """,
            [.text(source), .text(key)]
        )
    }

    private func removeExpired() async throws {
        _ = try await self.query(
            "delete from tidemark_internal.http_requests where received_at < now() - \(Self.retention)",
            []
        )
    }

    private func query(_ sql: String, _ parameters: [Parameter]) async throws -> QueryResult {
        try await self.work.run { try await self.queryNow(sql, parameters) }
    }

    private func queryNow(_ sql: String, _ parameters: [Parameter]) async throws(PostgresError) -> QueryResult {
        do throws(PostgresError) {
            let connection = try await self.connected()
            return try await connection.query(sql, parameters)
        } catch {
            if error.isConnectionLoss {
                await self.connection?.close()
                self.connection = nil
            }
            throw error
        }
    }

    private func connected() async throws(PostgresError) -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.options)
        // A crash of the server loses at most answers: those requests are applied again, and count as duplicates.
        try await connection.execute("set synchronous_commit = off")
        self.connection = connection
        return connection
    }

    package func close() async {
        await self.connection?.close()
        self.connection = nil
    }
}
