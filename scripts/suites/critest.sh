#!/usr/bin/env bash
# Runs Kubernetes' critest against a daemon's socket and prints a line a spec that did not pass.
# Usage: critest.sh FOLDER SOCKET [NRI_SOCKET] [critest flags]; FOLDER is that of build.sh. RUNS=3 runs it three times.
# --parallel=4 runs the specs in four processes, but those that must be alone one after another.
set -euo pipefail
usage='usage: critest.sh FOLDER SOCKET [NRI_SOCKET] [critest flags]'
folder=$(cd "${1:?$usage}" && pwd) socket=$(realpath "${2:?$usage}") nri=${3:-}
shift $(($# > 2 ? 3 : 2))
export PATH=$folder/bin:$PATH
for ((run = 1; run <= ${RUNS:-1}; run += 1)); do
  output=$(mktemp)
  critest -runtime-endpoint "unix://$socket" -image-endpoint "unix://$socket" ${nri:+-nri-socket "$nri"} \
    --ginkgo.no-color "$@" >"$output" 2>&1 || true
  grep -E '\[FAIL\].*\[It\]' "$output" | sort -u || true
  grep -E 'Passed \|' "$output" || tail -n 20 "$output"
  echo "all that was printed: $output"
done
