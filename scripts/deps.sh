#!/usr/bin/env bash
# Installs what building, testing and the demo need besides Swift, where it is missing.
set -euo pipefail

has_postgres() {
  local folder
  for folder in /usr/lib/postgresql/*/bin; do
    [[ -x $folder/initdb && $(basename "$(dirname "$folder")") -ge 14 ]] && return
  done
  command -v initdb >/dev/null && command -v postgres >/dev/null
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  cat <<'TEXT'
This is not Debian or Ubuntu. Tidemark needs, besides Swift 6.2, with their headers:
    libpq, libcurl 7.85 or newer, libcrypto (OpenSSL 3), libdeflate 1.8 or newer, librdkafka 2.0.2 or newer, simdjson 3 or newer, zlib, zstd, pkg-config, a C++17 compiler's standard library
and to test and for the demo:
    PostgreSQL 14 or newer (server and psql), curl, Python 3 with venv
Red Hat and Fedora: dnf install libpq-devel libcurl-devel libdeflate-devel librdkafka-devel openssl-devel simdjson-devel zlib-devel libzstd-devel pkgconf gcc-c++ postgresql-server curl
macOS:              brew install libpq curl libdeflate librdkafka openssl@3 simdjson zstd pkgconf postgresql@17
TEXT
  exit 0
fi

missing=()
is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
for package in libcurl4-openssl-dev libdeflate-dev libpq-dev librdkafka-dev libsimdjson-dev libssl-dev libzstd-dev zlib1g-dev; do
  is_installed "$package" || missing+=("$package")
done
command -v pkg-config >/dev/null || missing+=(pkg-config)
command -v make >/dev/null || missing+=(make)
command -v curl >/dev/null || missing+=(curl)
# For a library that the tests verify signatures with, in an environment of its own.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
compgen -G '/usr/include/c++/*/string' >/dev/null || missing+=(g++)
has_postgres || missing+=(postgresql)

if [[ ${#missing[@]} -eq 0 ]]; then
  echo "deps: nothing is missing"
  exit 0
fi

sudo=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "deps: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi

# Debian's package makes a cluster and starts it. Nobody needs that one here.
quiet=/etc/postgresql-common/createcluster.d/tidemark-deps.conf
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
  "${sudo[@]}" mkdir -p "$(dirname "$quiet")"
  echo "create_main_cluster = false" | "${sudo[@]}" tee "$quiet" >/dev/null
  trap '"${sudo[@]}" rm -f "$quiet"' EXIT
fi

echo "deps: apt-get install ${missing[*]}"
"${sudo[@]}" apt-get update -q
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
