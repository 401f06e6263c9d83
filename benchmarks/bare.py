"""The floor of a run, as a process to ask: fork a supervisor that forks a child."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from benchmarks.server import ROOT, environment


class BareZygote:
    """`benchmarks.bare_zygote`, and the socket to it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.bare_zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment(),
                cwd=ROOT,
            )
        assert self._socket.recv(16) == b"ready"

    def __enter__(self) -> "BareZygote":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.wait(10)

    def ask(self, count: int, fifo: Path) -> None:
        """Fork that many pairs at once; each child writes one byte to the FIFO."""
        self._socket.sendall(b"%d %s\n" % (count, os.fsencode(fifo)))

    def wait(self) -> None:
        """Return once all that were asked for are collected."""
        assert self._socket.recv(16) == b"done"
