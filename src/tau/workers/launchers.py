"""How the daemon gets supervisors started: the port, and the way by a fresh interpreter each."""

import asyncio
import os
from pathlib import Path
from typing import Protocol

from tau.workers import processes


class LaunchFailed(Exception):  # noqa: N818
    """No supervisor is known to have been started; whether one was is for the lock to say."""


class Launcher(Protocol):
    """Starts supervisors for attempts whose directory is laid out."""

    async def start(self) -> None:
        """Get ready, so that the first launch is as fast as any."""

    async def launch(self, attempt_dir: Path) -> int:
        """Start a supervisor and answer its pid. Raises LaunchFailed."""
        ...

    async def collect(self, pid: int) -> None:
        """Take note of a supervisor that has ended."""

    async def stop(self) -> None:
        """End what belongs to the launcher; supervisors go on."""


class SpawnLauncher:
    """A fresh interpreter for each supervisor: slower, and right on every platform."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    async def start(self) -> None:
        return None

    async def launch(self, attempt_dir: Path) -> int:
        self._collect_abandoned()
        try:
            pid = processes.spawn_module(
                "tau.workers.supervisor", [str(attempt_dir)], env=processes.clean_environment()
            )
        except OSError as error:
            raise LaunchFailed(f"spawn: {error.strerror}") from error
        self._pids.add(pid)
        return pid

    async def collect(self, pid: int) -> None:
        self._pids.discard(pid)
        await asyncio.to_thread(os.waitpid, pid, 0)

    async def stop(self) -> None:
        return None

    def _collect_abandoned(self) -> None:
        """Collect those that have ended and that nobody followed to their end."""
        for pid in list(self._pids):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                self._pids.discard(pid)
