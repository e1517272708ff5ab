-- Several processes write one projection.

-- Raised, under the exclusive advisory lock of the projection's batches, by whatever a batch in another process has to
-- learn of before it writes: another writer, a truncate that deletes, an adopted column, `forget`, `prune`, the swap of
-- a rebuild.
alter table tidemark_internal.projections add column revision bigint not null default 1;

create table tidemark_internal.processes (
    id integer primary key generated always as identity,
    -- As its sessions call themselves: the command, the process and its host.
    name text not null,
    started_at timestamptz not null default now(),
    -- The last heartbeat.
    seen_at timestamptz not null default now(),
    -- How long it may be silent before another process ends its sessions.
    lease_ttl interval not null,
    -- Another process has ended its sessions: it can commit nothing any more.
    fenced_at timestamptz
);
comment on table tidemark_internal.processes is 'The processes that write. Each of its sessions holds the shared session lock (1953063023, id).';

alter table tidemark_internal.leases
    -- The process that reads the stream now; null when it was given back.
    add column process_id integer references tidemark_internal.processes (id) on delete set null,
    -- Raised whenever another process takes the lease.
    add column generation bigint not null default 0;

-- Holds the projections' batch locks until the end of the transaction, and compares their revisions. The names are in
-- one order in all processes, so that two of them cannot wait for each other.
create function tidemark_internal.hold_revisions(names text[], revisions bigint[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    changed text;
begin
    perform pg_advisory_xact_lock_shared(1953063022, hashtext(name)) from unnest(names) as name;
    -- A statement of its own: its snapshot is taken once the locks are held.
    select held.name into changed
    from unnest(names, revisions) as held (name, revision)
    left join tidemark_internal.projections as projection on projection.name = held.name
    where projection.revision is distinct from held.revision
    limit 1;
    if found then
        raise exception using errcode = 'TM002', message = format('projection %s has another revision', changed);
    end if;
end
$$;

-- The writing sessions: each holds its process's lock, and the shared lock (1953063021, hash) of each projection.
create view tidemark_internal.writing_sessions as
select process.id as process_id, own.pid, projection.name as projection
from tidemark_internal.processes as process
join pg_catalog.pg_locks as own
    on own.locktype = 'advisory' and own.classid = 1953063023 and own.objid = process.id::oid and own.granted
        -- pg_locks lists the locks of all databases.
        and own.database = (select oid from pg_catalog.pg_database where datname = current_database())
left join pg_catalog.pg_locks as written
    on written.pid = own.pid and written.locktype = 'advisory' and written.classid = 1953063021 and written.granted
        and written.database = own.database
left join tidemark_internal.projections as projection
    on written.objid = (pg_catalog.hashtext(projection.name)::bigint & 4294967295)::oid;
comment on view tidemark_internal.writing_sessions is 'The sessions of processes that write, and the projections that each may write.';

create view tidemark.processes as
select process.id as process, process.name, process.started_at, process.seen_at,
    case
        when process.fenced_at is not null then 'fenced'
        when session.sessions is null then 'gone'
        when process.seen_at < now() - process.lease_ttl then 'silent'
        else 'running'
    end as status,
    coalesce(session.sessions, 0) as sessions,
    coalesce(session.projections, '{}') as projections,
    coalesce(lease.streams, 0) as streams,
    coalesce(waiting.waits_for, '{}') as waits_for
from tidemark_internal.processes as process
left join lateral (
    select count(distinct s.pid) as sessions, array_agg(distinct s.projection) filter (where s.projection is not null) as projections
    from tidemark_internal.writing_sessions as s
    where s.process_id = process.id
    having count(*) > 0
) as session on true
left join lateral (
    select count(*) as streams from tidemark_internal.leases as l where l.process_id = process.id
) as lease on true
left join lateral (
    select array_agg(distinct coalesce(nullif(a.application_name, ''), 'server process ' || blocking.pid)) as waits_for
    from tidemark_internal.writing_sessions as s
    cross join lateral unnest(pg_catalog.pg_blocking_pids(s.pid)) as blocking (pid)
    left join pg_catalog.pg_stat_activity as a on a.pid = blocking.pid
    where s.process_id = process.id
        and blocking.pid not in (
            select other.pid from tidemark_internal.writing_sessions as other where other.process_id = process.id
        )
) as waiting on true;
comment on view tidemark.processes is 'The processes that write: since when, their projections, streams and sessions, and which other sessions they wait for.';

alter table tidemark_internal.rebuilds
    -- The events of the timeline that were received before are read first; later ones, and those that a transaction
    -- outside of the snapshot has changed, before the swap.
    add column since timestamptz,
    add column snapshot pg_snapshot;
