#!/usr/bin/env bash
# What fuzzing has beyond scripts/setup.sh: clang with libFuzzer. Without it the native targets run without coverage.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/install-optional.sh "native fuzzing sees no coverage" clang-14 libclang-rt-14-dev libfuzzer-14-dev
