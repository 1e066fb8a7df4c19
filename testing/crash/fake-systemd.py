"""Runs a service as systemd does a unit with FileDescriptorStoreMax=, and starts it again whenever it ends.

    fake-systemd.py SOCKET PROGRAM ARGUMENT...

Keeps what FDSTORE=1 brings, drops what FDSTOREREMOVE=1 names, and passes the rest to the next start by LISTEN_FDS and
LISTEN_FDNAMES. Prints a line for each notice and each start. Ends, with the service, at the end of stdin.
"""
import os
import select
import socket
import subprocess
import sys

path, *command = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
store = []


def start():
    fds = [fd for _, fd in store]
    environment = {
        "PATH": os.environ["PATH"],
        "NOTIFY_SOCKET": path,
        "FDSTORE": "4096",
        "LISTEN_FDS": str(len(fds)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in store),
    }

    def place():
        # First out of the way, so that none is overwritten that is still to be placed.
        high = [os.dup(fd) for fd in fds]
        high = [os.dup2(fd, 200 + index) for index, fd in enumerate(high)]
        for index, fd in enumerate(high):
            os.dup2(fd, 3 + index)
        os.closerange(3 + len(fds), 400)

    # The shell's process id is that of the program which it becomes.
    words = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
    child = subprocess.Popen(words, env=environment, preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL)
    print(f"started {child.pid} {len(fds)}", flush=True)
    return child


def take():
    data, control, _, _ = socket.recv_fds(notify, 65536, 16)
    fields = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
    name = fields.get("FDNAME", "")
    if "FDSTORE" in fields:
        store.extend((name, fd) for fd in control)
    if "FDSTOREREMOVE" in fields:
        for entry in [entry for entry in store if entry[0] == name]:
            os.close(entry[1])
            store.remove(entry)
    print("notice " + data.decode().splitlines()[0] + " " + name, flush=True)


child = start()
while True:
    readable, _, _ = select.select([notify, sys.stdin], [], [], 0.01)
    if notify in readable:
        take()
    if sys.stdin in readable:
        child.terminate()
        child.wait()
        break
    if child.poll() is not None:
        child = start()
