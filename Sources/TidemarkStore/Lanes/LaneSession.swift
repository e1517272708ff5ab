import LibPQ
import TidemarkCore

/// The settings and prepared statements of a lane's connection.
enum LaneSession {
    /// - Parameters:
    ///   - process: the one that counts; 0 in a pass of one process.
    ///   - statements: more statements to prepare; all are sent in one round trip.
    static func prepare(
        _ connection: Connection,
        countingAs process: Int32 = 0,
        with statements: [Statement]
    ) async throws(PostgresError) {
        try await connection.execute(
            """
            -- Arrays of any length get the plan for a few rows: an index look-up for each. A plan for the true length
            -- would sort and merge, and lose.
            set plan_cache_mode = force_generic_plan;
            -- Statistics may be missing or old for a table that this session is filling.
            set enable_seqscan = off;
            set jit = off;
            set work_mem = '32MB';
            """
        )
        let own: [Statement] = [
            .preparing("begin", as: "tm_begin"), .preparing("commit", as: "tm_commit"),
            .preparing(Self.hold, as: "tm_hold"), .preparing(Self.tally(process), as: "tm_tally"),
            .preparing(Self.truncate, as: "tm_truncate"),
            .preparing(Self.moveProgress, as: "tm_move_progress"),
            .preparing(Self.insertProgress, as: "tm_insert_progress"),
            .preparing(DeadLetterStatement.sql, as: "tm_dead_letters"),
        ]
        _ = try await connection.pipeline(own + statements)
    }

    private static let hold = "select tidemark_internal.hold_revisions($1::text[], $2::bigint[])"

    private static func tally(_ process: Int32) -> String {
        """
        update tidemark_internal.counters
        set messages = messages + $3::bigint, control = control + $4::bigint, filtered = filtered + $5::bigint,
            dead_letters = dead_letters + $6::bigint
        where pass_id = $1::bigint and process_id = \(process) and lane = $2::integer and projection = ''
        """
    }

    private static let truncate = """
        insert into tidemark_internal.truncates as known
            (projection, source_table, position, position_key, event_time, order_key, pass_id, stream_id, "offset")
        values (
            $1::text, $2::text, $3::text, $4::bytea, to_timestamp($5::bigint / 1000000.0),
            case when $6::boolean then $4::bytea end, $7::bigint, $8::bigint, $9::bytea
        )
        on conflict (projection, source_table, position_key) do update
        set event_time = least(known.event_time, excluded.event_time)
        where coalesce(excluded.event_time, 'infinity') < coalesce(known.event_time, 'infinity')
        """

    /// Compare-and-set of the lane's progress in all streams of a batch. A process that has moved one of them has also
    /// written the rows.
    private static let moveProgress = """
        with advance as (
            select unnest($4::text[]) as projection, unnest($5::bigint[]) as stream_id, unnest($6::bytea[]) as "to",
                unnest($7::bigint[]) as message_ordinal, unnest($8::bytea[]) as resume, unnest($9::bytea[]) as "from"
        ),
        moved as (
            update tidemark_internal.progress as progress
            set "offset" = advance."to", message_ordinal = advance.message_ordinal, resume = advance.resume,
                updated_at = now()
            from advance
            where progress.pass_id = $1::bigint and progress.projection = advance.projection
                and progress.lanes = $2::integer and progress.lane = $3::integer
                and progress.stream_id = advance.stream_id and progress."offset" = advance."from"
            returning 1
        )
        select tidemark_internal.expect(
            (select count(*) from moved), (select count(*) from advance), 'the progress'
        )
        """

    /// Inserts the lane's first progress in streams. An existing row means that another process has written.
    private static let insertProgress = """
        insert into tidemark_internal.progress
            (pass_id, lanes, lane, projection, stream_id, "offset", message_ordinal, resume)
        select $1::bigint, $2::integer, $3::integer, unnest($4::text[]), unnest($5::bigint[]), unnest($6::bytea[]),
            unnest($7::bigint[]), unnest($8::bytea[])
        """
}

/// Dead letters of one batch: a repeat raises the count and keeps the offset of the first reading. Their messages are
/// written each once; one that is there is locked, so that it is not removed before its new letter is committed.
enum DeadLetterStatement {
    static let sql = """
        with message as (
            insert into tidemark_internal.dead_letter_messages as known (digest, raw, record)
            select * from (
                select unnest($13::bytea[]), unnest($14::bytea[]), unnest($15::bytea[])
            ) as batch
            on conflict (digest) do update
            set raw = case when length(excluded.raw) > length(known.raw) then excluded.raw else known.raw end
        )
        insert into tidemark_internal.dead_letters as letter
            (
                projection, source, position, reason, detail, digest, "row", count, stream_id, "offset",
                message_ordinal, is_whole_message
            )
        select * from (
            select unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
                unnest($5::text[]), unnest($6::bytea[]), unnest($7::integer[]), unnest($8::bigint[]),
                unnest($9::bigint[]), unnest($10::bytea[]), unnest($11::bigint[]), unnest($12::boolean[])
        ) as batch
        on conflict (projection, digest, "row") do update
        set count = letter.count + excluded.count, last_seen = now(), reason = excluded.reason,
            detail = excluded.detail
        """

    private static func isBefore(_ left: DeadLetter, _ right: DeadLetter) -> Bool {
        let (one, other) = (left.projection ?? "", right.projection ?? "")
        if one != other { return one < other }
        if left.digest != right.digest { return left.digest.lexicographicallyPrecedes(right.digest) }
        return left.row < right.row
    }

    private struct Identity: Hashable {
        var projection: String
        var digest: [UInt8]
        var row: Int32
    }

    /// - Parameter isShared: other processes may write the same letters, so all do so in one order.
    static func upsert(_ letters: [DeadLetter], isShared: Bool = false) -> Statement {
        var indices: [Identity: Int] = [:]
        var distinct: [(letter: DeadLetter, count: Int64)] = []
        for letter in letters {
            let identity = Identity(projection: letter.projection ?? "", digest: letter.digest, row: letter.row)
            if let index = indices[identity] {
                distinct[index].count += 1
            } else {
                indices[identity] = distinct.count
                distinct.append((letter, 1))
            }
        }
        var rows = ArrayParameters(
            [
                OID.text, OID.text, OID.text, OID.text, OID.text, OID.bytea, OID.int4, OID.int8, OID.int8, OID.bytea,
                OID.int8, OID.bool,
            ],
            rows: distinct.count
        )
        if isShared { distinct.sort { Self.isBefore($0.letter, $1.letter) } }
        for (letter, count) in distinct {
            rows.append(letter.projection ?? "", to: 0)
            rows.append(letter.source, to: 1)
            rows.append(letter.position, to: 2)
            rows.append(letter.rejection.reason.rawValue, to: 3)
            // The sentence quotes the message, which may hold what `text` cannot.
            rows.append(letter.rejection.detail.replacing(byte: "\0", with: "\u{FFFD}"), to: 4)
            rows.append(letter.digest[...], to: 5)
            rows.append(letter.row, to: 6)
            rows.append(count, to: 7)
            if let reading = letter.reading {
                rows.append(reading.stream.rawValue, to: 8)
                rows.append(reading.offset.bytes[...], to: 9)
                rows.append(reading.ordinal, to: 10)
            } else {
                rows.appendNulls(8..<11)
            }
            rows.append(letter.isWhole, to: 11)
        }
        let parameters = rows.parameters + Self.messages(of: distinct.map(\.letter), isShared: isShared)
        return .prepared("tm_dead_letters", parameters)
    }

    /// Digests, bytes and records of the letters' messages, each once.
    private static func messages(of letters: [DeadLetter], isShared: Bool) -> [Parameter] {
        var messages: [DeadLetter] = []
        var seen: Set<[UInt8]> = []
        for letter in letters where seen.insert(letter.digest).inserted { messages.append(letter) }
        if isShared { messages.sort { $0.digest.lexicographicallyPrecedes($1.digest) } }
        var rows = ArrayParameters([OID.bytea, OID.bytea, OID.bytea], rows: messages.count)
        for message in messages {
            rows.append(message.digest[...], to: 0)
            rows.append(message.raw[...], to: 1)
            if let record = message.record { rows.append(record.bytes[...], to: 2) } else { rows.appendNulls(2..<3) }
        }
        return rows.parameters
    }
}
