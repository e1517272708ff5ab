#!/usr/bin/env bash
# Peak memory (VmHWM) of replays with a timeline on a private PostgreSQL. Linux: it reads /proc.
#
#   Benchmarks/memory.sh [CASE…]      default: 1000000 5000000 broken large
#
#   NUMBER    so many events of 360 bytes: under 200 MB, and at most a tenth more than the first NUMBER
#   broken    20,000 lines of 1 MiB that are no JSON, each a dead letter: under 200 MB
#   large     60 messages of 15 MB: under 250 MB
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tidemark=$(swift build -c release --show-bin-path)/tidemark
[[ -x $tidemark ]] || { echo "memory: make release first" >&2; exit 1; }
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

cat >"$work/tidemark.yaml" <<'YAML'
limits: { message_bytes: 64MiB, max_dead_letters: 100000 }
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

# Lines of so many bytes. A line that is broken ends within its text.
#   lines COUNT BYTES END
lines() {
  awk -v count="$1" -v bytes="$2" -v end="$3" 'BEGIN {
    filler = "x"
    while (length(filler) < bytes) filler = filler filler
    filler = substr(filler, 1, bytes)
    for (number = 1; number <= count; number++)
      printf "{\"database\":\"shop\",\"table\":\"orders\",\"type\":\"insert\",\"ts\":1772357415," \
        "\"data\":{\"id\":%d,\"version\":1,\"note\":\"%s%s\n", number, filler, end
  }'
}

# Replays standard input, prints its summary, and leaves the peak in kB in `peak`.
#   measure NAME LIMIT_MB
measure() {
  local name=$1 limit=$2
  "$tidemark" replay --json --config "$work/tidemark.yaml" --ephemeral "$work/db" - <&0 \
    >"$work/summary" 2>"$work/errors" &
  local replay=$! seen
  peak=0
  while kill -0 "$replay" 2>/dev/null; do
    seen=$(awk '/VmHWM/ { print $2 }' "/proc/$replay/status" 2>/dev/null || true)
    [[ -z $seen ]] || peak=$seen
    sleep 0.2
  done
  wait "$replay" || { cat "$work/errors" >&2; exit 1; }
  printf '%s: peak %s MB (under %s)\n%s\n' "$name" $((peak * 1024 / 1000000)) "$limit" "$(cat "$work/summary")"
  rm -rf "$work/db"
  ((peak * 1024 < limit * 1000000)) || { echo "memory: $name takes $limit MB or more" >&2; exit 1; }
}

[[ $# -gt 0 ]] || set -- 1000000 5000000 broken large
first=
for case in "$@"; do
  case $case in
    broken) measure "20,000 broken lines of 1 MiB" 200 < <(lines 20000 1048576 "") ;;
    large) measure "60 messages of 15 MB" 250 < <(lines 60 15000000 '"}}') ;;
    *)
      measure "$case events" 200 < <(generate "$case")
      [[ -n $first ]] || first=$peak
      ((peak * 10 <= first * 11)) || { echo "memory: over a tenth more than $first kB" >&2; exit 1; }
      ;;
  esac
done
