#!/usr/bin/env bash
# skopeo of a newer Debian suite, beside the installed one: bookworm's writes zstd:chunked without tar-split.
# Usage: fetch-newer-skopeo.sh FOLDER [SUITE]
set -euo pipefail
exec bash "$(dirname "$0")/fetch-newer.sh" "${1:?usage: fetch-newer-skopeo.sh FOLDER [SUITE]}" "${2:-trixie}" \
  "skopeo libgpgme11t64 libsqlite3-0 libassuan9 libgpg-error0" "skopeo"
