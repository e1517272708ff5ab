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
