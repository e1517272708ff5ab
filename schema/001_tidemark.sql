-- Tidemark's own relations. Schema `tidemark` is what users query and stays as the documentation says;
-- schema `tidemark_internal` is storage and may change with any version.
-- A schema that is there is left alone: even `if not exists` needs CREATE on the database.

do $$
begin
    if to_regnamespace('tidemark') is null then
        create schema tidemark;
    end if;
end
$$;
comment on schema tidemark is 'Tidemark: deliveries, dead letters, checkpoints and counters, to be queried.';

do $$
begin
    if to_regnamespace('tidemark_internal') is null then
        create schema tidemark_internal;
    end if;
end
$$;
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
