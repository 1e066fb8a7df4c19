#!/usr/bin/env bash
# Makes stand-ins for the images that containerd's and Kubernetes' public suites pull, and pushes them to a registry of
# this machine. Usage: make-images.sh HOST:PORT. Needs busybox-static, mmdebstrap, umoci, skopeo, gcc.
set -euo pipefail
registry=${1:?usage: make-images.sh HOST:PORT}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
umask 022

busybox_tree() {
  mkdir -p "$1"/{bin,etc,tmp,root,proc,sys,dev,run,home,usr/bin,usr/sbin,sbin,var/log,var/spool/mail,var/www}
  chmod 1777 "$1/tmp"
  ln -s ../run "$1/var/run"
  cp /bin/busybox "$1/bin/busybox"
  # Hard links, as the real image has: critest masks one program and goes on with the others.
  busybox --list | grep -vx busybox | while read -r applet; do ln "$1/bin/busybox" "$1/bin/$applet"; done
  # Debian's busybox lacks two that critest asks for.
  printf '%s\n' '#!/bin/sh' 'cat /proc/sysvipc/shm' >"$1/bin/ipcs"
  printf '%s\n' '#!/bin/sh' 'found=1' 'for one in /proc/[0-9]*; do' \
    '  [ "$(cat "$one/comm" 2>/dev/null)" = "$1" ] && found=0 && echo "${one#/proc/}"' 'done' 'exit "$found"' >"$1/bin/pgrep"
  chmod 755 "$1/bin/ipcs" "$1/bin/pgrep"
  printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/usr/sbin:/bin/false \
    bin:x:2:2:bin:/bin:/bin/false sys:x:3:3:sys:/dev:/bin/false sync:x:4:100:sync:/bin:/bin/sync \
    mail:x:8:8:mail:/var/spool/mail:/bin/false www-data:x:33:33:www-data:/var/www:/bin/false \
    operator:x:37:37:operator:/var:/bin/false default-user:x:1001:1001::/home:/bin/sh \
    nobody:x:65534:65534:nobody:/home:/bin/false >"$1/etc/passwd"
  printf '%s\n' root:x:0: daemon:x:1: bin:x:2: sys:x:3: adm:x:4: tty:x:5: disk:x:6: mail:x:8: wheel:x:10:root www-data:x:33: \
    users:x:100: default-user:x:1001: group-defined-in-image:x:50000:default-user nogroup:x:65534: >"$1/etc/group"
}

# An image of one more layer: image NAME FROM TREE
image() {
  tar -C "$3" --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -cf layer.tar .
  umoci raw add-layer --history.created_by "stand-in $1" --image "oci:$2" --tag "$1" layer.tar
}
config() { umoci config --no-history --image "oci:$1" "${@:2}"; }
push() { skopeo copy -q --dest-tls-verify=false "oci:oci:$1" "docker://$registry/$2"; }

umoci init --layout oci
umoci new --image oci:empty
busybox_tree base
image busybox empty base
config busybox --config.cmd sh --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mkdir -p volume/test_dir && echo test_content >volume/test_dir/test_file
image volume busybox volume
config volume --config.volume /test_dir
mkdir -p owned/volumes && chmod 755 owned/volumes
image owned busybox owned

gcc -O2 -static -x c -o pause - <<'C'
#include <unistd.h>
int main(void) { for (;;) pause(); }
C
mkdir still && mv pause still/pause
image pause empty still
config pause --config.entrypoint /pause

mkdir -p nnp/bin
gcc -O2 -static -x c -o nnp/bin/nnp - <<'C'
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\n", geteuid()); return 0; }
C
chmod 4755 nnp/bin/nnp
image nonewprivs busybox nnp
config nonewprivs --config.entrypoint /bin/nnp

mmdebstrap --quiet --variant=extract --include=nginx-light bookworm debian
web() {
  mkdir -p "$1"/{usr/sbin,etc/nginx,usr/share/nginx/html,var/log/nginx,var/lib/nginx}
  cp debian/usr/sbin/nginx "$1/usr/sbin/"
  ldd debian/usr/sbin/nginx 2>/dev/null | awk '{ print $1; print $3 }' | grep -o 'lib[^/]*\.so[^ ]*\|ld-linux[^ ]*' | sort -u |
    while read -r name; do
      found=$(find debian -name "$name" | head -n 1)
      [ -n "$found" ] || continue
      mkdir -p "$1$(dirname "${found#debian}")"
      cp -L "$found" "$1${found#debian}"
    done
  [ -e "$1/lib64/ld-linux-x86-64.so.2" ] || { mkdir -p "$1/lib64" && cp -L debian/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$1/lib64/"; }
  printf '<title>Welcome to nginx!</title>\n' >"$1/usr/share/nginx/html/index.html"
  printf '%s\n' 'user root; daemon off; pid /var/run/nginx.pid; error_log /dev/stderr;' 'events {}' \
    "http { access_log /dev/stdout; server { listen $2; location / { root /usr/share/nginx/html; } } }" >"$1/etc/nginx/nginx.conf"
}
web nginx 80
image nginx busybox nginx
config nginx --config.cmd nginx --config.exposedports 80/tcp
web hostnginx 12003
image hostnginx busybox hostnginx
config hostnginx --config.cmd nginx
mkdir -p httpd/www && printf '<title>It works!</title>\n' >httpd/www/index.html
image httpd busybox httpd
config httpd --config.cmd sh --config.cmd -c --config.cmd 'echo httpd starts; exec busybox httpd -f -vv -p 80 -h /www'

user() {
  mkdir -p "mark-$1" && echo "$1" >"mark-$1/mark"
  image "$1" busybox "mark-$1"
  [ -z "${2:-}" ] || config "$1" --config.user "$2"
}
user user-uid 1002
user user-username www-data
user user-uid-group 1003:1004
user user-username-group www-data:100
# Only this image has an account with the user id 1000: containerd's TestUIDNoGID wants none in busybox.
mkdir -p mark-predefined-group/etc
sed 's/:1001:1001:/:1000:1000:/' base/etc/passwd >mark-predefined-group/etc/passwd
sed 's/default-user:x:1001:/default-user:x:1000:/' base/etc/group >mark-predefined-group/etc/group
user predefined-group 1000
for name in latest tag digest one two three tags all; do user "plain-$name"; done

containerd_images="busybox=busybox:1.36 busybox=alpine:3.14.0 volume=volume-copy-up:2.2 owned=volume-ownership:2.1 pause=pause:3.10.2 nginx=nginx:1.27.0"
for pair in $containerd_images; do push "${pair%%=*}" "containerd/${pair#*=}"; done
e2e="busybox=busybox:1.29-2 nginx=nginx:1.14-2 httpd=httpd:2.4.39-4 nonewprivs=nonewprivs:1.3"
for pair in $e2e; do push "${pair%%=*}" "e2e-test-images/${pair#*=}"; done
push pause pause:3.9
push pause pause:3.10.2
staging="user-uid=test-image-user-uid user-username=test-image-user-username user-uid-group=test-image-user-uid-group
  user-username-group=test-image-user-username-group predefined-group=test-image-predefined-group
  plain-latest=test-image-latest plain-tag=test-image-tag:test plain-all=test-image-tag:all plain-digest=test-image-digest
  plain-one=test-image-1 plain-two=test-image-2 plain-three=test-image-3
  plain-tags=test-image-tags:1 plain-tags=test-image-tags:2 plain-tags=test-image-tags:3 hostnginx=hostnet-nginx-amd64"
for pair in $staging; do push "${pair%%=*}" "k8s-staging-cri-tools/${pair#*=}"; done
echo "pushed $(echo $containerd_images $e2e pause pause $staging | wc -w) images to $registry"
