package import LibPQ

/// The operations of `tidemark deliveries` and `tidemark notifiers`.
extension DeliveryStore {
    /// Makes deliveries due at once and restarts their schedule: dead, muted and waiting ones; delivered ones only if
    /// the filter names their ids or that status. Claimed and held ones stay as they are.
    /// - Returns: how many became due.
    package static func retry(
        _ filter: DeliveryFilter,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        let takesDelivered = filter.ids != nil || filter.status == "delivered"
        let count = try await connection.number(
            """
            with again as (
                update tidemark_internal.deliveries as d
                set status = 'due', next_attempt_at = now(), is_cancelled = false, lease_token = null,
                    schedule_start = d.attempts, delivered_at = null
                where \(Self.filterSQL)
                    and (d.status in ('dead', 'muted') or (d.status = 'delivered' and $7::boolean)
                        or (d.status = 'due' and (d.lease_token is null or d.next_attempt_at <= now())))
                returning 1
            )
            select count(*), pg_notify('\(Self.channel)', '')::text from again
            """,
            Self.parameters(of: filter) + [.bool(takesDelivered)]
        )
        return Int(count)
    }

    /// Cancels due, held and dead deliveries. They end `dead` and do not block later ones. A claimed one may still
    /// arrive; its result is refused.
    /// - Returns: how many were cancelled.
    package static func cancel(
        _ filter: DeliveryFilter,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        let count = try await connection.number(
            """
            with cancelled as (
                update tidemark_internal.deliveries as d
                set status = 'dead', is_cancelled = true, next_attempt_at = null, lease_token = null,
                    last_error = 'cancelled by hand' || coalesce(' (before that: ' || d.last_error || ')', '')
                where \(Self.filterSQL) and d.status in ('due', 'held', 'dead') and not d.is_cancelled
                returning 1
            )
            select count(*), pg_notify('\(Self.channel)', '')::text from cancelled
            """,
            Self.parameters(of: filter)
        )
        return Int(count)
    }

    /// Removes delivered deliveries that are older, with their attempts: the oldest first, up to a limit. Their
    /// milestones stay reached.
    /// - Returns: how many were removed.
    package static func prune(
        olderThan age: Duration,
        limit: Int = 10_000,
        on connection: Connection
    ) async throws(PostgresError) -> Int {
        let count = try await connection.number(
            """
            with old as (
                select seq from tidemark_internal.deliveries
                where status = 'delivered' and delivered_at < now() - $1::bigint * interval '1 microsecond'
                order by seq
                limit $2::bigint
                for update skip locked
            ),
            removed as (
                delete from tidemark_internal.deliveries as d using old where d.seq = old.seq returning 1
            )
            select count(*) from removed
            """,
            [.int64(age.microseconds), .int64(Int64(limit))]
        )
        return Int(count)
    }

    // MARK: Notifiers

    /// Enables a notifier.
    /// - Returns: whether it had been disabled.
    package static func enable(_ notifier: String, on connection: Connection) async throws(PostgresError) -> Bool {
        let count = try await connection.number(
            """
            with enabled as (
                delete from tidemark_internal.disabled_notifiers where notifier = $1::text returning 1
            ),
            -- Failed deliveries are due at once.
            due as (
                update tidemark_internal.deliveries as d
                set next_attempt_at = now()
                where d.status = 'due' and d.notifier = $1::text and d.next_attempt_at > now()
                    and d.lease_token is null and d.attempts > 0 and exists (select from enabled)
            )
            select count(*), pg_notify('\(Self.channel)', '')::text from enabled
            """,
            [.text(notifier)]
        )
        return count > 0
    }

    /// Disables a notifier for all processes; attempts under way end normally.
    package static func disable(
        _ notifier: String,
        reason: String,
        on connection: Connection
    ) async throws(PostgresError) {
        _ = try await connection.query(
            """
            insert into tidemark_internal.disabled_notifiers (notifier, reason) values ($1::text, $2::text)
            on conflict do nothing
            """,
            [.text(notifier), .text(reason)]
        )
    }

    /// The disabled notifiers, since when and why.
    package static func disabled(
        on connection: Connection
    ) async throws(PostgresError) -> [(notifier: String, since: Int64, reason: String)] {
        let result = try await connection.query(
            "select notifier, disabled_at, reason from tidemark_internal.disabled_notifiers order by notifier"
        )
        return try result.rows { row throws(PostgresError) in
            (try result.text(row, 0) ?? "", try result.timestamp(row, 1) ?? 0, try result.text(row, 2) ?? "")
        }
    }
}
