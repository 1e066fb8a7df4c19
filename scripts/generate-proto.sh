#!/usr/bin/env bash
# Writes the TypeScript for proto/ into gen/ (or into the folder given). Needs protoc; gen/ is committed, so users don't.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-gen}
mkdir -p "$out"
mapfile -t files < <(cd proto && find . -name '*.proto' -not -path './google/protobuf/*' -printf '%P\n' | sort)
protoc --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es --es_out="$out" \
  --es_opt=target=ts,import_extension=js -I proto "${files[@]}"
