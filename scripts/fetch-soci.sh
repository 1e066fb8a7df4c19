#!/usr/bin/env bash
# soci and soci-snapshotter-grpc of a newer Debian suite. Usage: fetch-soci.sh FOLDER [SUITE]
set -euo pipefail
exec bash "$(dirname "$0")/fetch-newer.sh" "${1:?usage: fetch-soci.sh FOLDER [SUITE]}" "${2:-forky}" \
  "soci-snapshotter zlib1g" "soci soci-snapshotter-grpc"
