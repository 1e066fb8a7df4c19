#!/usr/bin/env bash
# What the benchmarks need beyond scripts/setup.sh: libfuse 2, under fuse-native, the baseline of bench/fs.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
if [ "$(dpkg-query -W -f '${db:Status-Status}' libfuse2 2>/dev/null || true)" != installed ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends libfuse2 >&2
fi
