#!/usr/bin/env bash
# Unpacks soci and soci-snapshotter-grpc of a newer Debian suite below a folder, with the C library they were built for.
# Nothing on the machine changes. Usage: fetch-soci.sh FOLDER [SUITE]
set -euo pipefail
folder=${1:?usage: fetch-soci.sh FOLDER [SUITE]}
suite=${2:-forky}
[ -x "$folder/bin/soci" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial,root} "$folder"
folder=$(cd "$folder" && pwd)
mirror=$(awk '/^URIs:.*debian\/?$/ { print $2; exit } /^deb .*debian\/? / { print $2; exit }' \
  /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" \
  >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o "Dir::Cache::archives=$work/archives" -o "Dir::Cache::pkgcache=$work/pkg" -o "Dir::Cache::srcpkgcache=$work/src"
  -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$work" && "${apt[@]}" download soci-snapshotter libc6 zlib1g)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
rm -rf "$folder/new"
mkdir -p "$folder/real" "$folder/lib" "$folder/new"
find "$work/root" -path '*x86_64-linux-gnu/*.so*' \( -type f -o -type l \) -exec cp -a {} "$folder/lib/" \;
for program in soci soci-snapshotter-grpc; do
  cp "$work/root/usr/bin/$program" "$folder/real/$program"
  # Started through its own loader: the C library of the machine is too old.
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
    "$folder/lib/ld-linux-x86-64.so.2" "$folder/lib" "$folder/real/$program" >"$folder/new/$program"
  chmod 755 "$folder/new/$program"
done
mv "$folder/new" "$folder/bin"
