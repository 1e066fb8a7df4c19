#!/usr/bin/env bash
# Unpacks the skopeo of a newer Debian suite below a folder, beside the installed one, with the libraries it was built
# for: bookworm's writes zstd:chunked without tar-split. Nothing on the machine changes.
# Usage: fetch-newer-skopeo.sh FOLDER [SUITE]; then FOLDER/bin/skopeo runs it.
set -euo pipefail
folder=${1:?usage: fetch-newer-skopeo.sh FOLDER [SUITE]}
suite=${2:-trixie}
[ -x "$folder/bin/skopeo" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial,root} "$folder"
mirror=$(awk '/^URIs:.*debian\/?$/ { print $2; exit } /^deb .*debian\/? / { print $2; exit }' \
  /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" \
  >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o "Dir::Cache::archives=$work/archives" -o "Dir::Cache::pkgcache=$work/pkg" -o "Dir::Cache::srcpkgcache=$work/src"
  -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$work" && "${apt[@]}" download skopeo libc6 libgpgme11t64 libsqlite3-0 libassuan9 libgpg-error0)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
mkdir -p "$folder/real" "$folder/lib" "$folder/new"
find "$work/root" -path '*x86_64-linux-gnu/*.so*' \( -type f -o -type l \) -exec cp -a {} "$folder/lib/" \;
cp "$work/root/usr/bin/skopeo" "$folder/real/skopeo"
# Started through its own loader: the C library of the machine is too old.
printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
  "$folder/lib/ld-linux-x86-64.so.2" "$folder/lib" "$folder/real/skopeo" >"$folder/new/skopeo"
chmod 755 "$folder/new/skopeo"
mv "$folder/new" "$folder/bin"
