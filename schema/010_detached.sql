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
        and own.lanes = p.lanes and own.lane = numbered.lane and own."offset" > l."offset"
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
