#!/usr/bin/env bash
# Runs the tests that were built into dist/ and ends with the line "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
node dist/scripts/run-tests.js "$@"
