"""CPU and memory of processes, as the kernel counts them in /proc."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """Milliseconds of CPU: of a process itself, and of the children that it has collected."""

    own: float
    children: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.own - other.own, self.children - other.children)


def cpu_of(pid: int) -> Cpu:
    fields = _stat(pid)
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    return Cpu((user + system) * 1e3 / _TICKS, (child_user + child_system) * 1e3 / _TICKS)


def tree_of(pid: int) -> list[int]:
    """A process and everything that descends from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(_stat(int(entry))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def zygote_of(pid: int) -> int:
    """The daemon's child that forks supervisors."""
    for child in tree_of(pid)[1:]:
        if b"tau.workers.zygote" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    raise LookupError(f"process {pid} has no zygote")


def pss_of(pids: Iterable[int]) -> float:
    """Megabytes (10^6): what is shared counts in part, so that the sum is what the home costs."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total / 1e6


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, ppid, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
