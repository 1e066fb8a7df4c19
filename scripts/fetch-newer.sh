#!/usr/bin/env bash
# Unpacks programs of a newer Debian suite below a folder, beside the installed ones, with the libraries they were built
# for. Nothing on the machine changes. Usage: fetch-newer.sh FOLDER SUITE "PACKAGE..." "PROGRAM..."; then
# FOLDER/bin/PROGRAM runs it.
set -euo pipefail
usage='usage: fetch-newer.sh FOLDER SUITE "PACKAGE..." "PROGRAM..."'
folder=${1:?$usage} suite=${2:?$usage}
read -ra packages <<<"${3:?$usage}"
read -ra programs <<<"${4:?$usage}"
[ -x "$folder/bin/${programs[0]}" ] && exit 0
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
(cd "$work" && "${apt[@]}" download libc6 "${packages[@]}")
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
rm -rf "$folder/new"
mkdir -p "$folder/real" "$folder/lib" "$folder/new"
find "$work/root" -path '*x86_64-linux-gnu/*.so*' \( -type f -o -type l \) -exec cp -a {} "$folder/lib/" \;
for program in "${programs[@]}"; do
  cp "$work/root/usr/bin/$program" "$folder/real/$program"
  # Started through its own loader: the C library of the machine is too old. A program that starts itself again by
  # /proc/self/exe would start the loader.
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
    "$folder/lib/ld-linux-x86-64.so.2" "$folder/lib" "$folder/real/$program" >"$folder/new/$program"
  chmod 755 "$folder/new/$program"
done
mv "$folder/new" "$folder/bin"
