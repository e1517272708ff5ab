-- The service's pass never ends, and several processes share its streams.

alter table tidemark_internal.passes
    -- Read by `tidemark run`; it has no end.
    add column is_service boolean not null default false,
    -- Raised by commands that change what the pass reads: its processes begin again.
    add column revision bigint not null default 1;
create index passes_service on tidemark_internal.passes (id) where is_service and finished_at is null;

alter table tidemark_internal.leases
    -- Since when its process reads the stream.
    add column taken_at timestamptz,
    -- How much of the stream was not committed when the level was stored last: bytes or messages, as its offsets count.
    add column behind bigint;
create index leases_open on tidemark_internal.leases (pass_id, stream_id) where not is_at_end;

alter table tidemark_internal.processes
    -- The service's pass that it takes part in.
    add column pass_id bigint references tidemark_internal.passes (id) on delete set null,
    -- The streams that it could read and does not hold.
    add column wants bigint[] not null default '{}',
    -- What does not run as it should: an object for each source and projection, with status, since, reason and remedy.
    add column checks jsonb not null default '{}';

alter table tidemark_internal.sources add column paused_at timestamptz;
alter table tidemark_internal.projections add column paused_at timestamptz;

create table tidemark_internal.audit (
    id bigint primary key generated always as identity,
    at timestamptz not null default now(),
    -- The role of the session, and what it called itself: the command, the process and its host.
    role text not null default session_user,
    client text not null default current_setting('application_name'),
    action text not null,
    -- The source or projection.
    subject text not null,
    detail jsonb not null default '{}'
);
comment on table tidemark_internal.audit is 'What operators did to the service: pause, resume, backfill, seek.';

create view tidemark.audit as
select id, at, role, client, action, subject, detail from tidemark_internal.audit;
comment on view tidemark.audit is 'What operators did to the service, when, and by which role and command.';

-- Several processes count in one pass. What processes that have ended counted is under 0.
alter table tidemark_internal.counters
    add column process_id integer not null default 0,
    drop constraint counters_pkey,
    add primary key (pass_id, process_id, lane, projection);
alter table tidemark_internal.milestone_counters
    add column process_id integer not null default 0,
    drop constraint milestone_counters_pkey,
    add primary key (pass_id, process_id, lane, projection, milestone);

create or replace view tidemark.counters as
select pass_id as replay, lane, nullif(projection, '') as projection, sum(messages)::bigint as messages,
    sum(control)::bigint as control, sum(filtered)::bigint as filtered, sum(dead_letters)::bigint as dead_letters,
    sum(applied)::bigint as applied, sum(late)::bigint as late, sum(duplicate)::bigint as duplicate,
    sum(conflicts)::bigint as conflicts, sum(entities)::bigint as entities
from tidemark_internal.counters
group by pass_id, lane, projection;

-- Adds what a process has counted in a pass to what ended processes have.
create function tidemark_internal.fold_counters(pass bigint, process integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    with ended as (
        delete from tidemark_internal.counters where pass_id = pass and process_id = process returning *
    )
    insert into tidemark_internal.counters as total (
        pass_id, lane, projection, messages, control, filtered, dead_letters, applied, late, duplicate, conflicts, entities
    )
    select pass_id, lane, projection, messages, control, filtered, dead_letters, applied, late, duplicate, conflicts, entities
    from ended
    order by lane, projection
    on conflict (pass_id, process_id, lane, projection) do update
    set messages = total.messages + excluded.messages, control = total.control + excluded.control,
        filtered = total.filtered + excluded.filtered, dead_letters = total.dead_letters + excluded.dead_letters,
        applied = total.applied + excluded.applied, late = total.late + excluded.late,
        duplicate = total.duplicate + excluded.duplicate, conflicts = total.conflicts + excluded.conflicts,
        entities = total.entities + excluded.entities;
    with ended as (
        delete from tidemark_internal.milestone_counters where pass_id = pass and process_id = process returning *
    )
    insert into tidemark_internal.milestone_counters as total (pass_id, lane, projection, milestone, reached)
    select pass_id, lane, projection, milestone, reached
    from ended
    order by lane, projection, milestone
    on conflict (pass_id, process_id, lane, projection, milestone) do update
    set reached = total.reached + excluded.reached;
end
$$;

create view tidemark.leases as
select l.pass_id as pass, source.name as source, stream.name as stream, nullif(l.projection, '') as projection,
    l.process_id as process, process.name as process_name, l.taken_at, l.generation,
    tidemark_internal.offset_major(l."offset") as "offset", l.message_ordinal, l.behind, l.is_at_end, l.updated_at
from tidemark_internal.leases as l
join tidemark_internal.passes as pass on pass.id = l.pass_id
join tidemark_internal.streams as stream on stream.id = l.stream_id
left join tidemark_internal.sources as source on source.id = stream.source_id
left join tidemark_internal.processes as process on process.id = l.process_id
where pass.finished_at is null;
comment on view tidemark.leases is 'The streams of unfinished passes: which process reads each, since when, how far it is committed, and how much of it was not when the level was stored last.';

create view tidemark.sources as
select id, name, paused_at from tidemark_internal.sources;
comment on view tidemark.sources is 'The sources that were ever read, and since when an operator has paused one.';

create or replace view tidemark.passes as
select id, projections, lanes, runs, started_at, finished_at, elapsed_seconds, is_service
from tidemark_internal.passes;

create view tidemark.checks as
select process.id as process, process.name as process_name, checked.name, checked.state ->> 'status' as status,
    (checked.state ->> 'since')::timestamptz as since, checked.state ->> 'reason' as reason,
    checked.state ->> 'remedy' as remedy
from tidemark_internal.processes as process
cross join lateral jsonb_each(process.checks) as checked (name, state);
comment on view tidemark.checks is 'What does not run as it should, by process: the source or projection, since when, why, and what to do.';
