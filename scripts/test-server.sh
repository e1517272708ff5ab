#!/usr/bin/env bash
# A private PostgreSQL for tests: in a temporary folder, on a Unix socket only, without durability.
#
#   scripts/test-server.sh run COMMAND…   starts one, runs COMMAND with TIDEMARK_TEST_DATABASE_URL, always stops it,
#                                         and ends as COMMAND did; with the variable set already, only runs COMMAND
#   scripts/test-server.sh start          starts one that stays, and prints the line to set the variable with
#   scripts/test-server.sh stop           stops that one
#
# TIDEMARK_TEST_POSTGRES names the folder of initdb and postgres, where it is not to be the newest one installed.
#
# PostgreSQL refuses to run as root: root runs it as postgres, or as nobody.
set -euo pipefail

package=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$package/.test-server

die() { echo "test-server: $*" >&2; exit 1; }

# The folder of initdb, postgres and pg_ctl.
find_binaries() {
  local folder
  if [[ -n ${TIDEMARK_TEST_POSTGRES:-} ]]; then echo "$TIDEMARK_TEST_POSTGRES"; return; fi
  for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr) \
    "$(dirname "$(readlink -f "$(command -v initdb || echo /nowhere/x)")")" \
    "$(pg_config --bindir 2>/dev/null || true)"; do
    if [[ -x $folder/initdb && -x $folder/pg_ctl ]]; then echo "$folder"; return; fi
  done
  die "PostgreSQL is not installed: make deps"
}

account() {
  if [[ $EUID -ne 0 ]]; then id -un
  elif id -u postgres >/dev/null 2>&1; then echo postgres
  else echo nobody; fi
}

# as USER COMMAND…
as() {
  local user=$1; shift
  if [[ $EUID -eq 0 ]]; then runuser -u "$user" -- "$@"; else "$@"; fi
}

# Starts a server in the folder $1, which is there and empty.
start_in() {
  local folder=$1 user binaries
  user=$(account)
  binaries=$(find_binaries)
  [[ $EUID -ne 0 ]] || chown "$user:" "$folder"
  (
    cd "$folder"
    as "$user" "$binaries/initdb" -D data -U tidemark -A trust --encoding=UTF8 --locale=C --no-sync >initdb.log 2>&1 ||
      { cat initdb.log >&2; die "initdb failed"; }
    as "$user" tee -a data/postgresql.conf >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$folder'
port = 5432
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
shared_buffers = 128MB
timezone = 'UTC'
CONF
    as "$user" "$binaries/pg_ctl" -D data -l server.log -w -t 60 start >/dev/null ||
      { cat server.log >&2; die "PostgreSQL did not start"; }
  )
}

# Stops the server in the folder $1, and removes the folder.
stop_in() {
  local folder=$1 owner
  if [[ -f $folder/data/postmaster.pid ]]; then
    owner=$(stat -c %U "$folder/data")
    (cd "$folder" && as "$owner" "$(find_binaries)/pg_ctl" -D data -m immediate -w stop >/dev/null) || true
  fi
  rm -rf "$folder"
}

url_of() { echo "postgresql://tidemark@/postgres?host=$1&port=5432"; }

# Below /tmp every account can get there, and a socket's path is short enough.
new_folder() { mktemp -d /tmp/tidemark-test.XXXXXX; }

case ${1:-} in
run)
  shift
  [[ $# -gt 0 ]] || die "run what?"
  if [[ -n ${TIDEMARK_TEST_DATABASE_URL:-} ]]; then exec "$@"; fi
  folder=$(new_folder)
  trap 'stop_in "$folder"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  start_in "$folder"
  TIDEMARK_TEST_DATABASE_URL=$(url_of "$folder") "$@"
  ;;
start)
  if [[ -f $state/folder ]]; then
    folder=$(<"$state/folder")
    [[ ! -S $folder/.s.PGSQL.5432 ]] || { echo "export TIDEMARK_TEST_DATABASE_URL='$(url_of "$folder")'"; exit; }
  fi
  folder=$(new_folder)
  trap '[[ -f $state/folder ]] || stop_in "$folder"' EXIT
  rm -rf "$state"
  start_in "$folder"
  mkdir -p "$state"
  echo "$folder" >"$state/folder"
  echo "export TIDEMARK_TEST_DATABASE_URL='$(url_of "$folder")'"
  ;;
stop)
  [[ -f $state/folder ]] || { echo "test-server: none is running"; exit; }
  stop_in "$(<"$state/folder")"
  rm -rf "$state"
  ;;
*)
  sed -n '2,/^set /{s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 64
  ;;
esac
