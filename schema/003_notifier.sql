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
