#!/usr/bin/env bash
# What the benchmarks and their report need beyond scripts/setup.sh: libfuse 2, under fuse-native, the baseline of
# `lazuli bench fs`, and Chromium with a font, in which the tests look at the report's page.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/install-optional.sh "what needs it is left out" libfuse2 chromium fonts-dejavu-core
