import LibPQ
import TidemarkCore

/// What every lane's connection is set up with.
enum LaneSession {
    /// - Parameter statements: what else is prepared, all of it in one round trip: a busy machine takes its time for each.
    static func prepare(_ connection: Connection, with statements: [Statement]) async throws(PostgresError) {
        try await connection.execute(
            """
            -- Arrays of any length get the plan for a few rows: an index look-up for each. A plan for the true length
            -- would sort and merge, and lose.
            set plan_cache_mode = force_generic_plan;
            -- Whatever the statistics say, or do not say yet, of a table that this session may be filling.
            set enable_seqscan = off;
            set jit = off;
            set work_mem = '32MB';
            set timezone = 'UTC';
            set search_path = pg_catalog;
            set idle_in_transaction_session_timeout = 0;
            -- A lane may wait long for its next batch, and forgets what it knew when it has to connect again.
            set idle_session_timeout = 0;
            """
        )
        let own: [Statement] = [
            .preparing("begin", as: "tm_begin"), .preparing("commit", as: "tm_commit"),
            .preparing(Self.tally, as: "tm_tally"), .preparing(Self.truncate, as: "tm_truncate"),
            .preparing(Self.checkpoint, as: "tm_checkpoint"),
            .preparing(DeadLetterStatement.sql, as: "tm_dead_letters"),
        ]
        _ = try await connection.pipeline(own + statements)
    }

    private static let tally = """
        update tidemark_internal.counters
        set messages = messages + $3::bigint, control = control + $4::bigint, filtered = filtered + $5::bigint,
            dead_letters = dead_letters + $6::bigint
        where replay_id = $1::bigint and lane = $2::integer and projection = ''
        """

    private static let truncate = """
        insert into tidemark_internal.truncates as known
            (
                projection, source_table, position, position_key, event_time, order_key, replay_id, file_id, "offset",
                "row"
            )
        values (
            $1::text, $2::text, $3::text, $4::bytea, to_timestamp($5::bigint / 1000000.0),
            case when $6::boolean then $4::bytea end, $7::bigint, $8::bigint, $9::bigint, $10::integer
        )
        on conflict (projection, source_table, position_key) do update
        set event_time = least(known.event_time, excluded.event_time)
        where coalesce(excluded.event_time, 'infinity') < coalesce(known.event_time, 'infinity')
        """

    /// Compare-and-set: whoever has moved the checkpoint in between has also written the rows.
    private static let checkpoint = """
        with moved as (
            update tidemark_internal.checkpoints
            set "offset" = $4::bigint, "row" = $5::integer, line = $6::bigint, is_finished = $7::boolean,
                updated_at = now()
            where replay_id = $1::bigint and file_id = $2::bigint and lane = $3::integer
                and "offset" = $8::bigint and "row" = $9::integer and is_finished = $10::boolean
            returning 1
        )
        select tidemark_internal.expect((select count(*) from moved), 1, 'the checkpoint')
        """
}

/// Dead letters of one batch: a repeat raises the count and keeps the place of the first reading.
enum DeadLetterStatement {
    static let sql = """
        insert into tidemark_internal.dead_letters as letter
            (
                projection, source, position, reason, detail, raw, digest, "row", count, file_id, "offset", line,
                is_whole
            )
        select * from (
            select unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
                unnest($5::text[]), unnest($6::bytea[]), unnest($7::bytea[]), unnest($8::integer[]),
                unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::bigint[]), unnest($12::bigint[]),
                unnest($13::boolean[])
        ) as batch
        on conflict (projection, digest, "row") do update
        set count = letter.count + excluded.count, last_seen = now(), reason = excluded.reason,
            detail = excluded.detail
        """

    private struct Identity: Hashable {
        var projection: String
        var digest: [UInt8]
        var row: Int32
    }

    static func upsert(_ letters: [DeadLetter]) -> Statement {
        var places: [Identity: Int] = [:]
        var distinct: [(letter: DeadLetter, count: Int64)] = []
        for letter in letters {
            let identity = Identity(projection: letter.projection ?? "", digest: letter.digest, row: letter.row)
            if let place = places[identity] {
                distinct[place].count += 1
            } else {
                places[identity] = distinct.count
                distinct.append((letter, 1))
            }
        }
        var rows = ArrayParameters(
            [
                OID.text, OID.text, OID.text, OID.text, OID.text, OID.bytea, OID.bytea, OID.int4, OID.int8, OID.int8,
                OID.int8, OID.int8, OID.bool,
            ],
            rows: distinct.count
        )
        for (letter, count) in distinct {
            rows.append(letter.projection ?? "", to: 0)
            rows.append(letter.source, to: 1)
            rows.append(letter.position, to: 2)
            rows.append(letter.rejection.reason.rawValue, to: 3)
            // The sentence quotes the message, which may hold what `text` cannot.
            rows.append(letter.rejection.detail.replacing(byte: "\0", with: "\u{FFFD}"), to: 4)
            rows.append(letter.raw[...], to: 5)
            rows.append(letter.digest[...], to: 6)
            rows.append(letter.row, to: 7)
            rows.append(count, to: 8)
            if let reading = letter.reading {
                rows.append(reading.place.file, to: 9)
                rows.append(reading.place.offset, to: 10)
                rows.append(reading.line, to: 11)
            } else {
                rows.appendNulls(9..<12)
            }
            rows.append(letter.isWhole, to: 12)
        }
        return .prepared("tm_dead_letters", rows.parameters)
    }
}
