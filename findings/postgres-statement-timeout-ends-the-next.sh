#!/usr/bin/env bash
# What one would guess: `statement_timeout` ends the statement that takes too long, or none. One that is answered in time is
# over, and the next one, sent afterwards under `statement_timeout = 0`, has no limit.
#
# What happens: where the limit runs out between the end of a statement's work and the end of its transaction, the statement
# is answered as done, and the next one ends with "canceling statement due to statement timeout" (57014), whatever its own
# limit is. A session that begins with `set statement_timeout = 0`, because its role has a short one, can lose the statement
# behind it.
#
# Seen with PostgreSQL 15. Source: src/backend/tcop/postgres.c. finish_xact_command() disables a limit only while it is
# active, so the mark of one that has fired stays; ProcessInterrupts() ignores a request to cancel while the next command
# is read, but reports a limit that has fired.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
python_packages psycopg==3.3.9 psycopg-binary==3.3.9
start_postgres

cat >"$work/limits.py" <<'PYTHON'
import sys, time
import psycopg

connection = psycopg.connect(sys.argv[1], autocommit=True).pgconn
done = psycopg.pq.ExecStatus.TUPLES_OK
pause, limits = 0.0009, set()
end = time.monotonic() + 120
while time.monotonic() < end:
    connection.exec_(b"set statement_timeout = 1")
    # About as long as the limit: shorter after each that the limit has ended.
    first = connection.exec_(b"select set_config('statement_timeout', '0', false) from pg_sleep(%f)" % pause)
    if first.status != done:
        pause *= 0.999
        continue
    pause = min(pause * 1.0005, 0.001)
    second = connection.exec_(b"select 1")
    limit = connection.exec_(b"show statement_timeout").get_value(0, 0).decode()
    if second.status != done:
        print(second.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode(), "under a limit of", limit)
        break
PYTHON
expect "the statement behind one that was answered in time" \
  "$("$work/venv/bin/python" "$work/limits.py" "host=127.0.0.1 port=$pg_port user=finder dbname=postgres")" \
  "57014 under a limit of 0"
finish
