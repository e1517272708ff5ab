#!/usr/bin/env bash
# Makes a Debian package of a built tidemark: packaging/deb.sh .build/release/tidemark .build
#
# Environment: DEB_VERSION (the version that the program tells), DEB_MAINTAINER, DEB_COMPRESSION (xz),
# SOURCE_DATE_EPOCH (the time of the last commit). Needs dpkg-dev and patchelf, and no root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=${1:?the path of the built binary}
folder=${2:?the folder of the package}

for program in dpkg-shlibdeps dpkg-deb patchelf strip; do
  command -v "$program" >/dev/null || {
    echo "deb: $program is missing: apt-get install dpkg-dev patchelf binutils" >&2
    exit 1
  }
done

version=${DEB_VERSION:-$("$binary" --version)}
maintainer=${DEB_MAINTAINER:-Tidemark maintainers <maintainers@tidemark.invalid>}
architecture=$(dpkg --print-architecture)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
package=tidemark_${version}_${architecture}.deb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# dpkg-shlibdeps looks for libraries of the package itself in debian/.
root=$work/debian/tidemark
# mktemp gives 0700, which the package's root folder would keep.
mkdir -p "$root/DEBIAN"
chmod 755 "$root" "$root/DEBIAN"
umask 022

DESTDIR=$root PREFIX=/usr UNITDIR=/lib/systemd/system ZSHDIR=/usr/share/zsh/vendor-completions \
  packaging/install.sh install "$binary" >/dev/null
rm "$root/usr/lib/tidemark/manifest"
rm -r "$root/usr/share/doc/tidemark/examples"

install -d -m 755 "$root/etc/tidemark"
install -m 640 packaging/etc/tidemark.yaml packaging/etc/environment "$root/etc/tidemark/"

runpath=$(readelf -d "$root/usr/lib/tidemark/tidemark" | sed -n 's/.*(RUNPATH).*\[\(.*\)\]/\1/p')
if [[ $runpath != '$ORIGIN:/usr/lib/tidemark' ]]; then
  echo "deb: the RUNPATH is \"$runpath\", not \$ORIGIN:/usr/lib/tidemark" >&2
  exit 1
fi

install -m 644 packaging/copyright "$root/usr/share/doc/tidemark/copyright"
install -D -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/tidemark"
gzip -9n >"$root/usr/share/doc/tidemark/changelog.gz" <<TEXT
tidemark ($version) unstable; urgency=medium

  * Version $version.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT

printf 'Source: tidemark\n\nPackage: tidemark\nArchitecture: any\n' >"$work/debian/control"
depends=$(
  cd "$work"
  # It warns of each library without a version in its name. Its failures stay visible.
  dpkg-shlibdeps -O -Sdebian/tidemark -ldebian/tidemark/usr/lib/tidemark --warnings=1 \
    debian/tidemark/usr/lib/tidemark/* 2> >(grep -v "can't extract name and version" >&2) |
    sed -n 's/^shlibs:Depends=//p'
)
[[ -n $depends ]] || { echo "deb: dpkg-shlibdeps found no dependencies" >&2; exit 1; }

# dpkg compares it with the free space: all files, in KiB.
size=$(du -k --apparent-size -s --exclude=DEBIAN "$root" | cut -f 1)

cat >"$root/DEBIAN/control" <<TEXT
Package: tidemark
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: $depends, adduser, init-system-helpers (>= 1.54)
Recommends: ca-certificates, tzdata
Suggests: postgresql
Section: database
Priority: optional
Description: current state of rows from disordered change events
 Tidemark reads change events of Debezium, Maxwell and Canal, keeps the newest
 version of every row in PostgreSQL, and tells webhooks of each milestone
 once, whatever order the events arrive in and however often they are
 repeated.
 .
 The service is installed with a configuration to adapt, and starts when it is
 enabled. Swift's libraries are inside the package.
TEXT
printf '/etc/tidemark/%s\n' environment tidemark.yaml >"$root/DEBIAN/conffiles"
install -m 755 packaging/debian/{postinst,prerm,postrm} "$root/DEBIAN/"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) \
  >"$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"

mkdir -p "$folder"
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --build "$root" "$folder/$package" >/dev/null
echo "$folder/$package: $(du -h --apparent-size "$folder/$package" | cut -f 1)"
