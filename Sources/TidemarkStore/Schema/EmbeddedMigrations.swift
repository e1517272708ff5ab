// Made by scripts/embed-schema.sh from schema/. Edit the SQL there.

/// The migrations, in order.
enum EmbeddedMigrations {
    static let all: [Migration] = [
        Migration(
            version: 1,
            name: "tidemark",
            sql: #"""
                -- Tidemark's own relations. Schema `tidemark` is what users query and stays as the documentation says;
                -- schema `tidemark_internal` is storage and may change with any version.

                create schema if not exists tidemark;
                comment on schema tidemark is 'Tidemark: deliveries, dead letters, checkpoints and counters, to be queried.';

                create schema if not exists tidemark_internal;
                comment on schema tidemark_internal is 'Tidemark''s storage. Query the views in schema tidemark instead: these tables may change with any version.';

                create table tidemark_internal.projections (
                    name text primary key,
                    -- What was configured: key, sequence and types, columns, lifecycle, milestones.
                    definition jsonb not null,
                    -- The kind of position the projection is ordered by, once a message has carried one.
                    position_kind text,
                    -- Tombstones whose delete was older than this are gone.
                    pruned_before timestamptz,
                    -- Keys that came anew since then with an event that is older: a tombstone may have stood against them.
                    revived bigint not null default 0,
                    created_at timestamptz not null default now(),
                    updated_at timestamptz not null default now()
                );
                comment on table tidemark_internal.projections is 'Each projection as it was configured when it was last started.';

                create table tidemark_internal.relations (
                    schema_name text not null,
                    relation_name text not null,
                    kind text not null,
                    projection text not null,
                    created_at timestamptz not null default now(),
                    primary key (schema_name, relation_name)
                );
                comment on table tidemark_internal.relations is 'Every relation that Tidemark created: no other is ever altered, written or dropped.';

                create table tidemark_internal.files (
                    id bigint generated always as identity primary key,
                    path text not null,
                    -- On disk, when the file was first opened.
                    size bigint not null,
                    -- SHA-256 of the first 64 KiB.
                    digest text not null,
                    first_seen timestamptz not null default now(),
                    unique (path, size, digest)
                );
                comment on table tidemark_internal.files is 'Files read, known by path, size and the digest of their beginning.';

                create table tidemark_internal.replays (
                    id bigint generated always as identity primary key,
                    projections text[] not null,
                    lanes integer not null check (lanes > 0),
                    started_at timestamptz not null default now(),
                    finished_at timestamptz,
                    -- Time spent in all its runs, until the last commit of each.
                    elapsed_seconds double precision not null default 0,
                    -- When the run began that is under way or was killed; its time is added when the replay is gone on with.
                    run_started_at timestamptz default now(),
                    runs integer not null default 1
                );
                comment on table tidemark_internal.replays is 'One row for each replay; an interrupted one is gone on with.';

                create table tidemark_internal.checkpoints (
                    replay_id bigint not null references tidemark_internal.replays on delete cascade,
                    file_id bigint not null references tidemark_internal.files,
                    lane integer not null,
                    ordinal integer not null,
                    -- Everything before this byte of the decompressed file, and this row of the message there, is committed.
                    "offset" bigint not null default 0,
                    "row" integer not null default 0,
                    line bigint not null default 0,
                    is_finished boolean not null default false,
                    updated_at timestamptz not null default now(),
                    primary key (replay_id, file_id, lane)
                );
                comment on table tidemark_internal.checkpoints is 'How far each lane has come in each file; moved only by compare-and-set, in the transaction that holds the rows.';

                create table tidemark_internal.counters (
                    replay_id bigint not null references tidemark_internal.replays on delete cascade,
                    lane integer not null,
                    -- Empty for what is counted by message.
                    projection text not null,
                    messages bigint not null default 0,
                    control bigint not null default 0,
                    filtered bigint not null default 0,
                    dead_letters bigint not null default 0,
                    applied bigint not null default 0,
                    late bigint not null default 0,
                    duplicate bigint not null default 0,
                    conflicts bigint not null default 0,
                    entities bigint not null default 0,
                    primary key (replay_id, lane, projection)
                );
                comment on table tidemark_internal.counters is 'What each lane of each replay has counted.';

                create table tidemark_internal.milestone_counters (
                    replay_id bigint not null references tidemark_internal.replays on delete cascade,
                    lane integer not null,
                    projection text not null,
                    milestone text not null,
                    reached bigint not null,
                    primary key (replay_id, lane, projection, milestone)
                );
                comment on table tidemark_internal.milestone_counters is 'Milestones that each lane of each replay was the first to reach.';

                create table tidemark_internal.dead_letters (
                    id bigint generated always as identity primary key,
                    -- Empty when the message belongs to no one projection.
                    projection text not null,
                    source text not null,
                    position text not null,
                    reason text not null,
                    detail text not null,
                    raw bytea not null,
                    -- SHA-256 of the whole message.
                    digest bytea not null,
                    "row" integer not null,
                    count bigint not null default 1,
                    first_seen timestamptz not null default now(),
                    last_seen timestamptz not null default now(),
                    unique (projection, digest, "row")
                );
                comment on table tidemark_internal.dead_letters is 'Messages, and rows of messages, that were set aside.';

                create table tidemark_internal.truncates (
                    projection text not null,
                    source_table text not null,
                    position text not null,
                    event_time timestamptz,
                    -- Where truncates are deletes: every event of the table that is below it is gone.
                    order_key bytea,
                    -- Where it was read first: a lane that has not come so far does not know of it yet.
                    replay_id bigint,
                    file_id bigint,
                    "offset" bigint,
                    "row" integer,
                    primary key (projection, source_table, position)
                );
                comment on table tidemark_internal.truncates is 'Truncates of source tables that were seen.';

                create table tidemark_internal.deliveries (
                    -- The order in which milestones were reached.
                    seq bigint generated always as identity primary key,
                    id uuid not null,
                    projection text not null,
                    key jsonb not null,
                    milestone text not null,
                    notifier text not null,
                    status text not null check (status in ('due', 'held', 'delivered', 'dead', 'muted')),
                    attempts integer not null default 0,
                    -- When it may next be taken. While a relay has it: when its lease ends, and another may take it over.
                    next_attempt_at timestamptz,
                    -- The claim under which a relay has it. A result that comes with another token comes too late.
                    lease_token uuid,
                    last_error text,
                    created_at timestamptz not null default now(),
                    delivered_at timestamptz,
                    -- Built once, so that each attempt sends the same bytes.
                    body text not null,
                    unique (id, notifier)
                );
                comment on table tidemark_internal.deliveries is 'The outbox: one row for each milestone and notifier, written in the transaction that reached it.';

                -- The relay's question: what is due next? By notifier, so that what piles up for one is no way to go for another.
                create index deliveries_due on tidemark_internal.deliveries (notifier, next_attempt_at, seq) where status = 'due';
                -- Is an earlier delivery of the entity still open? Does a change of state hold or release one?
                create index deliveries_open on tidemark_internal.deliveries (projection, key, notifier, seq) where status in ('due', 'held');

                -- A delivery that waits behind an earlier one of its entity is put off until that one's next attempt, so that the
                -- relay does not pass over it again and again. Whatever ends the wait (a result, a hold, an operator's hand, a
                -- removal) makes the next in line due at once.
                create function tidemark_internal.delivery_leaves_due() returns trigger
                language plpgsql as $$
                begin
                    update tidemark_internal.deliveries as follower
                    set next_attempt_at = now()
                    where follower.seq = (
                            select d.seq
                            from tidemark_internal.deliveries as d
                            where d.projection = old.projection and d.key = old.key and d.notifier = old.notifier
                                and d.status = 'due'
                            order by d.seq
                            limit 1
                        )
                        and follower.status = 'due' and follower.lease_token is null and follower.next_attempt_at > now();
                    return null;
                end
                $$;
                comment on function tidemark_internal.delivery_leaves_due is 'Makes the next delivery of the entity due at once.';
                create trigger delivery_leaves_due after update of status on tidemark_internal.deliveries
                for each row when (old.status = 'due' and new.status <> 'due')
                execute function tidemark_internal.delivery_leaves_due();
                create trigger delivery_is_removed after delete on tidemark_internal.deliveries
                for each row when (old.status = 'due')
                execute function tidemark_internal.delivery_leaves_due();

                create function tidemark_internal.delivery_is_released() returns trigger
                language plpgsql as $$
                begin
                    new.next_attempt_at := least(new.next_attempt_at, now());
                    return new;
                end
                $$;
                comment on function tidemark_internal.delivery_is_released is 'Makes a delivery that was held due at once.';
                create trigger delivery_is_released before update of status on tidemark_internal.deliveries
                for each row when (old.status = 'held' and new.status = 'due' and new.lease_token is null)
                execute function tidemark_internal.delivery_is_released();

                create view tidemark.projections as
                select name, definition, position_kind, pruned_before, revived, created_at, updated_at
                from tidemark_internal.projections;
                comment on view tidemark.projections is 'Projections as they were configured when last started.';

                create view tidemark.relations as
                select schema_name, relation_name, kind, projection, created_at
                from tidemark_internal.relations;
                comment on view tidemark.relations is 'Every relation that Tidemark created.';

                create view tidemark.checkpoints as
                select c.replay_id as replay, f.path as file, c.lane, c."offset", c."row", c.line, c.is_finished as finished, c.updated_at
                from tidemark_internal.checkpoints as c
                join tidemark_internal.files as f on f.id = c.file_id;
                comment on view tidemark.checkpoints is 'How far each lane has come in each file: everything before (offset, row) is committed. Offsets count decompressed bytes.';

                create view tidemark.counters as
                select replay_id as replay, lane, nullif(projection, '') as projection, messages, control, filtered,
                    dead_letters, applied, late, duplicate, conflicts, entities
                from tidemark_internal.counters;
                comment on view tidemark.counters is 'What each lane of each replay has counted; rows without a projection count messages.';

                create view tidemark.dead_letters as
                select id, nullif(projection, '') as projection, source, position, reason, detail, raw, "row", count, first_seen, last_seen
                from tidemark_internal.dead_letters;
                comment on view tidemark.dead_letters is 'Messages, and rows of messages, that were set aside, each with its reason. Without a projection: the message belongs to no one of them.';

                create view tidemark.deliveries as
                select id, projection, key, milestone, notifier, status, attempts, next_attempt_at, last_error, created_at, delivered_at
                from tidemark_internal.deliveries;
                comment on view tidemark.deliveries is 'The outbox: due, held (an `unless` state), delivered, dead (given up, kept) or muted (reached without delivery).';

                -- Whether two images differ in a column that both carry.
                create function tidemark_internal.differ(one text, other text) returns boolean
                language sql immutable as $$
                    select exists (
                        select from jsonb_each(one::jsonb) as left_image
                        join jsonb_each(other::jsonb) as right_image using (key)
                        where left_image.value <> right_image.value
                    )
                $$;
                comment on function tidemark_internal.differ is 'Whether two images, as JSON, differ in a column that both carry.';

                -- Ends the transaction unless exactly as many rows were written as the writer had counted on: somebody else has
                -- written, and what the writer knows of the entities is stale.
                create function tidemark_internal.expect(actual bigint, expected bigint, what text) returns void
                language plpgsql as $$
                begin
                    if actual <> expected then
                        raise exception 'tidemark: % rows of % instead of %', actual, what, expected using errcode = 'TM001';
                    end if;
                end
                $$;
                comment on function tidemark_internal.expect is 'Raises TM001 unless actual equals expected.';

                -- Where a row's columns come from, beside its greatest event, stands in `_column_keys`: the order keys, in hexadecimal
                -- digits, of the greatest delete, of the greatest complete image above it (the base), and of the events above both that
                -- give single columns. Only Tidemark builds them; SQL takes out what has come to stand below a truncate.
                create function tidemark_internal.marks_above(marks jsonb, lowest text) returns jsonb
                language sql immutable as $$
                    select jsonb_strip_nulls(
                        jsonb_build_object(
                            'deleted', greatest((marks ->> 'deleted') collate "C", lowest),
                            'base', case when (marks ->> 'base') collate "C" > lowest then marks ->> 'base' end,
                            'state', case when (marks ->> 'state') collate "C" > lowest then marks ->> 'state' end,
                            'columns', (
                                select jsonb_agg(mark order by place)
                                from jsonb_array_elements(marks -> 'columns') with ordinality as marked(mark, place)
                                where (mark ->> 1) collate "C" > lowest
                            ),
                            'named', (
                                select jsonb_agg(mark order by place)
                                from jsonb_array_elements(marks -> 'named') with ordinality as marked(mark, place)
                                where (mark ->> 1) collate "C" > lowest
                            ),
                            'tables', marks -> 'tables'
                        )
                    )
                $$;
                comment on function tidemark_internal.marks_above is 'What is left of the marks above an order key.';

                create function tidemark_internal.marks_carry(marks jsonb, name text) returns boolean
                language sql immutable as $$
                    select marks ? 'base'
                        or exists (select from jsonb_array_elements(marks -> 'columns') as mark where mark ->> 0 = name)
                $$;
                comment on function tidemark_internal.marks_carry is 'Whether any event that counts has carried the column.';
                """#
        ),
        Migration(
            version: 2,
            name: "dead_letters",
            sql: #"""
                -- Where a dead letter was first read, so that it can be worked by hand: `$received` orders by that place, and a retry
                -- stands where the first reading stood.

                alter table tidemark_internal.dead_letters
                    -- Unknown, all four, for what was set aside before there were these columns.
                    add column file_id bigint,
                    add column "offset" bigint,
                    add column line bigint,
                    -- The source's number in the replay that read it.
                    add column source_number integer,
                    -- The whole message was set aside, not one row of it.
                    add column is_whole boolean not null default false;

                update tidemark_internal.dead_letters
                set is_whole = true
                where projection = '' and reason in ('malformed_json', 'unknown_format', 'too_large');
                """#
        ),
        Migration(
            version: 3,
            name: "notifier",
            sql: #"""
                -- What the notifier keeps beside the outbox: every attempt, and who is not to be delivered to until somebody says so.

                alter table tidemark_internal.deliveries
                    -- Attempts made before somebody asked for it again: the schedule begins anew behind them.
                    add column schedule_start integer not null default 0,
                    -- Given up by hand. It is `dead`, and unlike a delivery that failed it holds nobody up.
                    add column is_cancelled boolean not null default false;

                -- Is an earlier delivery of the entity still open, or dead and in the way (`on_failure: hold`)? Does a change of state
                -- hold or release one?
                drop index tidemark_internal.deliveries_open;
                create index deliveries_open on tidemark_internal.deliveries (projection, key, notifier, seq)
                where status in ('due', 'held', 'dead');

                -- No foreign key: its check would cost each attempt a look-up of the very row that the same statement has just written.
                create table tidemark_internal.attempts (
                    seq bigint not null,
                    -- Counted from 1.
                    attempt integer not null,
                    started_at timestamptz not null,
                    duration interval not null,
                    outcome text not null check (outcome in ('delivered', 'failed', 'dead', 'gone')),
                    -- What the receiver said: a webhook's status, a program's exit code.
                    status integer,
                    error text,
                    -- The beginning of the answer's body.
                    excerpt text,
                    primary key (seq, attempt)
                );
                comment on table tidemark_internal.attempts is 'Every attempt at every delivery, written with its result.';

                create function tidemark_internal.deliveries_are_removed() returns trigger
                language plpgsql as $$
                begin
                    delete from tidemark_internal.attempts as attempt
                    using removed
                    where attempt.seq = removed.seq;
                    return null;
                end
                $$;
                comment on function tidemark_internal.deliveries_are_removed is 'Removes the attempts of deliveries that are removed.';
                create trigger deliveries_are_removed after delete on tidemark_internal.deliveries
                referencing old table as removed
                for each statement execute function tidemark_internal.deliveries_are_removed();

                -- A dead delivery that held its entity up and does so no more makes the next in line due, as 001 has it for due ones.
                create trigger delivery_is_cancelled after update of is_cancelled on tidemark_internal.deliveries
                for each row when (new.is_cancelled and not old.is_cancelled and old.status = 'dead')
                execute function tidemark_internal.delivery_leaves_due();
                create trigger dead_delivery_is_removed after delete on tidemark_internal.deliveries
                for each row when (old.status = 'dead')
                execute function tidemark_internal.delivery_leaves_due();

                -- Wakes relays in other processes when the transaction commits. It only wakes: who misses it, or is woken for nothing,
                -- looks at the table. Once a statement and without its rows, so that a batch pays nothing for it.
                create function tidemark_internal.deliveries_are_added() returns trigger
                language plpgsql as $$
                begin
                    perform pg_notify('tidemark_deliveries', '');
                    return null;
                end
                $$;
                comment on function tidemark_internal.deliveries_are_added is 'Wakes whoever delivers, at commit.';
                create trigger deliveries_are_added after insert on tidemark_internal.deliveries
                for each statement execute function tidemark_internal.deliveries_are_added();

                create table tidemark_internal.disabled_notifiers (
                    notifier text primary key,
                    disabled_at timestamptz not null default now(),
                    reason text not null
                );
                comment on table tidemark_internal.disabled_notifiers is 'Notifiers that nothing is delivered to until they are enabled by hand.';

                create view tidemark.attempts as
                select d.id, d.projection, d.key, d.milestone, d.notifier, a.attempt, a.started_at, a.duration, a.outcome, a.status,
                    a.error, a.excerpt
                from tidemark_internal.attempts as a
                join tidemark_internal.deliveries as d on d.seq = a.seq;
                comment on view tidemark.attempts is 'Every attempt at every delivery: how it ended, what the receiver said, how long it took.';

                create view tidemark.disabled_notifiers as
                select notifier, disabled_at, reason
                from tidemark_internal.disabled_notifiers;
                comment on view tidemark.disabled_notifiers is 'Notifiers that nothing is delivered to until `tidemark notify enable NAME`: their receiver answered 410, or somebody disabled them.';

                -- What `when` asks of a row: each column named has one of its values. Where there is no row, every column is null.
                create function tidemark_internal.row_matches(conditions jsonb, "row" jsonb) returns boolean
                language sql immutable as $$
                    select not exists (
                        select from jsonb_each(conditions) as condition(name, accepted)
                        where not condition.accepted @> jsonb_build_array("row" -> condition.name)
                    )
                $$;
                comment on function tidemark_internal.row_matches is 'Whether each column that the conditions name has one of its values.';
                """#
        ),
        Migration(
            version: 4,
            name: "rebuild",
            sql: #"""
                -- A version of a projection that `rebuild` makes beside the live one. Its relations are entered under the projection's
                -- name with `.next` behind it, which no configured projection can have.

                create table tidemark_internal.rebuilds (
                    projection text primary key,
                    source text not null check (source in ('timeline', 'files')),
                    -- What it is made from, and what of the configuration decides which events are taken: another one starts over.
                    input text not null,
                    is_built boolean not null default false,
                    started_at timestamptz not null default now(),
                    built_at timestamptz
                );
                comment on table tidemark_internal.rebuilds is 'Versions of projections that are being built, or wait to be swapped in.';

                create view tidemark.rebuilds as
                select projection, source, is_built as built, started_at, built_at
                from tidemark_internal.rebuilds;
                comment on view tidemark.rebuilds is 'Versions of projections that are being built beside the live ones, or wait to be swapped in.';

                create or replace view tidemark.projections as
                select name, definition, position_kind, pruned_before, revived, created_at, updated_at
                from tidemark_internal.projections
                where name not like '%.next';
                """#
        ),
        Migration(
            version: 5,
            name: "outbox_statistics",
            sql: #"""
                -- How many deliveries are due changes faster than any ANALYZE sees. One that came while none was due would have the
                -- planner take a partial index for empty, and read it whole, where it should look rows up. Without statistics it
                -- reckons with a share that fits no moment and misleads in none.
                alter table tidemark_internal.deliveries alter column status set statistics 0;
                """#
        ),
        Migration(
            version: 6,
            name: "order",
            sql: #"""
                -- What the order of events goes by: where truncates happened, and which source is which.

                -- A truncate is known by its position as it is compared, epoch included: as text, two can read alike.
                alter table tidemark_internal.truncates add column position_key bytea;
                update tidemark_internal.truncates set position_key = '\x00'::bytea || convert_to(position, 'UTF8');
                alter table tidemark_internal.truncates
                    drop constraint truncates_pkey,
                    alter column position_key set not null,
                    add primary key (projection, source_table, position_key);
                comment on column tidemark_internal.truncates.position is 'The position as people read it.';
                comment on column tidemark_internal.truncates.event_time is 'The least of those that the truncate was told with.';

                -- Each run renumbered its sources, and `$received` compared those numbers.
                create table tidemark_internal.sources (
                    id bigint generated always as identity primary key,
                    name text not null unique
                );
                comment on table tidemark_internal.sources is 'Sources by name, numbered once, in the order in which they were first read: $received compares the numbers.';

                alter table tidemark_internal.dead_letters drop column source_number;
                """#
        ),
        Migration(
            version: 7,
            name: "readings",
            sql: #"""
                -- What decides the meaning of a projection's stored values, beside its definition: units that its messages were found to
                -- count times in, by column, and the settings of the sources that it has read, by source. Another one asks for a rebuild
                -- instead of mixing two readings in one table.
                alter table tidemark_internal.projections
                    add column units jsonb not null default '{}',
                    add column sources jsonb not null default '{}';

                create or replace view tidemark.projections as
                select name, definition, position_kind, pruned_before, revived, created_at, updated_at, units, sources
                from tidemark_internal.projections
                where name not like '%.next';
                """#
        ),
        Migration(
            version: 8,
            name: "timeline",
            sql: #"""
                -- A base may lack columns (`open`, and `open_state` for the state): placeholders of an image that is complete but for them,
                -- and columns that were configured after it had been seen.
                create or replace function tidemark_internal.marks_above(marks jsonb, lowest text) returns jsonb
                language sql immutable as $$
                    select jsonb_strip_nulls(
                        jsonb_build_object(
                            'deleted', greatest((marks ->> 'deleted') collate "C", lowest),
                            'base', case when (marks ->> 'base') collate "C" > lowest then marks ->> 'base' end,
                            'open', case when (marks ->> 'base') collate "C" > lowest then marks -> 'open' end,
                            'open_state', case when (marks ->> 'base') collate "C" > lowest then marks -> 'open_state' end,
                            'seen', case when (marks ->> 'seen') collate "C" > lowest then marks ->> 'seen' end,
                            'state', case when (marks ->> 'state') collate "C" > lowest then marks ->> 'state' end,
                            'columns', (
                                select jsonb_agg(mark order by place)
                                from jsonb_array_elements(marks -> 'columns') with ordinality as marked(mark, place)
                                where (mark ->> 1) collate "C" > lowest
                            ),
                            'named', (
                                select jsonb_agg(mark order by place)
                                from jsonb_array_elements(marks -> 'named') with ordinality as marked(mark, place)
                                where (mark ->> 1) collate "C" > lowest
                            ),
                            'tables', marks -> 'tables'
                        )
                    )
                $$;

                create or replace function tidemark_internal.marks_carry(marks jsonb, name text) returns boolean
                language sql immutable as $$
                    select marks ? 'base' and not coalesce(marks -> 'open' ? name, false)
                        or exists (select from jsonb_array_elements(marks -> 'columns') as mark where mark ->> 0 = name)
                $$;

                create function tidemark_internal.json_column(value jsonb) returns jsonb
                language sql immutable as $$
                    select case
                        -- Not with others: no value begins with this name.
                        when jsonb_typeof(value) = 'object' and value ? '$json' and value - '$json' = '{}' then value -> '$json'
                        when value <> 'null' then value
                    end
                $$;
                comment on function tidemark_internal.json_column is 'A jsonb column as an image has it: null is SQL''s, {"$json":null} is JSON''s.';
                """#
        ),
        Migration(
            version: 9,
            name: "streams",
            sql: #"""
                -- Passes, streams and progress take the place of replays, files and checkpoints, which knew one kind of source. The views
                -- of schema `tidemark` keep their columns.

                -- 20 bytes, big-endian, so that they compare as offsets do: major, minor, row.
                create function tidemark_internal.stream_offset(major bigint, minor bigint, "row" integer) returns bytea
                language sql immutable parallel safe
                begin atomic
                    select int8send(major) || int8send(minor) || int4send("row");
                end;
                comment on function tidemark_internal.stream_offset is 'An offset in a stream: major, minor, row.';

                create function tidemark_internal.offset_major("offset" bytea) returns bigint
                language sql immutable parallel safe
                begin atomic
                    select ('x' || encode(substring("offset" from 1 for 8), 'hex'))::bit(64)::bigint;
                end;
                comment on function tidemark_internal.offset_major is 'The first number of an offset: of a file, a byte of what it decompresses to.';

                create function tidemark_internal.offset_row("offset" bytea) returns integer
                language sql immutable parallel safe
                begin atomic
                    select ('x' || encode(substring("offset" from 17 for 4), 'hex'))::bit(32)::integer;
                end;
                comment on function tidemark_internal.offset_row is 'The row within the message at an offset.';

                create table tidemark_internal.streams (
                    id bigint generated by default as identity primary key,
                    -- Unknown of what was read before sources were kept.
                    source_id bigint references tidemark_internal.sources,
                    name text not null,
                    -- What tells it from another stream of the same name. Only its source reads it; empty for what is never resumed.
                    incarnation text not null,
                    -- Where its source may look for it first, such as a device and an inode.
                    hint text,
                    first_seen timestamptz not null default now()
                );
                comment on table tidemark_internal.streams is 'Ordered, resumable sequences of messages: files, topic partitions, slots.';
                create unique index streams_name on tidemark_internal.streams (name, incarnation, coalesce(source_id, 0));
                create index streams_hint on tidemark_internal.streams (hint);
                create index streams_incarnation on tidemark_internal.streams (incarnation);

                -- A digest of what stands on disk, and of how much.
                insert into tidemark_internal.streams (id, name, incarnation, first_seen)
                select id, path, case when digest = '' then '' else 'stored:' || least(size, 65536) || ':' || digest end, first_seen
                from (
                    select *, row_number() over (partition by path, digest, least(size, 65536) order by id desc) as place
                    from tidemark_internal.files
                ) as files
                where place = 1;
                -- Several sizes of one long file were several files; only the newest can be resumed.
                insert into tidemark_internal.streams (id, name, incarnation, first_seen)
                select id, path, 'stored:' || least(size, 65536) || ':' || digest || ':' || size, first_seen
                from tidemark_internal.files as file
                where not exists (select from tidemark_internal.streams as stream where stream.id = file.id);
                select setval(
                    pg_get_serial_sequence('tidemark_internal.streams', 'id'),
                    greatest((select max(id) from tidemark_internal.streams), 1),
                    exists (select from tidemark_internal.streams)
                );

                alter table tidemark_internal.replays rename to passes;
                alter table tidemark_internal.passes rename constraint replays_pkey to passes_pkey;
                alter table tidemark_internal.passes rename constraint replays_lanes_check to passes_lanes_check;
                alter table tidemark_internal.passes
                    -- 1: lanes by Kafka's partitioner and the number of a message; 2: by hashes of their own.
                    add column lane_rule smallint not null default 1;
                alter table tidemark_internal.passes alter column lane_rule set default 2;
                comment on table tidemark_internal.passes is 'Readings of streams into projections: each replay, rebuild and retry. An unfinished one is resumed.';

                -- How far each stream is committed by all lanes. What a lease is beside that, who reads the stream, comes to it.
                create table tidemark_internal.leases (
                    pass_id bigint not null references tidemark_internal.passes on delete cascade,
                    stream_id bigint not null references tidemark_internal.streams,
                    -- Where the stream stands in the order of the pass.
                    input_order integer not null,
                    "offset" bytea not null default tidemark_internal.stream_offset(0, 0, 0) check (length("offset") = 20),
                    -- The number of the message at the offset, from 1.
                    message_ordinal bigint not null default 1,
                    -- What the source resumes at: bytes that only it reads.
                    resume bytea not null default '',
                    is_at_end boolean not null default false,
                    updated_at timestamptz not null default now(),
                    primary key (pass_id, stream_id)
                );
                comment on table tidemark_internal.leases is 'The level of each stream of each pass: everything before it is committed by all lanes.';

                create table tidemark_internal.progress (
                    pass_id bigint not null references tidemark_internal.passes on delete cascade,
                    -- Empty for the projections that are read together.
                    projection text not null default '',
                    stream_id bigint not null references tidemark_internal.streams,
                    -- How many lanes there were when the row was written.
                    lanes integer not null,
                    lane integer not null,
                    "offset" bytea not null check (length("offset") = 20),
                    message_ordinal bigint not null,
                    resume bytea not null default '',
                    updated_at timestamptz not null default now(),
                    primary key (pass_id, projection, stream_id, lanes, lane)
                );
                comment on table tidemark_internal.progress is 'How far a lane is beyond a stream''s level; moved only by compare-and-set, in the transaction that holds the rows.';

                insert into tidemark_internal.leases (pass_id, stream_id, input_order, "offset", message_ordinal, is_at_end, updated_at)
                select distinct on (replay_id, file_id) replay_id, file_id, ordinal,
                    tidemark_internal.stream_offset("offset", 0, "row"), greatest(line, 1),
                    bool_and(is_finished) over (partition by replay_id, file_id),
                    max(updated_at) over (partition by replay_id, file_id)
                from tidemark_internal.checkpoints
                -- The least of the lanes: one that has everything is further than each that has not.
                order by replay_id, file_id, is_finished, "offset", "row";

                insert into tidemark_internal.progress
                    (pass_id, stream_id, lanes, lane, "offset", message_ordinal, updated_at)
                select c.replay_id, c.file_id, p.lanes, c.lane,
                    tidemark_internal.stream_offset(c."offset", 0, c."row"), greatest(c.line, 1), c.updated_at
                from tidemark_internal.checkpoints as c
                join tidemark_internal.passes as p on p.id = c.replay_id
                where p.finished_at is null;

                drop view tidemark.checkpoints;
                drop view tidemark.counters;
                drop table tidemark_internal.checkpoints;

                alter table tidemark_internal.counters rename column replay_id to pass_id;
                alter table tidemark_internal.milestone_counters rename column replay_id to pass_id;

                alter table tidemark_internal.truncates rename column replay_id to pass_id;
                alter table tidemark_internal.truncates rename column file_id to stream_id;
                alter table tidemark_internal.truncates
                    alter column "offset" type bytea using tidemark_internal.stream_offset("offset", 0, "row"),
                    drop column "row";

                alter table tidemark_internal.dead_letters rename column file_id to stream_id;
                alter table tidemark_internal.dead_letters rename column line to message_ordinal;
                alter table tidemark_internal.dead_letters rename column is_whole to is_whole_message;
                alter table tidemark_internal.dead_letters
                    alter column "offset" type bytea using tidemark_internal.stream_offset("offset", 0, "row");

                drop table tidemark_internal.files;

                create view tidemark.streams as
                select s.id, source.name as source, s.name, s.first_seen
                from tidemark_internal.streams as s
                left join tidemark_internal.sources as source on source.id = s.source_id;
                comment on view tidemark.streams is 'Ordered, resumable sequences of messages that were read: files, topic partitions, slots.';

                create view tidemark.passes as
                select id, projections, lanes, runs, started_at, finished_at, elapsed_seconds
                from tidemark_internal.passes;
                comment on view tidemark.passes is 'Readings of streams into projections: each replay, rebuild and retry. One without finished_at is resumed.';

                -- A lane is where the level is, or where its own row is beyond it.
                create view tidemark.progress as
                select l.pass_id as pass, s.name as stream, numbered.lane, tidemark_internal.offset_major(reached."offset") as "offset",
                    tidemark_internal.offset_row(reached."offset") as "row", reached.message_ordinal, l.is_at_end, reached.updated_at
                from tidemark_internal.leases as l
                join tidemark_internal.passes as p on p.id = l.pass_id
                join tidemark_internal.streams as s on s.id = l.stream_id
                cross join lateral generate_series(0, p.lanes - 1) as numbered(lane)
                left join tidemark_internal.progress as own
                    on own.pass_id = l.pass_id and own.projection = '' and own.stream_id = l.stream_id and own.lanes = p.lanes
                        and own.lane = numbered.lane and own."offset" > l."offset" and not l.is_at_end
                cross join lateral (
                    select coalesce(own."offset", l."offset") as "offset",
                        coalesce(own.message_ordinal, l.message_ordinal) as message_ordinal,
                        greatest(own.updated_at, l.updated_at) as updated_at
                ) as reached;
                comment on view tidemark.progress is 'How far each lane is in each stream: everything before (offset, row) is committed.';

                create view tidemark.checkpoints as
                select pass as replay, stream as file, lane, "offset", "row", message_ordinal as line, is_at_end as finished, updated_at
                from tidemark.progress;
                comment on view tidemark.checkpoints is 'tidemark.progress under the names that earlier versions had. Offsets count decompressed bytes.';

                create view tidemark.counters as
                select pass_id as replay, lane, nullif(projection, '') as projection, messages, control, filtered,
                    dead_letters, applied, late, duplicate, conflicts, entities
                from tidemark_internal.counters;
                comment on view tidemark.counters is 'What each lane of each pass has counted; rows without a projection count messages.';

                -- The storage of projections names the pass that touched an entity last.
                do $$
                declare
                    relation record;
                begin
                    for relation in
                        select c.oid::regclass as name
                        from tidemark_internal.relations as r
                        join pg_catalog.pg_namespace as n on n.nspname = r.schema_name
                        join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = r.relation_name
                        join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = '_replay' and not a.attisdropped
                        where r.kind = 'table'
                    loop
                        execute format('alter table %s rename column _replay to _last_pass_id', relation.name);
                    end loop;
                end
                $$;
                """#
        ),
        Migration(
            version: 10,
            name: "detached",
            sql: #"""
                -- A projection that is not read together with the others of its pass has levels and progress of its own.
                alter table tidemark_internal.leases
                    -- Empty for the projections that are read together.
                    add column projection text not null default '',
                    -- From here on a projection with a level of its own is read together with the others; null while it is not.
                    add column joined_at bytea check (length(joined_at) = 20),
                    drop constraint leases_pkey,
                    add primary key (pass_id, projection, stream_id);
                comment on table tidemark_internal.leases is 'The level of each stream of each pass: everything before it is committed by all lanes. A projection that joined a pass later, or left it, has levels of its own.';

                -- A lane is where the level is, or where its own row is beyond it.
                create or replace view tidemark.progress as
                select l.pass_id as pass, s.name as stream, numbered.lane, tidemark_internal.offset_major(reached."offset") as "offset",
                    tidemark_internal.offset_row(reached."offset") as "row", reached.message_ordinal, l.is_at_end, reached.updated_at,
                    nullif(l.projection, '') as projection
                from tidemark_internal.leases as l
                join tidemark_internal.passes as p on p.id = l.pass_id
                join tidemark_internal.streams as s on s.id = l.stream_id
                cross join lateral generate_series(0, p.lanes - 1) as numbered(lane)
                left join tidemark_internal.progress as own
                    on own.pass_id = l.pass_id and own.projection = l.projection and own.stream_id = l.stream_id
                        and own.lanes = p.lanes and own.lane = numbered.lane and own."offset" > l."offset" and not l.is_at_end
                cross join lateral (
                    select coalesce(own."offset", l."offset") as "offset",
                        coalesce(own.message_ordinal, l.message_ordinal) as message_ordinal,
                        greatest(own.updated_at, l.updated_at) as updated_at
                ) as reached;
                comment on view tidemark.progress is 'How far each lane is in each stream: everything before (offset, row) is committed. Rows with a projection are of one that is read by itself.';

                create or replace view tidemark.checkpoints as
                select pass as replay, stream as file, lane, "offset", "row", message_ordinal as line, is_at_end as finished, updated_at
                from tidemark.progress
                where projection is null;
                """#
        ),
    ]
}
