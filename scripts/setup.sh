#!/usr/bin/env bash
# Makes a Debian machine with Node ready to build, test and demonstrate lazuli. Safe to run again: what is there stays.
# Everything comes from Debian's and npm's registries as this machine has them configured.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

packages=(
  g++ make python3 pkg-config zlib1g-dev libzstd-dev libssl-dev
  containerd runc containernetworking-plugins docker-registry skopeo umoci
  stargz-snapshotter btrfs-progs erofs-utils libarchive-tools busybox-static mmdebstrap
  fuse3 attr acl openssl protobuf-compiler iproute2
)

command -v node >/dev/null || fail "Node is missing: install Node 20.18 or newer, then run this again"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 18) ? 0 : 1)' ||
  fail "Node $(node --version) is too old: 20.18 or newer is needed"

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing Debian packages: ${missing[*]}"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  { "${as_root[@]}" apt-get update && "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 || { tail -20 "$log" >&2; fail "apt-get failed, see above"; }
  rm -f "$log"
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "installing npm packages"
  # .npmrc turns install scripts off for all packages; none that is used here needs one.
  # A registry without the packages of other platforms makes a lock file that npm ci refuses and npm install follows.
  npm ci --no-progress --loglevel=silent >&2 || npm install --no-save --no-progress --loglevel=error >&2
  touch node_modules/.package-lock.json
fi

bash scripts/build-native.sh
say "compiling TypeScript"
node_modules/.bin/tsc -p .
[ dist/bundle/all/main.js -nt dist/.tsbuildinfo ] || node scripts/bundle.js
