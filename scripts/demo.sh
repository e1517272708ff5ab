#!/usr/bin/env bash
# Reads a small log of orders into a private PostgreSQL and delivers every "shipped" to a receiver on this machine.
# The events arrive out of order, some of them twice; a second run of the demo changes nothing and delivers nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binaries=$(swift build -c release --show-bin-path)
events=fixtures/demo/arrival.ndjson
database=.demo/db
if [[ $EUID -eq 0 ]]; then
  # PostgreSQL refuses to run as root, and whom it runs as instead has to be able to get to the folder.
  server_user=$(id -u postgres >/dev/null 2>&1 && echo postgres || echo nobody)
  runuser -u "$server_user" -- test -x "$PWD" || database=/var/tmp/tidemark-demo/db
fi

work=$(mktemp -d)
receiver=
cleanup() {
  [[ -z $receiver ]] || kill "$receiver" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[[ -t 1 ]] || title() { printf '\n%s\n' "$*"; }

WEBHOOK_SECRET="whsec_$(head -c 24 /dev/urandom | base64)"
export WEBHOOK_SECRET
"$binaries/tidemark-receiver" 0 >"$work/received" &
receiver=$!
while [[ ! -s $work/received ]]; do
  kill -0 "$receiver" 2>/dev/null || { echo "demo: the receiver did not start" >&2; exit 1; }
  sleep 0.05
done
RECEIVER_URL="http://127.0.0.1:$(head -n 1 "$work/received")/"
export RECEIVER_URL

title "1. The events, as they arrive ($(wc -l <"$events") lines, the first of them)"
head -n 5 "$events"

title "2. tidemark replay"
"$binaries/tidemark" replay --config fixtures/demo/tidemark.yaml --ephemeral "$database" --keep-server "$events" \
  2>&1 | tee "$work/output"

psql_line=$(grep -o 'psql .*' "$work/output" | tail -n 1)
[[ -n $psql_line ]] || { echo "demo: tidemark printed no psql line" >&2; exit 1; }
query() { sh -c "$psql_line"' -X -c "$1"' sh "$1"; }

title "3. The orders, as they are now"
query 'select * from orders order by id'

title "4. What became of each event: the timeline, in the orders' own order"
query 'select id, sequence, op, state, event_time, late from orders_timeline order by id, order_key'
query 'select count(*) as events, count(*) filter (where late) as late from orders_timeline'

title "5. Every \"shipped\", as the receiver got it"
tail -n +2 "$work/received"

title "6. To look further"
echo "$psql_line"
echo "Run the demo again: the same events change no row and deliver nothing."
