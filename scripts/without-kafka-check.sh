#!/usr/bin/env bash
# Checks a build without the trait Kafka: whatever in a configuration needs Kafka is refused, and the error says why.
# Usage: without-kafka-check.sh BINARY
set -euo pipefail

binary=${1:?name the program, such as .build/debug/tidemark}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/tidemark.yaml" <<'YAML'
sources:
  - name: files
    type: files
    paths: [events.ndjson]
  - name: events
    type: kafka
    brokers: ["127.0.0.1:9092"]
    topics: [shop.orders]
    group: tidemark
projections:
  - name: orders
    from: shop.orders
    key: id
    sequence: version
    columns: { id: bigint, version: bigint, status: text }
publications:
  - source: files
    topic: shop.copies
    brokers: ["127.0.0.1:9092"]
notifiers:
  topic:
    type: kafka
    topic: shop.milestones
    brokers: ["127.0.0.1:9092"]
YAML

status=0
output=$("$binary" check --config "$folder/tidemark.yaml" 2>&1) || status=$?
reason='kafka is not in this build of Tidemark'
for path in 'sources\[1\]\.type' 'publications\[0\]' 'notifiers\.topic\.type'; do
  if ! grep -q "$path.*$reason" <<< "$output"; then
    printf '%s is not refused with "%s"; exit code %s:\n%s\n' "$path" "$reason" "$status" "$output" >&2
    exit 1
  fi
done
if [[ $status -ne 78 ]]; then
  printf 'exit code %s instead of 78:\n%s\n' "$status" "$output" >&2
  exit 1
fi
