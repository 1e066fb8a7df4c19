#!/usr/bin/env bash
# Runs the tests that try things by chance with a hundred times as many tries, and each fuzzer for 36 s times the factor:
# hours on two cores. A fuzzer prints its seed, another one each time, and how to try again what it found. In between come
# the formats with contents for which there is no time otherwise (100,000 files, 6 GiB), each on both kinds of mounts.
#   LAZULI_LONG=10 bash scripts/test-long.sh     another factor
# The files run one after another, without the runner's time limit for a file.
set -euo pipefail
cd "$(dirname "$0")/.."
factor=${LAZULI_LONG:-100}
export LAZULI_CRASH_IMAGES=$((2000 * factor))
export LAZULI_OPERATIONS=$((10000 * factor))
export LAZULI_KILLS=$((10 * factor))
export LAZULI_OFFLINE_LAYERS=1000
export LAZULI_POSITIONS=$((100 * factor))
export TAP_TIMEOUT=0
failed=0
for file in gc/model crash/kill crash/evict crash/takeover crash/offline-start system/power-loss faults/corrupted-positions; do
  printf '==== %s\n' "$file"
  node --enable-source-maps "dist/test/$file.test.js" || failed=1
done
for file in layer/matrix system/formats; do
  printf '==== %s, all of it\n' "$file"
  LAZULI_MATRIX=full node --enable-source-maps "dist/test/$file.test.js" || failed=1
done
printf '==== system/containers-churn, a hundred in a row\n'
LAZULI_CHURN=100 node --enable-source-maps dist/test/system/containers-churn.test.js || failed=1
printf '==== system/cycles, two hundred of pull, run, exec and remove\n'
LAZULI_CYCLES=$((2 * factor)) node --enable-source-maps dist/test/system/cycles.test.js || failed=1
printf '==== system/cri-leaks, two hundred pods and ten thousand commands\n'
LAZULI_POD_CYCLES=$((2 * factor)) LAZULI_EXECS=$((100 * factor)) node --enable-source-maps dist/test/system/cri-leaks.test.js || failed=1
printf '==== system/budget-disk, a gibibyte on a disk of 64 MiB\n'
LAZULI_BUDGET_MIB=1024 node --enable-source-maps dist/test/system/budget-disk.test.js || failed=1
for fuzzer in fuzz-tar fuzz-streams; do
  printf '==== %s\n' "$fuzzer"
  node --enable-source-maps "dist/scripts/$fuzzer.js" --seconds $((36 * factor)) || failed=1
done
printf '==== the parsers, guided by coverage\n'
node --enable-source-maps dist/scripts/fuzz.js --seconds $((36 * factor)) || failed=1
node --enable-source-maps dist/scripts/fuzz-native.js --seconds $((36 * factor)) || failed=1
exit "$failed"
