"""The home from the daemon's side: its lock, its key, what it says of itself."""

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tau.client.home import Home, try_lock
from tau.core import auth
from tau.core.durable import new_file
from tau.core.ids import IdFactory
from tau.errors import DaemonAlreadyRunning
from tau.schemas.base import format_time

LOCK_PATIENCE_S = 1.0
ROOM_BYTES = 1024 * 1024
ROOM_FILES = 64


class DaemonHome:
    """A home that this process has locked for itself; free again when the process ends."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.path = home.path
        self._lock: int | None = None

    def lock(self) -> None:
        """Become this home's daemon. Raises DaemonAlreadyRunning."""
        self.home.create()
        os.chmod(self.path, 0o700)
        descriptor = os.open(self.home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not try_lock(descriptor):
            # A client's look at the lock lasts microseconds; a daemon holds it for good.
            if time.monotonic() > deadline:
                os.close(descriptor)
                running = self.home.find_daemon()
                facts: dict[str, Any] = {}
                if running:
                    facts = {"pid": running.pid, "url": running.url}
                raise DaemonAlreadyRunning(
                    f"A daemon already runs in {self.path}.", next=["taud status"], **facts
                )
            time.sleep(0.01)
        self._lock = descriptor

    def release(self) -> None:
        """The orderly end: nothing says any more that a daemon runs here."""
        (self.path / "daemon.json").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def announce(self, *, host: str, port: int, url: str, version: str, now: datetime) -> None:
        """Say where the daemon answers."""
        document = {
            "pid": os.getpid(),
            "host": host,
            "port": port,
            "url": url,
            "version": version,
            "started_at": format_time(now),
        }
        self._write_private("daemon.json", json.dumps(document))

    def local_key(self) -> str:
        """The admin key of this home, made at the first start. Raises FileUnsafe."""
        path = self.path / "credentials"
        if path.exists():
            return self.home.get_local_key()
        key = auth.new_key().text
        self._write_private("credentials", json.dumps({"api_key": key}))
        return key

    def node_id(self, ids: IdFactory) -> str:
        """Who this home's daemon is in the store, the same at each start."""
        path = self.path / "node_id"
        if not path.exists():
            self._write_private("node_id", ids.new())
        return path.read_text(encoding="ascii").strip()

    @property
    def store_file(self) -> Path:
        return self.path / "tau.db"

    @property
    def sources(self) -> Path:
        return self.path / "sources"

    def _write_private(self, name: str, text: str) -> None:
        """Whole or not at all, and never readable by others, not even for a moment."""
        with new_file(self.path / name, replace=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def has_room(folder: Path) -> bool:
    """Whether an attempt's files find room on the folder's disk.

    A store that overwrites its own pages may go on where nothing new can be written.
    """
    disk = os.statvfs(folder)
    has_files = disk.f_files == 0 or disk.f_favail >= ROOM_FILES  # 0: no fixed number of them
    return has_files and disk.f_bavail * disk.f_frsize >= ROOM_BYTES
