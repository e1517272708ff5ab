-- The script, which also stores every distinct event: psql -f script-timeline.sql < LOG
\ir script.sql

create table orders_timeline (
    id bigint,
    version bigint,
    op text,
    event_time timestamptz,
    image jsonb,
    primary key (id, version)
);

insert into orders_timeline
select distinct on (id, version) (line -> 'data' ->> 'id')::bigint as id,
    (line -> 'data' ->> 'version')::bigint as version, line ->> 'type', to_timestamp((line ->> 'ts')::bigint),
    line -> 'data'
from raw
order by id, version
on conflict do nothing;
