#!/usr/bin/env bash
# Builds the native addon into build/Release/lazuli.node, from headers that came with Node, and the static programs of
# native/programs beside it: nothing is downloaded.
# Does nothing when it is newer than all that it is made from.
#   build-native.sh          the addon
#   build-native.sh asan     builds native/core without Node, with AddressSanitizer and UBSan, and runs native/test
#   build-native.sh fuzz     builds native/fuzz in the same way, and prints what drives it: libFuzzer, or standalone
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'build-native: %s\n' "$*" >&2; exit 1; }

node_path=$(realpath "$(command -v node)") || fail "Node is missing: run npm run setup"

build_addon() {
  mkdir -p build
  exec 9>build/.lock
  flock 9
  local addon=build/Release/lazuli.node stamp=build/.lazuli-made
  # Another Node has other headers, and a file that was removed makes no other one newer.
  local made_from
  made_from=$(printf '%s\n' "$node_path" "$(node --version)" native/*/*)
  if [ -f "$addon" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ] &&
    [ -z "$(find native binding.gyp scripts/build-native.sh -newer "$addon" -print -quit)" ]; then
    return
  fi
  local prefix
  prefix=$(dirname "$(dirname "$node_path")")
  [ -f "$prefix/include/node/node_api.h" ] ||
    fail "The headers of $node_path are not at $prefix/include/node: install them (Debian's Node: libnode-dev)"
  printf 'build-native: building the addon\n' >&2
  local log begun
  log=$(mktemp)
  begun=$(mktemp)
  if ! JOBS=$(nproc) node_modules/.bin/node-gyp --nodedir="$prefix" configure build --jobs "$(nproc)" --loglevel=error \
    >"$log" 2>&1; then
    tail -60 "$log" >&2
    rm -f "$log"
    fail "node-gyp failed, see above"
  fi
  rm -f "$log"
  build_programs
  # As old as the begin: what was edited meanwhile is newer.
  touch -r "$begun" "$addon"
  rm -f "$begun"
  printf '%s\n' "$made_from" >"$stamp"
}

# lazuli_pause.cc becomes lazuli-pause. Containers and other machines run them: they need no library.
build_programs() {
  local source name
  for source in native/programs/*.cc; do
    name=$(basename "$source" .cc)
    g++ -std=c++20 -Os -s -static -fno-exceptions -fno-rtti -Wall -Wextra -Werror -D_FILE_OFFSET_BITS=64 -Inative \
      "$source" -o "build/Release/${name//_/-}"
  done
}

# native/core as objects in a folder, and their names in `objects`. Usage: build_objects FOLDER COMPILER FLAG...
build_objects() {
  local out=$1 compiler=$2 source object
  shift 2
  mkdir -p "$out"
  exec 8>"$out/.lock"
  flock 8
  for source in native/core/*.cc; do
    object=$out/$(basename "$source" .cc).o
    if [ -f "$object" ] && [ -z "$(find native/core scripts/build-native.sh -newer "$object" -print -quit)" ]; then continue; fi
    printf '%s\n' "$source"
  done | xargs -r -P "$(nproc)" -I{} sh -c 'exec "$@" -c "{}" -o "'"$out"'/$(basename "{}" .cc).o"' sh "$compiler" "$@"
  flock -u 8
  objects=()
  for source in native/core/*.cc; do objects+=("$out/$(basename "$source" .cc).o"); done
}

sanitizers=(-std=c++20 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
  -Wall -Wextra -D_FILE_OFFSET_BITS=64 -Inative)
libraries=(-lz -lzstd -lcrypto -pthread)

run_sanitized() {
  local source test flags=("${sanitizers[@]}" -Werror)
  build_objects build/asan g++ "${flags[@]}"
  for source in native/test/*_test.cc; do
    test=build/asan/$(basename "$source" .cc)
    g++ "${flags[@]}" "$source" "${objects[@]}" -o "$test" "${libraries[@]}"
    "$test"
  done
}

# By clang with libFuzzer where both are installed, else by g++ with the mutator of standalone.cc.
build_fuzzers() {
  local out=build/fuzzers clang source
  clang=$(command -v clang++ || command -v clang++-14 || true)
  local compile=(g++ "${sanitizers[@]}") link=(native/fuzz/standalone.cc) folder=build/asan kind=standalone
  if [ -n "$clang" ] && printf 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    "$clang" -x c++ -fsanitize=fuzzer,address,undefined - -o /dev/null 2>/dev/null; then
    compile=("$clang" "${sanitizers[@]}") link=(-fsanitize=fuzzer) folder=build/asan-clang kind=libFuzzer
    build_objects "$folder" "${compile[@]}" -fsanitize=fuzzer-no-link
  else
    build_objects "$folder" "${compile[@]}" -Werror
  fi
  mkdir -p "$out"
  for source in native/fuzz/*_fuzz.cc; do
    local program=$out/$(basename "$source" _fuzz.cc)
    if [ "$(cat "$out/kind" 2>/dev/null)" = "$kind" ] && [ -f "$program" ] &&
      [ -z "$(find native/core native/fuzz scripts/build-native.sh -newer "$program" -print -quit)" ]; then continue; fi
    "${compile[@]}" "$source" "${link[@]}" "${objects[@]}" -o "$program" "${libraries[@]}"
  done
  printf '%s\n' "$kind" | tee "$out/kind"
}

case "${1:-addon}" in
  addon) build_addon ;;
  asan) run_sanitized ;;
  fuzz) build_fuzzers ;;
  *) fail "Unknown mode \"$1\": wanted asan, fuzz, or nothing" ;;
esac
