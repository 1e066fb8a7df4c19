"""Threads that read files again and again, compare their digests, and measure how long a read takes.

    readers.py LIST SECONDS_MAX

LIST is JSON: for each thread [{"path", "sha256", "mode": "all" | "once" | "again"}]. "all" and "once" read the file one
time: the first reader of bytes that are not here yet, "once" unless told to stop before. "again" reads it until told to stop. The page cache loses each file that was
read. Ends when a line comes on stdin, and prints JSON: counts, failures, and the times of slow reads.
"""
import hashlib
import json
import os
import sys
import threading
import time

PIECE = 256 * 1024
# Reads that take no longer tell nothing about a server that is away.
SLOW_MS = 20
lock = threading.Lock()
result = {"files": 0, "failed": [], "wrong": [], "longestMs": 0.0, "slow": []}
stopping = threading.Event()


def measure(started):
    ended = time.time()
    milliseconds = (ended - started) * 1000
    with lock:
        result["longestMs"] = max(result["longestMs"], milliseconds)
        if milliseconds > SLOW_MS:
            result["slow"].append([started * 1000, ended * 1000])


def digest(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    piece = bytearray(PIECE)
    try:
        total = hashlib.sha256()
        offset = 0
        while True:
            started = time.time()
            count = os.preadv(fd, [piece], offset)
            measure(started)
            if count == 0:
                # The next reader asks the server again.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                return total.hexdigest()
            total.update(memoryview(piece)[:count])
            offset += count
    finally:
        os.close(fd)


def read(entry):
    try:
        found = digest(entry["path"])
        with lock:
            result["files"] += 1
            if found != entry["sha256"]:
                result["wrong"].append(entry["path"])
    except OSError as error:
        with lock:
            result["failed"].append(f"{entry['path']}: {error}")


def work(entries):
    for entry in entries:
        if entry["mode"] == "all" or (entry["mode"] == "once" and not stopping.is_set()):
            read(entry)
    again = [entry for entry in entries if entry["mode"] == "again"]
    turn = 0
    while again and not stopping.is_set():
        read(again[turn % len(again)])
        turn += 1


threads = [threading.Thread(target=work, args=(entries,)) for entries in json.load(open(sys.argv[1]))]
for thread in threads:
    thread.start()
print("reading", flush=True)
sys.stdin.readline()
stopping.set()
deadline = time.time() + float(sys.argv[2])
for thread in threads:
    thread.join(max(0, deadline - time.time()))
result["stuck"] = sum(thread.is_alive() for thread in threads)
print(json.dumps(result), flush=True)
os._exit(0)
