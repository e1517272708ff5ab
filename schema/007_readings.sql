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
