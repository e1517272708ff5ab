-- The views that users query refuse INSERT, UPDATE and DELETE, for the owner too. PostgreSQL passes a write to a simple view
-- on to its table: a row of the storage was changed so, without its timeline and its tombstone. A trigger leaves queries and
-- their plans as they are, and creating it does not wait for readers.

create function tidemark_internal.refuse_write() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'object_not_in_prerequisite_state',
        message = format('cannot write to view %I.%I', tg_table_schema, tg_table_name),
        detail = 'Tidemark makes its rows from events.',
        hint = 'Change the row at its source. Commands such as tidemark forget, prune and deadletters remove rows.';
end
$$;
comment on function tidemark_internal.refuse_write is 'Refuses a write to a view that users query.';

do $$
declare
    shown record;
begin
    for shown in
        select view.oid::regclass as name
        from pg_catalog.pg_class as view
        join pg_catalog.pg_namespace as space on space.oid = view.relnamespace
        where view.relkind = 'v'
            and (
                space.nspname = 'tidemark'
                and view.relname = any (array[
                    'anomalies', 'attempts', 'audit', 'checkpoints', 'checks', 'counters', 'dead_letters', 'deliveries',
                    'disabled_notifiers', 'leases', 'passes', 'processes', 'progress', 'projections', 'rebuilds',
                    'relations', 'sources', 'streams'
                ])
                or exists (
                    select from tidemark_internal.relations as own
                    where own.schema_name = space.nspname and own.relation_name = view.relname
                        and own.schema_name <> 'tidemark_internal'
                )
            )
    loop
        execute format(
            'create trigger read_only instead of insert or update or delete on %s
            for each row execute function tidemark_internal.refuse_write()',
            shown.name
        );
    end loop;
end
$$;
