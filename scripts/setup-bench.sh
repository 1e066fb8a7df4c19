#!/usr/bin/env bash
# What the benchmarks and their report need beyond scripts/setup.sh: libfuse 2, under fuse-native, the baseline of
# `lazuli bench fs`, and Chromium with a font, in which the tests look at the report's page.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
for package in libfuse2 chromium fonts-dejavu-core; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ] || continue
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends "$package" >&2 ||
    printf 'setup: %s could not be installed: what needs it is left out\n' "$package" >&2
done
