"""Ending everything that descends from this process, wherever it went."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection

_PAUSE_S = 0.002


def children_of(pid: int) -> list[int]:
    """The direct children of a process, zombies included; empty where the kernel tells none."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as listing:
                found += [int(child) for child in listing.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return found  # gone meanwhile, or a platform without /proc
    return found


def living_descendants(pid: int, *, spare: Collection[int] = ()) -> list[int]:
    """Every descendant that is no zombie, parents before children, without the spared trees."""
    found: list[int] = []
    pending = [child for child in children_of(pid) if child not in spare]
    while pending:
        current = pending.pop(0)
        if _is_alive(current):
            found.append(current)
        pending += children_of(current)
    return found


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state = stat.read().rpartition(b") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (b"Z", b"X")


def send(pid: int, signal_number: int) -> None:
    """Signal a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_number)


def send_group(pid: int, signal_number: int) -> None:
    """Signal the group that a process leads; it may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal_number)


def end_descendants(reap: Callable[[], bool], *, within: float) -> int:
    """Kill and reap until no child is left, and answer how many had to be killed.

    `reap` collects what has died and answers whether children remain. The listing of the kernel
    may miss a process that is just being forked, hence the loop until there is nothing to wait for.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + within
    if not reap():
        return 0  # no child at all, so nothing that descends from one: most attempts end so
    while True:
        for pid in living_descendants(os.getpid()):
            killed.add(pid)
            send(pid, signal.SIGKILL)
        if not reap() or time.monotonic() > deadline:
            return len(killed)
        time.sleep(_PAUSE_S)


class Reaper:
    """Collects dead children of this process and remembers how one of them ended."""

    def __init__(self, child_pid: int | None = None) -> None:
        self._child_pid = child_pid
        self.wait_status: int | None = None
        self.child_is_gone = False

    def __call__(self) -> bool:
        """Collect what is dead; True while children remain."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._child_pid:
                self.wait_status, self.child_is_gone = status, True
