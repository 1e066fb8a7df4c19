#!/usr/bin/env bash
# containerd and ctr of a newer Debian suite, beside the installed ones; the installed shim, which starts itself again,
# serves both. Usage: fetch-newer-containerd.sh FOLDER [SUITE]
set -euo pipefail
exec bash "$(dirname "$0")/fetch-newer.sh" "${1:?usage: fetch-newer-containerd.sh FOLDER [SUITE]}" "${2:-forky}" \
  "containerd libseccomp2" "containerd ctr"
