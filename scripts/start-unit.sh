#!/usr/bin/env bash
# Starts a service as its systemd unit would, and waits for READY=1 on a notify socket:
#   bash scripts/start-unit.sh deploy/lazuli-daemon.service [/path/of/config.toml]
# LAZULI_PROGRAM stands in the place of the unit's program. Prints what the service tells, and ends it again.
set -euo pipefail
unit=$1
config=${2:-}
command=$(sed -n 's/^ExecStart=//p' "$unit")
read -r -a words <<<"$command"
words[0]=${LAZULI_PROGRAM:-${words[0]}}
if [ -n "$config" ]; then words[${#words[@]}-1]=$config; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
exec 3< <(exec python3 - "$folder/notify" "${words[@]}" <<'PYTHON'
import os, signal, socket, subprocess, sys
path, *command = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
notify.settimeout(60)
child = subprocess.Popen(command, env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": path}, stdin=subprocess.DEVNULL)
try:
    for expected in ("READY=1", "STOPPING=1"):
        text = notify.recv(65536).decode()
        print(text, end="", flush=True)
        if expected not in text:
            sys.exit(1)
        if expected == "READY=1":
            child.send_signal(signal.SIGTERM)
    sys.exit(child.wait(timeout=60))
finally:
    if child.poll() is None:
        child.kill()
PYTHON
)
service=$!
cat <&3
wait "$service"
