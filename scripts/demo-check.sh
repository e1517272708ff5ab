#!/usr/bin/env bash
# Checks scripts/demo.sh without a terminal: twice in a row, in ASCII, and ended by a signal at several moments. Each
# time it ends with the right code, no line is wider than 80 columns, and no process is left.
#
# TIDEMARK_DEMO_BINARIES names the folder of the two programs (.build/release).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binaries=$(cd "${TIDEMARK_DEMO_BINARIES:-.build/release}" && pwd)
# By this path the processes of the check are told from others.
mkdir -p .build
links=.build/demo.$$
output=$(mktemp)
trap 'rm -rf "$links" "$output"' EXIT
mkdir "$links"
ln -s "$binaries/tidemark" "$binaries/tidemark-receiver" "$links/"
export TIDEMARK_DEMO_BINARIES=$links

failures=0
fail() {
  echo "demo-check: $1: $2" >&2
  failures=$((failures + 1))
}

check() { # check NAME CODE
  local name=$1 expected=$2 folder wide left
  [[ $code -eq $expected ]] || fail "$name" "exit code $code instead of $expected"
  wide=$(LC_ALL=C.UTF-8 awk 'BEGIN { FS = "" } { gsub(/[\200-\277]/, "") } length($0) > 80' "$output" | head -n 1)
  [[ -z $wide ]] || fail "$name" "wider than 80 columns: $wide"
  if LC_ALL=C grep -q $'\033' "$output"; then fail "$name" "colours without a terminal"; fi
  left=$(ps -A -o pid= -o args= | grep -F "$links/tidemark" | grep -v grep || true)
  [[ -z $left ]] || fail "$name" "is left: $left"
  for folder in .demo/db /var/tmp/tidemark-demo-"$(printf '%s' "$PWD" | cksum | cut -d ' ' -f 1)"; do
    [[ ! -e $folder/data/postmaster.pid ]] || fail "$name" "PostgreSQL is left in $folder"
  done
  [[ ! -e .demo/pids ]] || fail "$name" ".demo/pids is left"
  ((failures == 0)) || cat "$output" >&2
}

for name in first second ascii; do
  code=0
  case $name in
  ascii) LC_ALL=C scripts/demo.sh </dev/null >"$output" 2>&1 || code=$? ;;
  *) LC_ALL=C.UTF-8 scripts/demo.sh </dev/null >"$output" 2>&1 || code=$? ;;
  esac
  check "$name" 0
  for expected in '^Order [0-9]* *: [0-9]* messages came' ' late ' 'milestone shipped, reached once' \
    'came once, signature verified' '= orders \[' 'no difference$'; do
    grep -q "$expected" "$output" || fail "$name" "no line with $expected"
  done
  if [[ $name == ascii ]] && LC_ALL=C grep -q '[^ -~]' "$output"; then fail ascii "other characters than ASCII's"; fi
  echo "demo-check: $name: $(wc -l <"$output") lines"
done

# By a process group of its own, in which SIGINT is not ignored.
for signal in INT TERM; do
  for moment in 0.05 0.3 0.7 1.2 1.8 2.5 3.5; do
    set -m
    scripts/demo.sh </dev/null >"$output" 2>&1 &
    demo=$!
    set +m
    sleep "$moment"
    kill -"$signal" "$demo" 2>/dev/null || true
    code=0
    wait "$demo" || code=$?
    # It may have ended before.
    [[ $code -eq 0 ]] || check "SIG$signal after $moment s" "$([[ $signal == INT ]] && echo 130 || echo 143)"
    echo "demo-check: SIG$signal after $moment s: exit code $code"
  done
done

((failures == 0)) || exit 1
echo "demo-check: passed"
