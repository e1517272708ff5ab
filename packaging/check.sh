#!/usr/bin/env bash
# Checks what is made from a built tidemark: man pages, the unit, and the Debian package. A check whose program is not
# installed is skipped and named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=${1:?the path of the built binary}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has() { command -v "$1" >/dev/null || { echo "skipped: $1 is missing"; return 1; }; }
fail() { echo "packages-check: $*" >&2; exit 1; }

packaging/man-pages.py "$binary" "$work/man"
if has mandoc; then mandoc -Tlint -Wwarning "$work"/man/*.1; fi
if has groff; then
  for page in "$work"/man/*.1; do
    complaints=$(groff -ww -man -Tutf8 -P-c -rLL=80n "$page" 2>&1 >"$work/page")
    [[ -z $complaints ]] || fail "$page: $complaints"
    # An escape sequence or a byte of UTF-8 is no column.
    wide=$(sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g' "$work/page" | LC_ALL=C.UTF-8 awk 'length($0) > 80')
    [[ -z $wide ]] || fail "$page is wider than 80 columns: $wide"
  done
fi

if has systemd-analyze; then
  systemd-analyze security --offline=true --threshold=25 packaging/tidemark.service >"$work/security" || {
    cat "$work/security"
    fail "the unit's exposure level is above 2.5"
  }
  tail -n 1 "$work/security"
fi

if has dpkg-shlibdeps && has patchelf; then
  # Fast to compress: this package is thrown away.
  DEB_COMPRESSION=gzip packaging/deb.sh "$binary" "$work"
  package=$(echo "$work"/tidemark_*.deb)
  # All of Swift's libraries have to come from the package, because the target has no toolchain.
  dpkg-deb -x "$package" "$work/root"
  loaded=$(env -u LD_LIBRARY_PATH LD_TRACE_LOADED_OBJECTS=1 "$work/root/usr/lib/tidemark/tidemark")
  if grep 'libswift\|libFoundation\|libdispatch' <<<"$loaded" | grep -vF "$work/root/usr/lib/tidemark/"; then
    fail "these libraries are not taken from the package"
  fi
  [[ $("$work/root/usr/bin/tidemark" --version) == "$("$binary" --version)" ]] || fail "the packaged program does not run"
  DATABASE_URL='' "$work/root/usr/bin/tidemark" check --config "$work/root/etc/tidemark/tidemark.yaml"
  # Every link of a page that names no site leads to a file beside it.
  doc=$work/root/usr/share/doc/tidemark
  find "$doc" -name '*.md*' -print0 | while IFS= read -r -d '' page; do
    zcat -f "$page" | { grep -oE '\]\([^)#:]+[)#]' || true; } | sed 's/^](//; s/[)#]$//' | while IFS= read -r link; do
      [[ -e ${page%/*}/$link || -e ${page%/*}/$link.gz ]] || { echo "${page#"$doc"/}: $link"; }
    done
  done >"$work/links"
  [[ ! -s $work/links ]] || fail "links of the package lead nowhere: $(sort -u "$work/links")"
  if has lintian; then lintian --fail-on error --allow-root "$package"; fi
fi
echo "packages-check: done"
