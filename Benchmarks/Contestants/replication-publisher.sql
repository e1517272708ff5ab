-- Before the clock starts: makes the changes of the log on the publisher, for the slot to hand on.
-- psql -d publisher -f table.sql -f replication-publisher.sql < LOG
\set ON_ERROR_STOP on

create table done (at timestamptz primary key);
create publication bench for table orders, done;
-- Beforehand, because a subscription to the same cluster cannot make its slot itself.
select slot_name from pg_create_logical_replication_slot('bench', 'pgoutput');

create unlogged table feed (number bigint generated always as identity primary key, line jsonb);
\copy feed (line) from pstdin with (format csv, delimiter e'\x02', quote e'\x01')
analyze feed;

-- Transactions of 5,000 events. In each an order changes once at most, so that no change is lost by taking them together.
create procedure publish() language plpgsql as $$
declare
    size constant bigint := least(5000, (select count(distinct line -> 'data' -> 'id') from feed));
    first bigint := 1;
begin
    while first <= (select max(number) from feed) loop
        insert into orders
        select distinct on (row.id) row.*
        from feed, jsonb_to_record(line -> 'data') as row (
            id bigint, customer text, status text, amount numeric(12,2), currency text, city text, note text,
            updated_at timestamptz, version bigint)
        where number >= first and number < first + size
        order by row.id, row.version desc
        on conflict (id) do update set
            customer = excluded.customer, status = excluded.status, amount = excluded.amount,
            currency = excluded.currency, city = excluded.city, note = excluded.note, updated_at = excluded.updated_at,
            version = excluded.version
        where excluded.version > orders.version;
        commit;
        first := first + size;
    end loop;
end
$$;
call publish();
insert into done values (now());
