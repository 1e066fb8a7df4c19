#!/usr/bin/env bash
# What fuzzing has beyond scripts/setup.sh: clang with libFuzzer. Without it the native targets run without coverage.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
for package in clang-14 libclang-rt-14-dev libfuzzer-14-dev; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ] || continue
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends "$package" >&2 ||
    printf 'setup: %s could not be installed: native fuzzing sees no coverage\n' "$package" >&2
done
