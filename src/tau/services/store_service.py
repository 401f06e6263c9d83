"""The store as an operator sees it: what takes room in it, and giving room back."""

import asyncio
import shutil
import time
from functools import partial
from pathlib import Path

from tau.core import sqlite_file
from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database
from tau.core.ids import IdFactory
from tau.errors import StoreNoRoom
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.store_repo import TABLES, StoreRepository
from tau.schemas.base import Change
from tau.schemas.store import OldestRun, StoreStats, TableSize, VacuumRead
from tau.services.run_view import reference

LOOK_S = 0.5
"""How long a SQLite store's pages are looked at; what is larger is estimated."""
VACUUM_ROOM = 2
"""SQLite writes the whole store anew, and once more through its log."""


class StoreService:
    def __init__(self, db: Database, clock: Clock, ids: IdFactory, *, revision: str) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._revision = revision
        self._vacuuming = asyncio.Lock()

    async def stats(self) -> StoreStats:
        """Tables with rows and bytes, by counters and estimates: nothing is counted row by row."""
        async with self._db.read() as session:
            oldest = await StoreRepository(session).find_oldest_run()
            runs = await PipelineRepository(session).total_runs()
        size, log = await self._bytes()
        tables, is_exact = await self._tables()
        for table in tables:
            if table.name == "runs":
                table.rows = runs
        return StoreStats(
            kind=self._db.kind,
            revision=self._revision,
            bytes=size,
            wal_bytes=log,
            estimated=not is_exact,
            oldest_run=None
            if oldest is None
            else OldestRun(run=reference(oldest), id=oldest.id, created_at=oldest.created_at),
            tables=tables,
            next=["tau db cleanup --days 30 --dry-run", "tau db vacuum --dry-run"],
        )

    async def vacuum(self, request: Change, actor: Actor) -> VacuumRead:
        """Give the room of what was removed back to the disk. Raises StoreNoRoom."""
        async with self._vacuuming:
            before, _ = await self._bytes()
            self._check_room(before)
            if request.dry_run:
                return VacuumRead(before_bytes=before, dry_run=True, next=["tau db vacuum"])
            began = time.monotonic()
            await self._db.vacuum()
            seconds = time.monotonic() - began
            after, _ = await self._bytes()
            answer = VacuumRead(
                before_bytes=before,
                after_bytes=after,
                freed_bytes=max(before - after, 0),
                seconds=round(seconds, 3),
                next=["tau db stats"],
            )
            await self._audit(request, actor, answer)
        return answer

    def _check_room(self, size: int) -> None:
        file = self._db.file
        if file is None:
            return
        free = shutil.disk_usage(file.parent).free
        if free < VACUUM_ROOM * size:
            raise StoreNoRoom(
                f"A vacuum of {size} bytes needs {VACUUM_ROOM * size} free; {free} are.",
                hint="Free some space, or clean up first: what is removed is used again.",
                next=["tau db cleanup --days 30 --dry-run"],
            )

    async def _audit(self, request: Change, actor: Actor, answer: VacuumRead) -> None:
        async with self._db.transaction() as session:
            await AuditRepository(session).add(
                self._ids.new(),
                "db.vacuum",
                target="store",
                actor=actor,
                now=self._clock.now(),
                reason=request.reason,
                detail={"freed_bytes": answer.freed_bytes},
            )

    async def _bytes(self) -> tuple[int, int | None]:
        """The store's size, and that of SQLite's write-ahead log."""
        if self._db.file is not None:
            file = self._db.file
            return sqlite_file.store_bytes(file), sqlite_file.log_bytes(file)
        async with self._db.read() as session:
            return await StoreRepository(session).size(), None

    async def _tables(self) -> tuple[list[TableSize], bool]:
        """And whether they were counted, not estimated."""
        if self._db.file is not None:
            return await asyncio.to_thread(partial(_look, self._db.file))
        async with self._db.read() as session:
            rows = await StoreRepository(session).list_sizes()
        return [TableSize(name=r.name, rows=r.rows, bytes=r.bytes) for r in rows], False


def _look(file: Path) -> tuple[list[TableSize], bool]:
    sizes = sqlite_file.table_sizes(file, TABLES, within_s=LOOK_S)
    shown = [TableSize(name=name, rows=s.rows, bytes=s.bytes) for name, s in sizes.items()]
    return shown, all(size.is_exact for size in sizes.values())
