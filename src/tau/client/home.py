"""The home of a local Tau as a client sees it: is a daemon running, where, and with which key."""

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau.errors import ConfigurationError, FileUnsafe, KeyMissing


@dataclass(frozen=True)
class DaemonInfo:
    """What a running daemon says of itself in `daemon.json`."""

    pid: int
    host: str
    port: int
    url: str
    version: str
    started_at: str


@dataclass(frozen=True)
class Home:
    """A folder that belongs to one daemon."""

    path: Path

    @property
    def lock_file(self) -> Path:
        return self.path / "daemon.lock"

    @property
    def log_file(self) -> Path:
        return self.path / "taud.log"

    def create(self) -> None:
        """Make the folder, for its owner alone. Raises ConfigurationError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The home {self.path} cannot be made: {error.strerror}.",
                hint="Set TAU_HOME to a folder that you may write to.",
            ) from error

    def find_daemon(self) -> DaemonInfo | None:
        """The daemon that runs here and has said where it answers, else None.

        Raises FileUnsafe where others may have written that.
        """
        info = self._read_daemon_file()
        # In this order: a probe of the lock could be in the way of a daemon that is starting, so
        # it is made only where a living process is said to hold it.
        if info is None or not _is_alive(info.pid) or not self.is_locked():
            return None
        return info

    def is_locked(self) -> bool:
        """Whether a daemon lives here: it holds the lock from its start to its end."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def get_local_key(self) -> str:
        """The key that this home's daemon made. Raises KeyMissing or FileUnsafe."""
        path = self.path / "credentials"
        document = read_private(path)
        if not document:
            raise KeyMissing(
                f"{path} holds no API key.",
                hint="Set TAU_API_KEY to a key of this daemon.",
            )
        return str(document["api_key"])

    def _read_daemon_file(self) -> DaemonInfo | None:
        path = self.path / "daemon.json"
        try:
            with open(path, encoding="utf-8") as file:
                _refuse(path, file.fileno(), forbidden=0o022, may="write")
                document = json.load(file)
            return DaemonInfo(**{key: document[key] for key in DaemonInfo.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError):
            return None


def find_home(environ: Mapping[str, str] = os.environ) -> Home:
    """The home of TAU_HOME, else ~/.tau; it need not exist."""
    named = environ.get("TAU_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    try:
        return Home(Path.home() / ".tau")
    except RuntimeError as error:
        raise ConfigurationError("There is no home directory.", hint="Set TAU_HOME.") from error


def read_private(path: Path) -> dict[str, Any]:
    """The JSON object of a file that holds a key; empty where it holds none.

    Raises FileUnsafe where group or others may read it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            _refuse(path, file.fileno(), forbidden=0o077, may="read")
            document = json.load(file)
    except (FileNotFoundError, ValueError):
        return {}
    except OSError as error:
        raise KeyMissing(f"{path} cannot be read: {error.strerror}.") from error
    return document if isinstance(document, dict) and document.get("api_key") else {}


def _refuse(path: Path, descriptor: int, *, forbidden: int, may: str) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & forbidden:
        raise FileUnsafe(
            f"{path} has mode {mode:04o}: others may {may} it.",
            hint=f"chmod 600 {path}",
            file=str(path),
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError, TypeError):
        return False
    return True


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file, if it is free; held until the file is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
