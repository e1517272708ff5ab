-- Draws the life of order :order for scripts/demo.sh: its events as they arrived beside their true order, at most 80
-- columns wide. Read from the projection's own relations; repeats, which are counted and not kept, from the log :log.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
\pset pager off
\set QUIET on
-- A message is one line without these two characters, so COPY takes every line as it is.
create temporary table log (line text);
\copy log from pstdin with (format csv, delimiter E'\x02', quote E'\x01')

create temporary view event as
select sequence, order_key, state, event_time, received_at, late, source, position,
    (select count(*) from log where line like '%"position":"' || position || '"%') as times,
    row_number() over (order by received_at, order_key) as arrival,
    row_number() over (order by order_key) as rank
from orders_timeline where id = :order;

create temporary view milestone as
select m.milestone, e.sequence, e.state, e.arrival, e.rank
from orders_milestones m
cross join lateral (
    select * from event where received_at = m.reached_at order by order_key desc limit 1
) e
where m.id = :order;

select format('Order %s: %s messages came, %s of them duplicates', :order, sum(times),
    sum(times) - count(*))
from event;
select format('(late: a newer version had come before; 3%s: it came three times)', :'times');
select '';
select format('%s   to %s %s  from', rpad('as they arrived', 35 + length(:'right') - 2), :'bar', rpad('as it happened', 27));
select repeat(:'line', 39 + length(:'right')) || :'cross' || repeat(:'line', 36);

select concat(
    lpad(l.arrival::text, 2), rpad('  v' || l.sequence, 6), rpad(left(l.state, 9), 10),
    rpad(left(l.source, 4), 5), rpad(case when l.late then 'late' else 'applied' end, 8),
    rpad(case when l.times > 1 then l.times || :'times' else '' end, 4), :'right', lpad(l.rank::text, 3),
    ' ', :'bar', ' ',
    lpad(r.rank::text, 2), rpad('  v' || r.sequence, 6), rpad(left(r.state, 9), 10),
    to_char(r.event_time at time zone 'UTC', 'HH24:MI:SS'), '  ', :'left', lpad(r.arrival::text, 3),
    case when exists (select from milestone where arrival = r.arrival) then '  ' || :'star' end)
from event l join event r on r.rank = l.arrival
order by l.arrival;

select '';
select format('%s milestone %s, reached once: as v%s (%s) arrived, number %s of %s', :'star', m.milestone, m.sequence,
        m.state, m.arrival, (select count(*) from event))
    || coalesce((select format(E',\n  before %s came', string_agg('v' || sequence, ', ' order by order_key))
        from event e where e.arrival > m.arrival and e.rank < m.rank), '')
from milestone m;
select format('  row: %s, v%s; the last to arrive was v%s', status, version,
    (select sequence from event order by arrival desc limit 1))
from orders where id = :order;
