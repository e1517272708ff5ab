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
