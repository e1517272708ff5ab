#!/usr/bin/env bash
# Checks a build without the traits Kafka and RocketMQ: whatever in a configuration needs one of them is refused, and the
# error says why.
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
  - name: queue
    type: rocketmq
    name_servers: ["127.0.0.1:9876"]
    topics: [orders]
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
reason='is not in this build of Tidemark'
for refused in 'sources\[1\]\.type kafka' 'publications\[0\] kafka' 'notifiers\.topic\.type kafka' 'sources\[2\]\.type rocketmq'; do
  read -r path name <<< "$refused"
  if ! grep -q "$path.*$name $reason" <<< "$output"; then
    printf '%s is not refused with "%s %s"; exit code %s:\n%s\n' "$path" "$name" "$reason" "$status" "$output" >&2
    exit 1
  fi
done
if [[ $status -ne 78 ]]; then
  printf 'exit code %s instead of 78:\n%s\n' "$status" "$output" >&2
  exit 1
fi
