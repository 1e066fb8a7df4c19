#!/usr/bin/env bash
# Runs containerd's client suite against a daemon's socket and prints a line a case that did not pass.
# Usage: client.sh FOLDER SOCKET [OUTPUT]; FOLDER is that of build.sh.
set -euo pipefail
usage='usage: client.sh FOLDER SOCKET [OUTPUT]'
folder=$(cd "${1:?$usage}" && pwd) socket=$(realpath "${2:?$usage}") output=$(realpath "${3:-$(mktemp)}")
# Cases that start a containerd of their own, name a registry of the internet, or need another netcat.
left_out='TestDaemonRestart|TestDaemonRestartWithRunningShim|TestDaemonReconnectsToShimIOPipesOnRestart|TestDaemonRuntimeRoot'
left_out+='|TestDaemonCustomCgroup|TestRestartMonitor|TestShimDoesNotLeakPipes|TestShimOOMScore|TestImagePullSomePlatforms|TestBindLowPortNonOpt'
cd "$folder/containerd/integration/client"
PATH=$folder/bin:$PATH "$folder/bin/client.test" -test.root -no-daemon -address "$socket" -no-criu -no-shim-cgroup -test.v \
  -test.timeout 15m -test.skip "^($left_out)\$" >"$output" 2>&1 || true
grep -E '^--- (FAIL|SKIP)' "$output" | sort -u || true
passed=$(grep -c '^--- PASS' "$output" || true) failed=$(grep -c '^--- FAIL' "$output" || true) skipped=$(grep -c '^--- SKIP' "$output" || true)
echo "$passed passed, $failed failed, $skipped skipped (all that was printed: $output)"
