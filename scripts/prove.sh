#!/usr/bin/env bash
# prove.sh NAME STAGES SUITE VARIABLE=VALUE…: runs a suite of tests STAGES times, each with seeds of its own, and skips the
# stages that have passed on this commit before. What a stage printed is beside its mark, in .prove.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=$1 stages=$2 suite=$3
shift 3
if [[ -n $(git status --porcelain --untracked-files=no) ]]; then
  echo "prove: commit first: a proof is of a commit" >&2
  exit 1
fi
marks=.prove/$(git rev-parse --short HEAD)
mkdir -p "$marks"
swift build -j "${JOBS:-$(nproc)}" --build-tests
for ((stage = 1; stage <= stages; stage++)); do
  mark=$marks/$name-$stage
  if [[ -e $mark ]]; then
    echo "$name, stage $stage of $stages: passed before ($mark)"
    continue
  fi
  echo "$name, stage $stage of $stages"
  if ! env "$@" scripts/test-server.sh run swift test --skip-build --filter "$suite" >"$mark.log" 2>&1; then
    tail -40 "$mark.log" >&2
    echo "prove: $name, stage $stage failed; all of it is in $mark.log" >&2
    exit 1
  fi
  # A suite that ran no test proves nothing.
  grep -aE "Test run with [1-9][0-9]* test" "$mark.log"
  mv "$mark.log" "$mark"
done
