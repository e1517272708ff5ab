-- Before the clock starts, in the database that follows. `publisher` is the connection string of the other.
-- psql -d bench -v publisher=… -f table.sql -f replication-subscriber.sql
\set ON_ERROR_STOP on

create table done (at timestamptz primary key);
create subscription bench connection :'publisher' publication bench
    with (create_slot = false, slot_name = 'bench', enabled = false, copy_data = false);
