#!/usr/bin/env bash
# Installs packages that this machine may do without: install-optional.sh WHAT-IS-LOST PACKAGE...
set -euo pipefail
lost=$1
shift
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ] || continue
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends "$package" >&2 ||
    printf 'setup: %s could not be installed: %s\n' "$package" "$lost" >&2
done
