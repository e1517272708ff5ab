#!/usr/bin/env bash
# Builds an earlier revision of tidemark in a git worktree, for a comparison, and prints the folder of its programs.
#
#   scripts/build-before.sh REVISION
#
# Worktree and build folder stay in .build-before, so that the next revision builds what differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# -eq 1 ]] || { sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0" >&2; exit 64; }
revision=$(git rev-parse --verify --quiet "$1^{commit}") ||
  { echo "build-before: there is no revision \"$1\"" >&2; exit 66; }
tree=.build-before/tree
mkdir -p .build-before
if [[ -e $tree/.git ]]; then
  git -C "$tree" checkout --quiet --detach "$revision"
else
  git worktree prune
  git worktree add --quiet --detach "$tree" "$revision"
fi
swift build -c release -j "${JOBS:-$(nproc)}" --package-path "$tree" --scratch-path .build-before/build \
  --product tidemark >&2
echo "$PWD/.build-before/build/release"
