"""A bare zygote: what it takes to fork a supervisor that forks a child that writes one byte.

`python -m benchmarks.bare_zygote FD` has loaded nothing but the parts of the standard library that
a pipeline's runtime needs. A line `N PATH` on the socket FD asks for N such pairs at once; each
child writes a byte to the FIFO at PATH; `done` goes back once all are collected.
"""

import importlib
import os
import socket
import sys

PRELOADED = ("asyncio", "json", "logging", "traceback")


def serve(channel: socket.socket) -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    channel.sendall(b"ready")
    while line := channel.recv(4096):
        count, path = line.rstrip(b"\n").split(b" ", 1)
        for _ in range(int(count)):
            if os.fork() == 0:
                supervise(path)
        for _ in range(int(count)):
            os.wait()
        channel.sendall(b"done")


def supervise(path: bytes) -> None:
    if os.fork() == 0:
        os.write(os.open(path, os.O_WRONLY), b"x")
        os._exit(0)
    os.wait()
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
