#!/usr/bin/env bash
# Peak memory (VmHWM) of a replay of 1,000,000 events and of 5,000,000, with a timeline, on a private PostgreSQL.
#
#   Benchmarks/memory.sh [EVENTS…]      default: 1000000 5000000
#
# Fails when one takes 200 MB or more, or the last over a tenth more than the first. Linux: it reads /proc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tidemark=$(swift build -c release --show-bin-path)/tidemark
[[ -x $tidemark ]] || { echo "memory: make release first" >&2; exit 1; }
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

cat >"$work/tidemark.yaml" <<'YAML'
projections:
  - name: orders
    from: [shop.orders]
    key: id
    sequence: version
    columns:
      id: bigint
      customer: text
      status: text
      amount: numeric(12,2)
      currency: text
      city: text
      note: text
      updated_at: timestamptz
      version: bigint
YAML

# Every order steps once a round, eight rounds: about 360 bytes a line.
generate() {
  awk -v events="$1" 'BEGIN {
    split("created paid packed shipped in_transit delivered confirmed completed", state, " ")
    orders = events / 8
    for (version = 1; version <= 8; version++)
      for (order = 1; order <= orders; order++)
        printf "{\"database\":\"shop\",\"table\":\"orders\",\"type\":\"%s\",\"ts\":%d,\"xid\":%d,\"commit\":true," \
          "\"position\":\"mysql-bin.%06d:%d\",\"data\":{\"id\":%d,\"customer\":\"customer-%08d\",\"status\":\"%s\"," \
          "\"amount\":%d.%02d,\"currency\":\"EUR\",\"city\":\"city number %d\",\"note\":\"a note of some length about " \
          "order %d\",\"updated_at\":\"2026-03-%02d 09:%02d:15\",\"version\":%d}}\n", \
          version == 1 ? "insert" : "update", 1772357415 + version * 86400 + order % 86400, 5000 + order * 8 + version, \
          version, order * 400 + 4, order, order * 7919 % 100000000, state[version], order % 1000, version, \
          order % 977, order, version, order % 60, version
  }'
}

first=
for events in "${@:-1000000 5000000}"; do
  for count in $events; do
    generate "$count" >"$work/log.ndjson"
    "$tidemark" replay --json --config "$work/tidemark.yaml" --ephemeral "$work/db-$count" "$work/log.ndjson" \
      >"$work/summary" 2>"$work/errors" &
    replay=$!
    peak=0
    while kill -0 "$replay" 2>/dev/null; do
      seen=$(awk '/VmHWM/ { print $2 }' "/proc/$replay/status" 2>/dev/null || true)
      [[ -z $seen ]] || peak=$seen
      sleep 0.2
    done
    wait "$replay" || { cat "$work/errors" >&2; exit 1; }
    printf '%s events: peak %s kB\n%s\n' "$count" "$peak" "$(cat "$work/summary")"
    rm -rf "$work/db-$count" "$work/log.ndjson"
    ((peak < 200 * 1000 * 1000 / 1024)) || { echo "memory: 200 MB or more" >&2; exit 1; }
    [[ -n $first ]] || first=$peak
    ((peak * 10 <= first * 11)) || { echo "memory: over a tenth more than $first kB" >&2; exit 1; }
  done
done
