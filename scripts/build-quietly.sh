#!/usr/bin/env bash
# Builds products for release and shows one line of progress. SwiftPM prints a line for each of some 900 steps.
#
#   scripts/build-quietly.sh [-j JOBS] PRODUCT…
#
# On a terminal the line is rewritten in place, elsewhere it is printed every half minute. The full output is in
# .build/quiet-build.log; when a build fails, its errors and its last lines are shown. Ends as `swift build` did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

jobs=()
if [[ ${1:-} == -j ]]; then jobs=(-j "${2:?}"); shift 2; fi
[[ $# -gt 0 ]] || { sed -n '2,/^set /{s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; exit 64; }

log=.build/quiet-build.log
interval=${TIDEMARK_BUILD_INTERVAL:-30}
mkdir -p .build
in_place=
[[ ! -t 1 || ${TERM:-dumb} == dumb ]] || in_place=1

for product; do
  [[ -x .build/release/$product ]] && continue
  echo "A first build takes ten minutes and more: the dependencies are compiled too."
  break
done

build=
stop() {
  local code=$1
  trap '' INT TERM HUP
  [[ -z $in_place ]] || echo
  echo "build: stopped; the next build resumes. Its output: $log" >&2
  if [[ -n $build ]] && kill -INT -- "-$build" 2>/dev/null; then
    for _ in {1..100}; do
      kill -0 -- "-$build" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$build" 2>/dev/null || true
  fi
  exit "$code"
}
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP

duration() {
  if (($1 < 60)); then echo "$1 s"; else echo "$(($1 / 60)) min"; fi
}

# What the last line of the output says: the steps, or what comes before them.
progress() {
  local last
  last=$(tail -c 4096 "$log" | grep -aE '^\[[0-9]+/[0-9]+\]|^(Fetch|Updat|Creating|Computing)' | tail -n 1 || true)
  if [[ $last =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
    echo "${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} steps"
  elif [[ -n $last ]]; then
    echo "fetching dependencies"
  else
    echo "planning"
  fi
}

for product; do
  : >"$log"
  # In a process group of its own, so that Ctrl-C comes to this script alone, which ends the build once.
  set -m
  swift build -c release ${jobs[@]+"${jobs[@]}"} --product "$product" >"$log" 2>&1 </dev/null &
  build=$!
  set +m
  SECONDS=0
  shown=0
  while kill -0 "$build" 2>/dev/null; do
    if [[ -n $in_place ]]; then
      printf '\r\033[Kbuilding %s: %s, %s' "$product" "$(progress)" "$(duration $SECONDS)"
    elif ((SECONDS - shown >= interval)); then
      shown=$SECONDS
      echo "building $product: $(progress), $(duration $SECONDS)"
    fi
    sleep 0.5
  done
  code=0
  wait "$build" || code=$?
  build=
  [[ -z $in_place ]] || printf '\r\033[K'
  if ((code != 0)); then
    {
      echo "build: $product failed after $(duration $SECONDS). The errors, and the last lines of $log:"
      grep -aE '(^|: )error: ' "$log" | sort -u | head -n 10 || true
      echo "…"
      tail -n 20 "$log"
    } >&2
    exit "$code"
  fi
  echo "built $product in $(duration $SECONDS)"
done
