"""A copy of this Tau in the home, by its content: what interpreters of own environments import.

An environment holds what a file asked for; Tau is not installed there, so that an upgrade of Tau
needs no environment anew. And the copy never changes: an attempt that runs while Tau is upgraded
goes on importing what it began with.
"""

import hashlib
import os
import shutil
import time
from pathlib import Path

import tau

ENTRY = "tau/workers/fresh.py"
KEPT_S = 30 * 86_400.0
_OF_THE_DAEMON = frozenset(
    {
        "_alembic", "ai", "api", "cli", "daemon", "dashboard", "mcp", "models", "repositories",
        "schemas", "services",
    }
)  # fmt: skip
"""What no child imports: it would need the server's packages, which no environment has."""


class OwnCode:
    """The folder `<home>/code` with a folder for each Tau that ran here lately."""

    def __init__(self, folder: Path, *, package: Path | None = None) -> None:
        self._folder = folder
        self._package = package or Path(tau.__file__).parent
        self._ready: Path | None = None

    def ready(self) -> Path:
        """The folder that holds this Tau as `tau`; made where it is missing. Raises OSError."""
        if self._ready is None or not (self._ready / ENTRY).is_file():
            self._ready = self._make()
            self._remove_old(but=self._ready)
        os.utime(self._ready)
        return self._ready

    def _make(self) -> Path:
        place = self._folder / f"{tau.__version__}-{_digest(self._package)}"
        if not (place / ENTRY).is_file():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = self._folder / f".{place.name}.{os.getpid()}-{time.time_ns()}"
            # With its times, so that the bytecode beside it stays valid.
            shutil.copytree(self._package, partial / "tau", ignore=self._left_out)
            try:
                partial.rename(place)
            except OSError:  # another has made it meanwhile
                shutil.rmtree(partial)
        return place

    def _left_out(self, folder: str, names: list[str]) -> set[str]:
        return set(_OF_THE_DAEMON.intersection(names)) if Path(folder) == self._package else set()

    def _remove_old(self, *, but: Path) -> None:
        """Of other versions, what nothing was started with for a month; no attempt is as old."""
        for other in self._folder.iterdir():
            if other != but and time.time() - other.stat().st_mtime > KEPT_S:
                shutil.rmtree(other, ignore_errors=True)


def _digest(package: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in _OF_THE_DAEMON:
            digest.update(f"{inside}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
