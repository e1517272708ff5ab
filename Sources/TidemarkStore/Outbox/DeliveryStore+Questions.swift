package import LibPQ

extension DeliveryStore {
    /// Counts due deliveries without an attempt that no earlier one of their entity blocks. Those in their first
    /// attempt count.
    /// - Parameter notifiers: the notifiers to count for; `nil` for all. Disabled ones do not count.
    /// - Complexity: O(due deliveries). Too slow for every turn of a loop.
    package static func countUntried(
        projections: [String],
        notifiers: [String]? = nil,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        // Only claimed or claimable deliveries are looked up: a later `next_attempt_at` means a wait for another one.
        let count = try await connection.number(
            """
            select count(*)
            from tidemark_internal.deliveries as d
            where d.status = 'due' and d.attempts = 0 and d.projection = any($1::text[])
                and ($2::text[] is null or d.notifier = any($2::text[]))
                and d.notifier not in (select disabled.notifier from tidemark_internal.disabled_notifiers as disabled)
                and (d.lease_token is not null or d.next_attempt_at <= now())
                and not exists (
                    select from tidemark_internal.deliveries as earlier
                    where earlier.projection = d.projection and earlier.key = d.key
                        and earlier.notifier = d.notifier and earlier.status = 'due' and earlier.seq < d.seq
                )
            """,
            [.texts(projections), notifiers.map(Parameter.texts) ?? .null]
        )
        return Int(count)
    }

    /// The time until the next delivery can be claimed, by the server's clock; zero or less if one can be now, `nil` if
    /// none is due.
    package static func nextDue(
        notifiers: [String],
        on connection: Connection
    ) async throws(PostgresError) -> Duration? {
        let result = try await connection.query(
            """
            select (extract(epoch from min(next.next_attempt_at) - now()) * 1000000)::bigint
            from (
                select notifier from unnest($1::text[]) as notifier
                except
                select disabled.notifier from tidemark_internal.disabled_notifiers as disabled
            ) as asked
            cross join lateral (
                select d.next_attempt_at
                from tidemark_internal.deliveries as d
                where d.status = 'due' and d.notifier = asked.notifier
                order by d.next_attempt_at
                limit 1
            ) as next
            """,
            [.texts(notifiers)]
        )
        return try result.int64(0, 0).map { .microseconds($0) }
    }

    /// The condition of a filter, over `d`. Parameters: ``parameters(of:)``.
    static let filterSQL = """
        ($1::uuid[] is null or d.id = any($1::uuid[]))
            and ($2::text is null or d.status = $2::text)
            and ($3::text is null or d.projection = $3::text)
            and ($4::text[] is null or array(select jsonb_array_elements_text(d.key)) = $4::text[])
            and ($5::text is null or d.milestone = $5::text)
            and ($6::text is null or d.notifier = $6::text)
        """

    static func parameters(of filter: DeliveryFilter) -> [Parameter] {
        func text(_ value: String?) -> Parameter { value.map { .text($0) } ?? .null }
        let ids = filter.ids.map { "{\($0.filter(UUIDText.isUUID).joined(separator: ","))}" }
        return [
            text(ids), text(filter.status), text(filter.projection), filter.key.map(Parameter.texts) ?? .null,
            text(filter.milestone), text(filter.notifier),
        ]
    }

    /// Deliveries, the newest first.
    package static func list(
        _ filter: DeliveryFilter,
        on connection: Connection
    ) async throws -> [DeliveryRow] {
        try await connection.decode(
            """
            select d.id, d.projection, d.key::text as key, d.milestone, d.notifier, d.status, d.is_cancelled, d.attempts,
                \(Self.microseconds("d.next_attempt_at")) as next_attempt_at, d.last_error,
                \(Self.microseconds("d.created_at")) as created_at, \(Self.microseconds("d.delivered_at")) as delivered_at
            from tidemark_internal.deliveries as d
            where \(Self.filterSQL)
            order by d.seq desc
            limit $7::bigint
            """,
            Self.parameters(of: filter) + [.int64(Int64(filter.limit))]
        )
    }

    /// How many deliveries a filter chooses, whatever its limit.
    package static func count(
        _ filter: DeliveryFilter,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        let count = "select count(*) from tidemark_internal.deliveries as d where \(Self.filterSQL)"
        return Int(try await connection.number(count, Self.parameters(of: filter)))
    }

    /// A time as microseconds since 1970.
    private static func microseconds(_ time: String) -> String { "(extract(epoch from \(time)) * 1000000)::bigint" }

    /// The body, the same bytes for each attempt.
    package static func body(
        of id: String,
        to notifier: String,
        on connection: Connection
    ) async throws(PostgresError) -> String? {
        let result = try await connection.query(
            "select body from tidemark_internal.deliveries where id = $1::text::uuid and notifier = $2::text",
            [.text(id), .text(notifier)]
        )
        return result.rowCount == 1 ? try result.text(0, 0) : nil
    }

    /// The attempts at one delivery, from the first.
    package static func attempts(
        of id: String,
        to notifier: String,
        on connection: Connection
    ) async throws -> [AttemptRow] {
        try await connection.decode(
            """
            select a.attempt, \(Self.microseconds("a.started_at")) as started_at,
                \(Self.microseconds("a.duration")) as microseconds, a.outcome, a.status, a.error, a.excerpt
            from tidemark_internal.deliveries as d
            join tidemark_internal.attempts as a on a.seq = d.seq
            where d.id = $1::text::uuid and d.notifier = $2::text
            order by a.attempt
            """,
            [.text(id), .text(notifier)]
        )
    }
}
