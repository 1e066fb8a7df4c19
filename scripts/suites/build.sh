#!/usr/bin/env bash
# Builds the public suites that this project is held to, beside the project: containerd's client suite, critest, crictl, and
# the containerd they belong to as the peer. Usage: build.sh FOLDER REGISTRY
# CONTAINERD_SOURCE and CRI_TOOLS_SOURCE name git repositories or folders of one. REGISTRY is the address on which
# make-images.sh will have put the images: the client suite has their names compiled in.
set -euo pipefail
usage='usage: build.sh FOLDER REGISTRY'
mkdir -p "${1:?$usage}"
folder=$(cd "$1" && pwd) registry=${2:?$usage}
mkdir -p "$folder/bin"

fetch_go() {
  [ -x "$folder/go/usr/lib/go-1.26/bin/go" ] && return
  local work
  work=$(mktemp -d)
  mkdir -p "$work"/{lists/partial,archives/partial} "$folder/go"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian forky main" >"$work/sources.list"
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache::archives=$work/archives" -o "Dir::Cache::pkgcache=$work/pkg" -o "Dir::Cache::srcpkgcache=$work/src" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  (cd "$work" && "${apt[@]}" download golang-1.26-go golang-1.26-src && for package in *.deb; do dpkg-deb -x "$package" "$folder/go"; done)
  rm -rf "$work"
}

fetch_go
[ -d "$folder/containerd" ] || git clone -q --depth 1 "${CONTAINERD_SOURCE:-https://github.com/containerd/containerd}" "$folder/containerd"
[ -d "$folder/cri-tools" ] || git clone -q --depth 1 "${CRI_TOOLS_SOURCE:-https://github.com/kubernetes-sigs/cri-tools}" "$folder/cri-tools"
export PATH=$folder/go/usr/lib/go-1.26/bin:$PATH GOROOT=$folder/go/usr/lib/go-1.26 GOCACHE=$folder/go/cache
export GOFLAGS="-mod=vendor -trimpath" GOTOOLCHAIN=local CGO_ENABLED=0

cd "$folder/containerd"
sed -i -E "s#\"(ghcr.io/containerd|registry.k8s.io)/#\"$registry/\1/#; s#$registry/ghcr.io/#$registry/#; s#$registry/registry.k8s.io/#$registry/#" integration/images/image_list.go
digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$registry/containerd/busybox:1.36")
sed -i -E "s#(busybox@)sha256:[0-9a-f]{64}#\1$digest#" integration/images/image_list.go
go test -c -o "$folder/bin/client.test" ./integration/client
go build -tags "no_btrfs no_zfs no_devmapper" -o "$folder/bin/" ./cmd/containerd ./cmd/ctr ./cmd/containerd-shim-runc-v2 \
  ./integration/failpoint/cmd/runc-fp
cd "$folder/cri-tools"
go test -c -o "$folder/bin/critest" ./cmd/critest
go build -o "$folder/bin/crictl" ./cmd/crictl
# critest starts it by its name for --parallel.
go build -o "$folder/bin/ginkgo" ./vendor/github.com/onsi/ginkgo/v2/ginkgo
echo "built in $folder/bin: $(ls "$folder/bin" | tr '\n' ' ')"
