#!/usr/bin/env bash
# What one would guess: `insert … on conflict do nothing` of a key whose row was committed long ago has nothing to wait
# for. Whether another transaction changes other columns of that row, and how it ends, the key is there; a foreign key's
# check of the same row does not wait either.
#
# What happens: the insert waits until the other transaction ends. A row that is only locked (`for no key update`) does not
# stop it; one that is updated or deleted does, although an update leaves the key as it is.
#
# Seen with PostgreSQL 15. Source: check_exclusion_or_unique_constraint() in src/backend/executor/execIndexing.c waits for
# whatever transaction decides on the visibility of the row that it found.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
start_postgres

sql "create table orders (id int primary key, v int); insert into orders values (1, 1)"
sql "create table items (order_id int references orders)"

mkfifo "$work/session"
psql -Xqo /dev/null -h 127.0.0.1 -p "$pg_port" -U finder -d postgres <"$work/session" &
exec 3>"$work/session"

# In a transaction of the other session: a statement, and how the insert ends meanwhile.
beside() {
  echo "begin; $1; select pg_advisory_lock(1);" >&3
  until [[ $(sql "select count(*) from pg_locks where locktype = 'advisory'") == 1 ]]; do :; done
  local said
  said=$(sql "set lock_timeout = '1s'; $2" 2>&1) && said="done"
  [[ $said == *"lock timeout"* ]] && said="waits"
  echo "$said"
  echo "rollback; select pg_advisory_unlock_all();" >&3
  until [[ $(sql "select count(*) from pg_locks where locktype = 'advisory'") == 0 ]]; do :; done
}

insert="insert into orders values (1, 2) on conflict do nothing"
expect "insert beside a row that is locked" \
  "$(beside "select from orders where id = 1 for no key update" "$insert")" "done"
expect "insert beside a row whose other column is updated" \
  "$(beside "update orders set v = 3 where id = 1" "$insert")" "waits"
expect "a foreign key's check of the row that is updated" \
  "$(beside "update orders set v = 3 where id = 1" "insert into items values (1)")" "done"
exec 3>&-
finish
