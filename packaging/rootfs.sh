#!/usr/bin/env bash
# Makes the root folder of a container image from the Debian package: the program, the libraries that the loader takes,
# certificate authorities, time zones and an account. It has no shell and no package manager.
#
#     packaging/rootfs.sh .build/tidemark_0.1.0_amd64.deb /rootfs
set -euo pipefail

package=${1:?the Debian package}
root=${2:?the folder to make}

mkdir -p "$root"/{etc/ssl/certs,proc,tmp,usr/bin,usr/lib,usr/share}
chmod 1777 "$root/tmp"
for folder in bin lib lib64; do
  mkdir -p "$root/usr/$folder"
  ln -sfn "usr/$folder" "$root/$folder"
done

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
dpkg-deb -x "$package" "$unpacked"
cp -a "$unpacked/usr/lib/tidemark" "$root/usr/lib/"
cp -a "$unpacked/usr/bin/tidemark" "$root/usr/bin/"
mkdir -p "$root/usr/share/doc/tidemark"
cp -a "$unpacked"/usr/share/doc/tidemark/{copyright,NOTICE} "$root/usr/share/doc/tidemark/" 2>/dev/null ||
  cp -a "$unpacked/usr/share/doc/tidemark/copyright" "$root/usr/share/doc/tidemark/"

# All that the loader finds outside the package, the loader itself included, each under the path it is found by.
ldd "$unpacked/usr/lib/tidemark/tidemark" | grep -o '/[^ ]*' | grep -v "^$unpacked/" | while read -r library; do
  install -D -m 755 "$(realpath "$library")" "$root$library"
done

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -a /usr/share/zoneinfo "$root/usr/share/"
cat >"$root/etc/passwd" <<'TEXT'
root:x:0:0:root:/nonexistent:/usr/sbin/nologin
tidemark:x:65532:65532:Tidemark:/nonexistent:/usr/sbin/nologin
TEXT
printf 'root:x:0:\ntidemark:x:65532:\n' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
