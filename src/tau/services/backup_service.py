"""A copy of the store while the daemon goes on, whole and checked before it has its name."""

import asyncio
import errno
import shutil
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from shlex import quote

from tau.core import postgres_dump, sqlite_file
from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database, integrity_check
from tau.core.durable import new_file
from tau.core.ids import IdFactory
from tau.errors import BackupExists, BackupFailed, RequestInvalid, StoreNoRoom
from tau.repositories.audit_repo import AuditRepository
from tau.schemas.store import BackupCreate, BackupRead


class BackupService:
    """`home` is the folder in which nothing is ever replaced."""

    def __init__(
        self, db: Database, clock: Clock, ids: IdFactory, *, home: Path, revision: str
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._home, self._revision = home, revision

    async def create(self, request: BackupCreate, actor: Actor) -> BackupRead:
        """Write the store as it is now into a file of the daemon's machine.

        Raises RequestInvalid, BackupExists, BackupFailed, StoreNoRoom, ProgramMissing.
        """
        path = Path(request.file)
        try:
            self._check(path, force=request.force)
        except OSError as error:
            raise _failed(path, error) from error
        answer = self._answer(path)
        if request.dry_run:
            return answer.model_copy(update={"dry_run": True})
        began = time.monotonic()
        try:
            with new_file(path, replace=request.force) as temporary:
                await self._write(temporary)
                size = temporary.stat().st_size
        except FileExistsError as error:
            raise BackupExists(f"{path} is there already.", file=str(path)) from error
        except (OSError, sqlite3.Error) as error:
            raise _failed(path, error) from error
        done = {"bytes": size, "seconds": round(time.monotonic() - began, 3)}
        await self._audit(request, actor, path, size)
        return answer.model_copy(update=done)

    async def _write(self, target: Path) -> None:
        if self._db.file is None:
            await postgres_dump.dump(self._db.url, target)
            return
        await _in_thread(self._db.file, target)
        verdict = await asyncio.to_thread(integrity_check, target)
        if verdict != "ok":
            raise BackupFailed(f"The copy is not whole: {verdict}.", hint="taud doctor says more.")

    def _check(self, path: Path, *, force: bool) -> None:
        """Raises what speaks against the place before anything is written."""
        if not path.is_absolute():
            raise RequestInvalid(f"file: {path} is no absolute path on {socket.gethostname()}.")
        if not path.parent.is_dir():
            raise RequestInvalid(f"file: there is no folder {path.parent} on this machine.")
        exists = path.is_symlink() or path.exists()
        if exists and not force:
            raise BackupExists(f"{path} is there already.", file=str(path))
        if exists and not path.is_file():
            raise RequestInvalid(f"file: {path} is no file.")
        if exists and path.parent.resolve() == self._home.resolve():
            raise BackupExists(
                f"{path} is in the daemon's home, where nothing is replaced.",
                hint="Give another name.",
                file=str(path),
            )
        if self._db.file is None:
            postgres_dump.find_program()
        elif shutil.disk_usage(path.parent).free < sqlite_file.store_bytes(self._db.file):
            raise StoreNoRoom(f"The disk of {path.parent} has no room for a copy of the store.")

    def _answer(self, path: Path) -> BackupRead:
        sqlite = self._db.is_sqlite
        file = quote(str(path))
        return BackupRead(
            file=str(path),
            host=socket.gethostname(),
            kind=self._db.kind,
            format="sqlite" if sqlite else "pg_dump custom",
            revision=self._revision,
            restore=[
                "mkdir -m 700 NEW_HOME",
                f"install -m 600 {file} NEW_HOME/tau.db",
                "TAU_HOME=NEW_HOME taud start --daemon",
            ]
            if sqlite
            else [
                "createdb NEW_DATABASE",
                f"pg_restore --no-owner --exit-on-error --dbname=NEW_DATABASE {file}",
                "TAU_DATABASE_URL=postgresql://…/NEW_DATABASE taud start --daemon",
            ],
            next=["tau db stats"],
        )

    async def _audit(self, request: BackupCreate, actor: Actor, path: Path, size: int) -> None:
        async with self._db.transaction() as session:
            await AuditRepository(session).add(
                self._ids.new(),
                "db.backup",
                target="store",
                actor=actor,
                now=self._clock.now(),
                reason=request.reason,
                detail={"file": str(path), "bytes": size},
            )


async def _in_thread(source: Path, target: Path) -> None:
    """A thread can't be cancelled: it is told, and waited for before its files are touched."""
    unwanted = threading.Event()
    work = asyncio.ensure_future(
        asyncio.to_thread(sqlite_file.copy, source, target, should_stop=unwanted.is_set)
    )
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        unwanted.set()
        with suppress(sqlite_file.Stopped):
            await work
        raise


def _failed(path: Path, error: OSError | sqlite3.Error) -> BackupFailed | StoreNoRoom:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if full or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return StoreNoRoom(f"The disk of {path.parent} has no room for a copy of the store.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return BackupFailed(f"{path} can't be written: {reason}.", file=str(path))
