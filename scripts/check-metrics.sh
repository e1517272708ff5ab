#!/usr/bin/env bash
# Checks /metrics of a built tidemark, and with it the alerts and the dashboard of docs/operations.
#
#   scripts/check-metrics.sh PROGRAM
#
# It starts `PROGRAM run` with a private PostgreSQL in a temporary folder, sends events, and fetches the page once every
# metric has a series. Then: promtool accepts the page, the alerts and their tests; each metric and label that alerts
# and dashboard use is on the page; each metric and each alert is in metrics.md.
set -euo pipefail
[[ $# -eq 1 ]] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2; exit 64; }
fail() { echo "check-metrics: $*" >&2; exit 1; }
program=$(realpath -- "$1")
[[ -x $program && -f $program ]] || fail "$1 is no program"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for needed in promtool curl python3; do
  command -v "$needed" >/dev/null || fail "$needed is missing (Debian: promtool is in the package prometheus)"
done

alerts=docs/operations/alerts.yaml
tests=docs/operations/alerts-test.yaml
dashboard=docs/operations/dashboard.json
manual=docs/operations/metrics.md

# Below /tmp, and open to others: as root the server runs under another account, which has to reach its folder.
work=$(mktemp -d /tmp/tidemark-metrics.XXXXXX)
chmod 755 "$work"
service=
cleanup() {
  local postmaster=$work/db/data/postmaster.pid
  if [[ -n $service ]]; then
    kill -TERM "$service" 2>/dev/null || true
    wait "$service" 2>/dev/null || true
  fi
  # The service stops its PostgreSQL, unless it was killed.
  [[ ! -f $postmaster ]] || kill -INT "$(head -n 1 "$postmaster")" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- A service that has done everything once. Port 0 is a free port.

mkdir "$work/logs"
cat >"$work/tidemark.yaml" <<'YAML'
server: { listen: "127.0.0.1:0" }
sources:
  - { name: logs, type: files, paths: ["logs/*.ndjson"], follow: true }
  - { name: push, type: http }
projections:
  - name: orders
    from: shop.orders
    key: id
    sequence: version
    state: status
    columns: { id: bigint, status: text, version: bigint }
    milestones: { shipped: { notify: audit } }
notifiers:
  audit: { type: log }
YAML
event() { printf '{"table":"%s","op":"update","after":{"id":%s,"status":"%s","version":%s}}\n' "$@"; }
{
  event shop.orders 1 shipped 3
  event shop.orders 1 created 1 # late
  event shop.orders 1 shipped 3 # duplicate
  event shop.other 1 created 1 # filtered
  echo '{"table":' # a dead letter
} >"$work/logs/orders.ndjson"

: >"$work/log"
"$program" run --config "$work/tidemark.yaml" --ephemeral "$work/db" --log-format json \
  >"$work/output" 2>"$work/log" &
service=$!
# until_true SECONDS WHAT COMMAND…
until_true() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    kill -0 "$service" 2>/dev/null || { cat "$work/log" >&2; fail "the service has ended"; }
    ((SECONDS < limit)) || { cat "$work/log" >&2; fail "waited in vain until $what"; }
    sleep 0.2
  done
}
address() { url=$(grep -o '"address":"[^"]*"' "$work/log" | cut -d '"' -f 4) && [[ -n $url ]]; }
until_true 60 "it listens" address
until_true 60 "it is ready" curl -sf -o "$work/ready" "$url/readyz"

event shop.orders 2 shipped 2 >"$work/pushed"
curl -sSf -o "$work/answer" "$url/v1/sources/push/events" -H 'content-type: application/x-ndjson' \
  --data-binary "@$work/pushed" || fail "the HTTP source took nothing"

has_all() {
  curl -sSf -o "$work/page" "$url/metrics" &&
    grep -q '^tidemark_deliveries_total{notifier="audit",result="delivered"} 2$' "$work/page" &&
    grep -q '^tidemark_deliveries_open{' "$work/page" &&
    grep -q '^tidemark_dead_letters_total{source="logs",reason="malformed_json"} 1$' "$work/page"
}
until_true 60 "the page shows what was sent" has_all

# --- Checks

promtool check metrics <"$work/page" || fail "promtool refuses /metrics"
promtool check rules "$alerts" || fail "promtool refuses $alerts"
promtool test rules "$tests" || fail "a test of $tests fails"

# names FILE: the names of Tidemark's samples in it.
names() { grep -oE '\btidemark_[a-z_]+' "$1" | sort -u; }
grep -v '^#' "$work/page" >"$work/samples"
names "$work/samples" >"$work/served"
for file in "$alerts" "$tests" "$dashboard"; do
  names "$file" >"$work/used"
  unknown=$(comm -13 "$work/served" "$work/used")
  [[ -z $unknown ]] || fail "$file uses what /metrics does not serve:" $unknown
done

while read -r _ _ name type; do
  grep -qE "^\| \`$name\` \| $type \|" "$manual" || fail "$manual lacks $name, a $type"
done < <(grep '^# TYPE ' "$work/page")
while read -r name; do
  grep -qxF "### $name" "$manual" || fail "$manual has no section $name"
  grep -qF "$name" "$tests" || fail "$tests does not test $name"
done < <(sed -n 's/^ *- alert: //p' "$alerts")

# The dashboard's expressions as rules, so that promtool parses them; and the labels of all expressions.
python3 - "$work/samples" "$dashboard" "$alerts" "$work/dashboard-rules.yaml" <<'PYTHON'
import json, re, sys

samples, dashboard, alerts, rules = sys.argv[1:]
PAIR = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')

served = {}  # name: {label: values}
for line in open(samples, encoding="utf-8"):
    name, labels = re.match(r"(\w+)(?:{(.*)})? \S+$", line).groups()
    known = served.setdefault(name, {})
    for label, _, value in PAIR.findall(labels or ""):
        known.setdefault(label, set()).add(value)
# Attempts of these results are not made here.
for name, labels in served.items():
    if name.startswith("tidemark_deliver"):
        labels.setdefault("result", set()).update(["retry", "dead", "gone"])
TARGET = {"job", "instance"}

def targets(panels):
    for panel in panels:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", []))
        yield from targets(panel.get("panels", []))

with open(dashboard, encoding="utf-8") as file:
    board = json.load(file)
drawn = [(f"{dashboard}: {title}", text) for title, text in targets(board["panels"])]
drawn += [(f"{dashboard}: ${item['name']}", item["definition"]) for item in board["templating"]["list"]
          if item["type"] == "query"]
with open(alerts, encoding="utf-8") as file:
    parts = re.split(r"(?m)^ *- alert: ", file.read())[1:]
ruled = [(f"{alerts}: {part.split()[0]}", re.search(r"(?ms)^ *expr: (.*?)^ *(?:for|labels):", part)[1]) for part in parts]

problems = []
for where, text in drawn + ruled:
    found = re.findall(r"(\btidemark_\w+|\bup\b)({[^}]*})?", text)
    if not found:
        problems.append(f"{where}: no metric in {text}")
    labels = set(TARGET) | {label for name, _ in found for label in served.get(name, {})}
    for name, selector in found:
        own = served.get(name, {})
        for label, operator, value in PAIR.findall(selector):
            if label in TARGET:
                continue
            if label not in own:
                problems.append(f"{where}: {name} has no label {label}")
            values = value.split("|") if "~" in operator else [value]
            problems += [f'{where}: {name} has no {label}="{value}"' for value in values if value not in own.get(label, [])]
    for group in re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", text):
        for label in re.split(r",\s*", group):
            if label not in labels:
                problems.append(f"{where}: no metric of it has a label {label}")

with open(rules, "w", encoding="utf-8") as file:
    made = []
    for number, (where, text) in enumerate(drawn):
        if text.startswith("label_values("):
            continue
        for variable, value in {"$__rate_interval": "5m", "$job": "tidemark", "$instance": ".*"}.items():
            text = text.replace(variable, value)
        made.append({"record": f"dashboard:{number}", "expr": text})
    json.dump({"groups": [{"name": "dashboard", "rules": made}]}, file)

sys.exit("\n".join(f"check-metrics: {problem}" for problem in problems) or 0)
PYTHON
promtool check rules "$work/dashboard-rules.yaml" >"$work/checked" 2>&1 ||
  { cat "$work/checked" >&2; fail "promtool refuses an expression of $dashboard"; }

echo "check-metrics: done"
