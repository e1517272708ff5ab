-- PostgreSQL's own logical replication: what is timed is the applying, from the start to the last change's arrival.
\set ON_ERROR_STOP on

alter subscription bench enable;
do $$
begin
    while not exists (select from done) loop
        perform pg_sleep(0.002);
    end loop;
end
$$;
