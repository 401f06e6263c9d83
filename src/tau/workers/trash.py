"""What forgotten attempts left on disk, and its removal beside the event loop."""

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger("tau.workers")


class Trash:
    """A folder into which attempts' directories are moved, and where they are deleted.

    One thread works off whatever has come meanwhile: on a disk that is busy with the durable files
    of running attempts each step of a removal waits, and nobody is to wait for it. What a daemon
    that was killed has left in the folder is deleted at the next start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queue: list[Path] = []
        self._thrown: set[Path] = set()
        self._emptying: asyncio.Task[None] | None = None
        self._numbers = itertools.count()

    def open(self) -> None:
        """Make the folder, and have deleted what is in it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for grave in self._folder.iterdir():
            self.throw(grave)

    async def emptied(self) -> None:
        """Return once all that was thrown away is deleted."""
        if self._emptying is not None:
            await asyncio.shield(self._emptying)

    def throw(self, directory: Path) -> None:
        """Have a directory deleted soon; one that does not exist is no error."""
        self._queue.append(directory)
        self._thrown.add(directory)
        if self._emptying is None or self._emptying.done():
            self._emptying = asyncio.create_task(self._empty(), name="trash")

    def __contains__(self, directory: Path) -> bool:
        """Whether it was thrown away, and may not be gone yet."""
        return directory in self._thrown

    async def _empty(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            await asyncio.to_thread(self._delete, batch)
            self._thrown.difference_update(batch)

    def _delete(self, batch: Sequence[Path]) -> None:
        for directory in batch:
            try:
                _delete_tree(self._bury(directory))
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("%s can't be deleted: %s", directory, error)

    def _bury(self, directory: Path) -> Path:
        """Move a directory here, so that a deletion which is cut short goes on at the next start.

        Its parent goes with the last attempt of a run.
        """
        if directory.parent == self._folder:
            return directory
        grave = self._folder / f"{os.getpid()}-{time.time_ns()}-{next(self._numbers)}"
        directory.rename(grave)
        with contextlib.suppress(OSError):  # other attempts of the run are still there
            directory.parent.rmdir()
        return grave


def _delete_tree(path: Path) -> None:
    """Most attempts leave a few files and an empty folder, which is quick to delete."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                (os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)
        os.rmdir(path)
    except OSError:
        shutil.rmtree(path, onerror=_unlock)


def _unlock(function: Any, name: str, _: Any) -> None:
    """A folder that user code has closed to its owner is opened, once."""
    with contextlib.suppress(OSError):
        os.chmod(Path(name).parent, stat.S_IRWXU)
        os.chmod(name, stat.S_IRWXU)
        function(name)
