#!/usr/bin/env bash
# Figures of the notifier on a private PostgreSQL with default durability: from commit to request, deliveries a second,
# and what a dead receiver costs the projector.
#
#   Benchmarks/notifier.sh [EVENTS]      default: 400000, for the projector
#
# DELIVERED=10000000 puts so many delivered rows into the outbox first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

events=${1:-400000}
binaries=$(swift build -c release --show-bin-path)
tidemark=$binaries/tidemark
[[ -x $tidemark && -x $binaries/notifier-benchmark ]] || { echo "notifier: make bench-notifier" >&2; exit 1; }
work=$(mktemp -d)
chmod 755 "$work"
stop=
trap '[[ -z $stop ]] || sh -c "$stop" >/dev/null || true; rm -rf "$work"' EXIT

# Each projection has a notifier of its own kind, and all have the same milestone.
configure() {
  cat >"$work/$1.yaml" <<YAML
lanes: 2
projections:
  - name: orders
    from: [shop.orders]
    key: id
    sequence: version
    state: status
    columns: { id: bigint, customer: text, status: text, city: text, updated_at: timestamptz, version: bigint }
    milestones: { shipped: { state: shipped$2 } }
notifiers:
  warehouse: { type: webhook, url: "http://127.0.0.1:9/", secret: whsec_c2VjcmV0, allow_private: true }
YAML
}
configure without ''
configure with ', notify: warehouse'

# Every order steps once a round, eight rounds.
awk -v events="$events" 'BEGIN {
  split("created paid packed shipped in_transit delivered confirmed completed", state, " ")
  orders = events / 8
  for (version = 1; version <= 8; version++)
    for (order = 1; order <= orders; order++)
      printf "{\"table\":\"shop.orders\",\"op\":\"update\",\"after\":{\"id\":%d,\"customer\":\"customer-%08d\"," \
        "\"status\":\"%s\",\"city\":\"city %d\",\"updated_at\":\"2026-03-%02dT09:%02d:15Z\",\"version\":%d}}\n", \
        order, order * 7919 % 100000000, state[version], order % 977, version, order % 60, version
}' >"$work/log.ndjson"

# replay NAME CONFIGURATION OPTIONS…: events a second, to the last commit
replay() {
  local name=$1 configuration=$2
  shift 2
  "$tidemark" replay --json --config "$work/$configuration.yaml" --ephemeral "$work/db-$name" --deliver-wait 0 "$@" \
    "$work/log.ndjson" 2>/dev/null | sed 's/.*"events_per_second":\([0-9]*\).*/\1/'
  rm -rf "$work/db-$name"
}

echo "projector, events/s (three runs each, in turn):"
for run in 1 2 3; do
  none=$(replay none without)
  outbox=$(replay outbox with --no-deliver)
  dead=$(replay dead with)
  printf '  no notifier %s · outbox alone %s · dead receiver %s\n' "$none" "$outbox" "$dead"
done

printf '' >"$work/empty.ndjson"
"$tidemark" replay --config "$work/without.yaml" --ephemeral "$work/db" --keep-server "$work/empty.ndjson" \
  >"$work/output" 2>&1
line=$(grep -o 'psql .*' "$work/output" | tail -n 1)
DATABASE_URL=$(sh -c "set -- ${line#psql }; printf '%s' \"\$*\"")
export DATABASE_URL
data=$(psql -XAtc 'show data_directory' "$DATABASE_URL")
pid=$(head -n 1 "$data/postmaster.pid")
stop="kill -INT $pid"
"$binaries/notifier-benchmark"
