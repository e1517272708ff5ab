#!/usr/bin/env bash
# Installs a built tidemark with its man pages, completions, unit, documentation and example configuration below
# $DESTDIR$PREFIX, or removes what it has installed there. Writes nothing elsewhere, so it needs no root where that
# folder is writable.
#
#     packaging/install.sh install .build/release/tidemark
#     packaging/install.sh uninstall
#
# Environment: PREFIX (/usr/local), DESTDIR (empty), UNITDIR, BASHDIR, ZSHDIR, FISHDIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

prefix=${PREFIX:-/usr/local}
dest=${DESTDIR:-}
# Swift's libraries are beside the binary, because its RUNPATH has $ORIGIN. bin/tidemark is a link to it.
libdir=$prefix/lib/tidemark
docdir=$prefix/share/doc/tidemark
mandir=$prefix/share/man/man1
unitdir=${UNITDIR:-$prefix/lib/systemd/system}
bashdir=${BASHDIR:-$prefix/share/bash-completion/completions}
zshdir=${ZSHDIR:-$prefix/share/zsh/site-functions}
fishdir=${FISHDIR:-$prefix/share/fish/vendor_completions.d}
# The installed paths, for uninstall.
manifest=$libdir/manifest

uninstall() {
  if [[ ! -f $dest$manifest ]]; then
    echo "uninstall: nothing is installed in $dest$prefix" >&2
    exit 1
  fi
  local path folder
  local -a paths
  mapfile -t paths <"$dest$manifest"
  for path in "${paths[@]}" "$manifest"; do
    rm -f "$dest$path"
  done
  # The folders that became empty: Tidemark's own, never the shared ones above them.
  for folder in "$libdir" "$docdir/docs/images" "$docdir/docs/operations" "$docdir/docs" "$docdir/examples" "$docdir"; do
    [[ ! -d $dest$folder ]] || rmdir --ignore-fail-on-non-empty "$dest$folder"
  done
  echo "removed ${#paths[@]} files from $dest$prefix"
}

installed=()
put() { # mode source path
  install -D -m "$1" "$2" "$dest$3"
  installed+=("$3")
}

# The folder that the loader takes libswiftCore.so from, or nothing where Swift is linked statically.
swift_libraries() { ldd "$1" | awk '$1 == "libswiftCore.so" && $3 ~ /^\// { sub("/[^/]*$", "", $3); print $3 }'; }

install_binaries() {
  local binary=$1 folder library
  put 755 "$binary" "$libdir/tidemark"
  folder=$(swift_libraries "$binary")
  if [[ -n $folder ]]; then
    while read -r library; do
      put 644 "$library" "$libdir/${library##*/}"
    done < <(ldd "$binary" | awk -v folder="$folder/" 'index($3, folder) == 1 { print $3 }')
  fi
  for library in "$dest$libdir"/tidemark "$dest$libdir"/*.so; do
    [[ ! -f $library ]] || strip --strip-unneeded --remove-section=.comment --remove-section=.note "$library"
  done
  # The toolchain's folder leaves the RUNPATH: on another machine it may belong to another account. The absolute path is
  # for ldd, which takes the folder of the link bin/tidemark for $ORIGIN.
  if command -v patchelf >/dev/null; then
    patchelf --set-rpath "\$ORIGIN:$libdir" "$dest$libdir/tidemark"
  else
    echo "install: patchelf is missing; the RUNPATH keeps the folder of the Swift toolchain" >&2
  fi
  mkdir -p "$dest$prefix/bin"
  ln -sfn ../lib/tidemark/tidemark "$dest$prefix/bin/tidemark"
  installed+=("$prefix/bin/tidemark")
}

install_all() {
  local binary=$1 page file
  # What a former version installed and this one does not.
  [[ ! -f $dest$manifest ]] || uninstall
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT

  install_binaries "$binary"

  packaging/man-pages.py "$binary" "$work/man"
  for page in "$work"/man/*.1; do
    gzip -9n "$page"
    put 644 "$page.gz" "$mandir/${page##*/}.gz"
  done

  # The shell reads it and never runs it: a hash-bang would mislead.
  "$binary" --generate-completion-script bash | sed '1{/^#!/d}' >"$work/bash"
  "$binary" --generate-completion-script zsh >"$work/zsh"
  "$binary" --generate-completion-script fish >"$work/fish"
  put 644 "$work/bash" "$bashdir/tidemark"
  put 644 "$work/zsh" "$zshdir/_tidemark"
  put 644 "$work/fish" "$fishdir/tidemark.fish"

  sed "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|" packaging/tidemark.service >"$work/unit"
  put 644 "$work/unit" "$unitdir/tidemark.service"

  for file in README.md docs/*.md docs/operations/*.md; do
    # Links to what is in the sources alone would lead nowhere: their words stay.
    sed -E 's#\[([^]]*)\]\((\.\./)?(fixtures|CONTRIBUTING)[^)]*\)#\1#g' "$file" >"$work/page"
    put 644 "$work/page" "$docdir/$file"
  done
  for file in docs/*.json docs/operations/*.yaml docs/operations/*.json; do
    put 644 "$file" "$docdir/$file"
  done
  for file in docs/images/*.svg; do
    put 644 "$file" "$docdir/$file"
  done
  for file in packaging/etc/*; do
    put 644 "$file" "$docdir/examples/${file##*/}"
  done

  # Where the build has fetched the packages that are linked statically. Their licence asks to hand these on.
  for file in "${binary%/*}"/../{,../}checkouts/*/NOTICE.txt; do
    [[ ! -f $file ]] || { echo "== $(basename "$(dirname "$file")")"; echo; cat "$file"; echo; } >>"$work/NOTICE"
  done
  [[ ! -f $work/NOTICE ]] || put 644 "$work/NOTICE" "$docdir/NOTICE"

  printf '%s\n' "${installed[@]}" >"$work/manifest"
  install -m 644 "$work/manifest" "$dest$manifest"
  echo "installed ${#installed[@]} files in $dest$prefix"
}

case ${1:-} in
  install)
    binary=$(realpath -- "${2:?the path of the built binary}")
    install_all "$binary"
    ;;
  uninstall) uninstall ;;
  *)
    echo "usage: packaging/install.sh install BINARY | uninstall" >&2
    exit 64
    ;;
esac
