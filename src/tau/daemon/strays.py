"""Tau's processes on this machine that no daemon has to do with, as /proc shows them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tau.pipeline.protocol import LOCK_FILE

PROC = Path("/proc")
_MODULES = {"tau.workers.zygote", "tau.workers.supervisor"}
_DAEMONS = ("taud", "tau.daemon.app")


@dataclass(frozen=True)
class Process:
    """One of the processes that zygotes, supervisors and their children are."""

    pid: int
    parent: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Supervised:
    """An attempt whose lock is held: its supervisor is alive."""

    run_id: str
    attempt: int
    pid: int


def is_known() -> bool:
    """Whether this system shows its processes in a way that is understood here."""
    return (PROC / "self" / "stat").exists()


def list_supervised(home: Path, workers: Iterable[Process]) -> list[Supervised]:
    """The attempts of this home that are executing."""
    runs = home.resolve() / "runs"
    found = []
    for worker in workers:
        for lock in _locks(worker.pid):
            if lock.is_relative_to(runs):
                run_id, attempt, _ = lock.relative_to(runs).parts
                found.append(Supervised(run_id, int(attempt), worker.pid))
    return found


def list_orphaned_zygotes(home: Path, workers: list[Process]) -> list[int]:
    """Zygotes of this home whose daemon is gone: they should have ended with it.

    A supervisor outlives its daemon rightly; it holds the lock of its attempt.
    """
    by_pid = {worker.pid: worker for worker in workers}
    tops = [w for w in workers if w.parent not in by_pid and str(home.resolve()) in w.words]
    return [top.pid for top in tops if not _is_daemon(top.parent) and not _locks(top.pid)]


def list_workers() -> list[Process]:
    """The zygotes, supervisors and children of this user."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = _words(int(entry.name))
            if entry.stat().st_uid == os.getuid() and not _MODULES.isdisjoint(words):
                found.append(Process(int(entry.name), _parent(entry), words))
        except OSError:
            continue  # it has ended meanwhile
    return found


def seconds_since_start(pid: int) -> float | None:
    """How long a process has lived by the clock that nobody sets; None where that is not told."""
    try:
        ticks = int(_stat(PROC / str(pid))[19])
    except (OSError, ValueError, IndexError):
        return None
    return _uptime() - ticks / os.sysconf("SC_CLK_TCK")


def _uptime() -> float:
    return float((PROC / "uptime").read_text().split()[0])


def _parent(entry: Path) -> int:
    return int(_stat(entry)[1])


def _stat(entry: Path) -> list[str]:
    """The fields after the name, which may hold anything but ends at the last bracket."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def _words(pid: int) -> tuple[str, ...]:
    return tuple(os.fsdecode((PROC / str(pid) / "cmdline").read_bytes()).split("\0"))


def _is_daemon(pid: int) -> bool:
    try:
        return any(word in _DAEMONS or word.endswith("/taud") for word in _words(pid))
    except OSError:
        return False


def _locks(pid: int) -> list[Path]:
    try:
        opened = [os.readlink(link) for link in (PROC / str(pid) / "fd").iterdir()]
    except OSError:
        return []
    return [Path(path) for path in opened if path.endswith(f"/{LOCK_FILE}")]
